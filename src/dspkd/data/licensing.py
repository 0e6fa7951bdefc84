"""The licences of images: counted, and used to leave images out."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace

from dspkd.data.metadata import UNKNOWN, attributes_of
from dspkd.data.part_names import squeezed
from dspkd.data.table import Table
from dspkd.errors import DataError, suggest


def counts(table: Table) -> dict[str, int]:
    """Return ``{licence: images}``, most frequent first, `UNKNOWN` where an image has none; empty without any."""
    provided = attributes_of(table).get("licence")
    return {} if provided is None else dict(Counter(provided.values).most_common())


def line(table: Table) -> str:
    """Return the licences of the images in a line; "" where the data set names none."""
    each = ", ".join(f"{name or 'unknown'} {images:,}" for name, images in counts(table).items())
    return f"licences: {each}" if each else ""


def keep(table: Table, licences: Sequence[str]) -> Table:
    """Return the images under one of these licences; all of them where none is named. A version does not matter.

    Raises
    ------
    DataError
        The data set names no licences, or none of these.
    """
    if not licences:
        return table
    provided = attributes_of(table).get("licence")
    if provided is None:
        raise DataError(f"{table.root}: no column of licences, such as 'copyright_license'; leave out data.licences")
    wanted = {_plain(licence) for licence in licences}
    kept = [row for row, cell in enumerate(provided.values) if cell != UNKNOWN and _plain(cell) in wanted]
    if not kept:
        raise DataError(
            f"{table.root}: no image under {' or '.join(licences)}; {suggest(licences[0], filter(None, counts(table)))}"
        )
    note = f"{len(table) - len(kept):,} of {len(table):,} images are under other licences than {', '.join(licences)}"
    left = table.take(kept)
    return replace(left, origin=replace(left.origin, notes=(*left.origin.notes, f"{note}, and left out")))


def _plain(licence: str) -> str:
    """Return a licence without version and marks: "CC BY-NC 4.0" and "cc-by-nc" are the same."""
    return squeezed(re.sub(r"\d+\.\d+", "", licence))
