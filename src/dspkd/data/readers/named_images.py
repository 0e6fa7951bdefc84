"""Layouts "pad-ufes-20" and "ham10000": a table of image names, and images somewhere below its folder."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from dspkd.data.csv_rows import read_header, read_rows
from dspkd.data.image_files import bare, images_below
from dspkd.data.readers._columns import refuse_label
from dspkd.data.table import Table, group_or_own
from dspkd.errors import DataError, first_few


@dataclass(frozen=True)
class TableLayout:
    """File name of a layout's table, and its columns of images, classes, and lesions or patients."""

    table: str
    image: str
    label: str
    group: str


PRIORITY = 30
EXPECTED = "the published table above its images"

LAYOUTS = {
    # By patient: lesions of one patient look similar too, and keeping a patient together keeps the lesions together.
    "pad-ufes-20": TableLayout("metadata.csv", "img_id", "diagnostic", "patient_id"),
    "ham10000": TableLayout("HAM10000_metadata.csv", "image_id", "dx", "lesion_id"),
}


def fits(path: Path, *, label: str = "label") -> str | None:  # noqa: ARG001
    """Return the layout whose table, with its columns, the folder holds; else None."""
    for name, table in LAYOUTS.items():
        if {table.image, table.label, table.group} <= set(read_header(path / table.table)):
            return name
    return None


def read(path: Path, *, layout: str, group: str | None = None, label: str | None = None) -> Table:
    """Read a data set whose table names images that lie in the folder or in folders below it.

    A name may lack its suffix, or have that of another format: there are copies of PAD-UFES-20 in JPEG.

    Parameters
    ----------
    path
        The folder of the table.
    layout
        One of `LAYOUTS`.
    group
        The column of lesions or patients; when none is named, the layout's own.
    label
        Must be None: the layout names the column.

    Returns
    -------
    Table
        Its classes are those that occur, sorted; its ids are the names in the table.

    Raises
    ------
    DataError
        The table or a column is missing, or an image is missing or lies in two places.
    """
    refuse_label(path, layout, label)
    columns = LAYOUTS[layout]
    rows = read_rows(path / columns.table)
    ids = tuple(rows.unique(columns.image))
    labels = rows.filled(columns.label)
    groups = rows.column(group or columns.group)
    classes = tuple(sorted(set(labels)))
    number = {name: k for k, name in enumerate(classes)}
    others = {name: cells for name, cells in rows.columns.items() if name not in {columns.image, columns.label}}
    return Table(
        classes=classes,
        ids=ids,
        paths=_locate(path, ids, rows.path),
        labels=np.array([number[name] for name in labels], dtype=np.int64),
        groups=group_or_own(groups, ids),
        attributes={name: cells for name, cells in others.items() if name != (group or columns.group)},
        root=path,
    )


def _locate(root: Path, ids: tuple[str, ...], table: Path) -> tuple[Path, ...]:
    """Return the file of each image."""
    files_of: dict[str, list[Path]] = {}
    for file in images_below(root):
        for name in {file.name, file.stem}:
            files_of.setdefault(name, []).append(file)
    files = {name: files_of.get(name) or files_of.get(bare(name), []) for name in ids}
    missing = [name for name in ids if not files[name]]
    if missing:
        raise DataError(f"{table}: {len(missing)} of {len(ids)} images are nowhere below {root}: {first_few(missing)}")
    twice = [name for name in ids if len(files[name]) > 1]
    if twice:
        raise DataError(f"{table}: {twice[0]!r} is {' and '.join(map(str, files[twice[0]][:2]))}; keep one of the two")
    return tuple(files[name][0] for name in ids)
