"""Layouts "pad-ufes-20" and "ham10000": a table of image names, and images somewhere below its folder."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from dspkd.data.csv_rows import read_header, read_rows
from dspkd.data.readers._beside import with_tables_beside
from dspkd.data.readers._columns import refuse_label
from dspkd.data.readers._locate import locate
from dspkd.data.readers._published import PUBLISHED
from dspkd.data.table import Origin, Table, group_or_own


@dataclass(frozen=True)
class TableLayout:
    """Name of a layout's table without suffix, and its columns of images, classes, and lesions or patients."""

    table: str
    image: str
    label: str
    group: str


PRIORITY = 30
EXPECTED = "the published table above its images"

LAYOUTS = {
    # By patient: lesions of one patient look similar too, and keeping a patient together keeps the lesions together.
    "pad-ufes-20": TableLayout("metadata", "img_id", "diagnostic", "patient_id"),
    "ham10000": TableLayout("HAM10000_metadata", "image_id", "dx", "lesion_id"),
}

PUBLISHED |= {name: frozenset({each.image, each.label, each.group}) for name, each in LAYOUTS.items()}


def fits(path: Path, *, label: str = "label") -> str | None:  # noqa: ARG001
    """Return the layout whose table, with its columns, the folder holds; else None."""
    for name, columns in LAYOUTS.items():
        if {columns.image, columns.label, columns.group} <= set(read_header(_table_file(path, columns))):
            return name
    return None


def read(path: Path, *, layout: str, group: str | None = None, label: str | None = None) -> Table:
    """Read a data set whose table names images that lie in the folder or in folders below it.

    A name may lack its suffix, or have that of another format: there are copies of PAD-UFES-20 in JPEG. Other tables
    beside it add what they know of these images.

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
        The table or a column is missing, or an image is missing or is two different files.
    """
    refuse_label(path, layout, label)
    columns = LAYOUTS[layout]
    rows = read_rows(_table_file(path, columns))
    ids = tuple(rows.unique(columns.image))
    labels = rows.filled(columns.label)
    others = {name: cells for name, cells in rows.columns.items() if name not in {columns.image, columns.label}}
    paths, notes = locate(path, ids, rows.path)
    classes = tuple(sorted(set(labels)))
    number = {name: k for k, name in enumerate(classes)}
    table = Table(
        classes=classes,
        ids=ids,
        paths=paths,
        labels=np.array([number[name] for name in labels], dtype=np.int64),
        groups=group_or_own(("",) * len(ids), ids),
        attributes=others,
        root=path,
        origin=Origin(notes=rows.notes + notes),
    )
    return with_tables_beside(
        table, rows.path, [rows.path], image=columns.image, label=columns.label, group=group, first=(columns.group,)
    )


def _table_file(path: Path, columns: TableLayout) -> Path:
    """Return the table of a layout, as CSV, tab-separated as Dataverse has it, or without a suffix."""
    names = [f"{columns.table}{suffix}" for suffix in (".csv", ".tab", ".tsv", "")]
    return next((path / name for name in names if (path / name).is_file()), path / names[0])
