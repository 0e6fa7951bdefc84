"""What a split puts on two sides at once, found without decoding an image: lesions or patients, and equal files."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

from dspkd.data.audit.fingerprint import digest_of
from dspkd.data.split import PARTS, Split
from dspkd.data.table import Table


@dataclass(frozen=True)
class Leak:
    """Images that belong together and are in several parts of a split.

    Attributes
    ----------
    kind
        "group": of one lesion or patient. "file": equal byte for byte.
    name
        The lesion or patient, or the id of the first image.
    parts
        The parts they are in, in the order of `PARTS`.
    images
        Their ids, in the order of the table.
    """

    kind: Literal["group", "file"]
    name: str
    parts: tuple[str, ...]
    images: tuple[str, ...]


def leaks(table: Table, split: Split, *, files: bool = True) -> tuple[Leak, ...]:
    """Return what a split leaks: nothing for one by group of images that all differ.

    Cheap enough to precede every training: of the files, only those of one size are read, and none is decoded. Copies
    that are not byte for byte the same take `dspkd.data.audit.audit.audit`.

    Parameters
    ----------
    table, split
        The images, and the part of each.
    files
        Also look for equal files. A file that is not there raises DataError.
    """
    found = _crossing(table, split, "group", rows_of(table.groups))
    if files:
        found += _crossing(table, split, "file", _equal_files(table))
    return tuple(found)


def rows_of(names: Iterable[str]) -> dict[str, list[int]]:
    """Return ``{name: its rows}``, names in order of their first row."""
    rows: dict[str, list[int]] = defaultdict(list)
    for row, name in enumerate(names):
        rows[name].append(row)
    return dict(rows)


def _equal_files(table: Table) -> dict[str, list[int]]:
    """Return ``{id of the first: rows}`` of files that are equal byte for byte."""
    of_size: dict[int, list[int]] = defaultdict(list)
    for row, path in enumerate(table.paths):
        of_size[path.stat().st_size if path.exists() else -1].append(row)
    equal: dict[str, list[int]] = defaultdict(list)
    for rows in of_size.values():
        if len(rows) > 1:
            for row in rows:
                equal[digest_of(table.paths[row])].append(row)
    return {table.ids[rows[0]]: rows for rows in equal.values() if len(rows) > 1}


def _crossing(table: Table, split: Split, kind: Literal["group", "file"], members: dict[str, list[int]]) -> list[Leak]:
    crossing = []
    for name, rows in members.items():
        here = {str(split.parts[row]) for row in rows}
        if len(here) > 1:
            parts = tuple(part for part in PARTS if part in here)
            crossing.append(Leak(kind, name, parts, tuple(table.ids[row] for row in rows)))
    return crossing
