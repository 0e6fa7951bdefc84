"""The layouts of a table of image names beside images that lie somewhere below it: PAD-UFES-20 and HAM10000."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from dspkd.data.csv_rows import read_rows
from dspkd.data.readers.class_folders import SUFFIXES, bare
from dspkd.data.table import Table, group_or_own
from dspkd.errors import DataError, first_few


@dataclass(frozen=True)
class TableLayout:
    """What the table of a layout is called, and its columns of images, classes, and lesions or patients."""

    table: str
    image: str
    label: str
    group: str


LAYOUTS = {
    # Lesions of one patient look alike too, and keeping a patient together keeps the lesions together.
    "pad-ufes-20": TableLayout("metadata.csv", "img_id", "diagnostic", "patient_id"),
    "ham10000": TableLayout("HAM10000_metadata.csv", "image_id", "dx", "lesion_id"),
}
"""``{layout: what its table is called}``."""


def read(path: Path, layout: str, *, group: str | None = None) -> Table:
    """Read a data set whose table names images that lie in the folder or in folders below it.

    A name may lack its suffix, or have that of another format: copies of PAD-UFES-20 go round as JPEG.

    Parameters
    ----------
    path
        The folder of the table.
    layout
        One of `LAYOUTS`.
    group
        The column of lesions or patients; when none is named, the layout's own.

    Returns
    -------
    Table
        Its classes are those that occur, sorted; its ids are the names in the table.

    Raises
    ------
    DataError
        The table or a column is missing, or an image is missing or lies in two places.
    """
    named = LAYOUTS[layout]
    rows = read_rows(path / named.table)
    ids = tuple(rows.unique(named.image))
    labels = rows.filled(named.label)
    groups = rows.column(group or named.group)
    classes = tuple(sorted(set(labels)))
    number = {name: k for k, name in enumerate(classes)}
    others = {name: cells for name, cells in rows.columns.items() if name not in {named.image, named.label}}
    return Table(
        classes=classes,
        ids=ids,
        paths=_found(path, ids, rows.path),
        labels=np.array([number[name] for name in labels], dtype=np.int64),
        groups=group_or_own(groups, ids),
        attributes={name: cells for name, cells in others.items() if name != (group or named.group)},
        root=path,
    )


def fits(path: Path, layout: str) -> bool:
    """Return whether the folder holds the table of a layout, with its columns."""
    named = LAYOUTS[layout]
    table = path / named.table
    return table.is_file() and {named.image, named.label, named.group} <= read_rows(table).columns.keys()


def _found(root: Path, ids: tuple[str, ...], table: Path) -> tuple[Path, ...]:
    """Return the file of each image."""
    called: dict[str, list[Path]] = {}
    for file in sorted(root.rglob("*")):
        inside = file.relative_to(root).parts
        if file.suffix.lower() in SUFFIXES and not any(part.startswith(".") for part in inside):
            for name in {file.name, file.stem}:
                called.setdefault(name, []).append(file)
    files = {name: called.get(name) or called.get(bare(name), []) for name in ids}
    missing = [name for name in ids if not files[name]]
    if missing:
        raise DataError(f"{table}: {len(missing)} of {len(ids)} images are nowhere below {root}: {first_few(missing)}")
    twice = [name for name in ids if len(files[name]) > 1]
    if twice:
        raise DataError(f"{table}: {twice[0]!r} is {' and '.join(map(str, files[twice[0]][:2]))}; keep one of the two")
    return tuple(files[name][0] for name in ids)
