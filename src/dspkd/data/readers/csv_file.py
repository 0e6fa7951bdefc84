"""Layout "csv": one CSV file with the path and the label of each image."""

from __future__ import annotations

from pathlib import Path, PurePath

import numpy as np

from dspkd.data.csv_rows import only_csv, read_header, read_rows
from dspkd.data.table import Table, group_or_own, refuse_missing

LAYOUTS = ("csv",)
PRIORITY = 20
EXPECTED = "a CSV with the columns 'path' and 'label'"

IMAGE = "path"
"""The column of image files."""


def fits(path: Path, *, label: str = "label") -> str | None:
    """Return "csv" for a file, or for a folder with a CSV that has the columns `IMAGE` and `label`; else None."""
    if path.is_file() or any({IMAGE, label} <= set(read_header(file)) for file in path.glob("*.csv")):
        return "csv"
    return None


def read(path: Path, *, layout: str = "csv", group: str | None = None, label: str | None = None) -> Table:  # noqa: ARG001
    """Read a data set that is one CSV file, with a row for each image.

    Parameters
    ----------
    path
        The file, or a folder that holds this CSV and no other.
    layout
        "csv".
    group
        The column of lesions or patients. When none is named, it is ``group``, if there is such a column;
        otherwise every image is a group of its own, as is one whose cell is empty.
    label
        The column of class names, by default ``label``; the classes are those that occur, sorted.

    Returns
    -------
    Table
        Its ids are the cells of the column ``path``: image files, relative to the folder of the CSV.

    Raises
    ------
    DataError
        A column, a label or an image file is missing, or an image is given twice.
    """
    rows = read_rows(path if path.is_file() else only_csv(path))
    label = label or "label"
    root = rows.path.parent
    ids = tuple(rows.unique(IMAGE))
    names = rows.filled(label)
    if group is None and "group" in rows.columns:
        group = "group"
    groups = rows.column(group) if group is not None else ("",) * len(ids)
    paths = tuple(root / PurePath(name) for name in ids)
    refuse_missing(paths, rows.path)
    classes = tuple(sorted(set(names)))
    number = {name: k for k, name in enumerate(classes)}
    return Table(
        classes=classes,
        ids=ids,
        paths=paths,
        labels=np.array([number[name] for name in names], dtype=np.int64),
        groups=group_or_own(groups, ids),
        attributes={name: cells for name, cells in rows.columns.items() if name not in {IMAGE, label, group}},
        root=root,
    )
