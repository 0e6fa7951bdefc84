"""Layout "csv": a table with the file and the label of each image, or one such table for each part."""

from __future__ import annotations

from pathlib import Path, PurePath

import numpy as np

from dspkd.data.csv_rows import Rows, only_csv, read_header, read_rows, tables_in
from dspkd.data.image_files import folders_in, images_in
from dspkd.data.part_names import part_of, squeezed
from dspkd.data.readers._columns import IMAGE, LABEL, find, grouping, same
from dspkd.data.readers._locate import locate
from dspkd.data.table import Origin, Table, group_or_own, refuse_missing
from dspkd.errors import DataError, suggest

LAYOUTS = ("csv",)
PRIORITY = 35
EXPECTED = "a table with the columns 'path' and 'label'"

_ANY_CLASS = ("image", "img", "picture", "photo", "jpg", "jpeg", "png", "data", "input", "part")
"""Beginnings of the names of folders that hold images of any class."""


def fits(path: Path, *, label: str = "label") -> str | None:
    """Return "csv" for a file, or for a folder with a table that names images and classes; else None.

    Where a folder holds folders that look like classes, or metadata of the Hugging Face hub, only a table with the
    columns ``path`` and `label` counts.
    """
    if path.is_file():
        return "csv"
    headers = [read_header(file) for file in tables_in(path)]
    if any({"path", squeezed(label)} <= {squeezed(name) for name in header} for header in headers):
        return "csv"
    tables = [header for header in headers if _columns(header, label) and "file_name" not in header]
    return "csv" if tables and not _has_class_folders(path) else None


def read(path: Path, *, layout: str = "csv", group: str | None = None, label: str | None = None) -> Table:  # noqa: ARG001
    """Read a data set that is a table with a row for each image.

    Parameters
    ----------
    path
        The file, or a folder that holds this table and no other; or one for each part, such as ``train.csv`` and
        ``test.csv``.
    layout
        "csv".
    group
        The column of lesions or patients. When none is named, it is ``group``, or one that is called so; otherwise
        every image is a group of its own, as is one whose cell is empty.
    label
        The column of class names, by default ``label`` or one that is called so; the classes are those that occur,
        sorted.

    Returns
    -------
    Table
        Its ids are the cells of the column that names the image, ``path`` or one that is called so: files relative to
        the folder of the table, or names of files somewhere below it.

    Raises
    ------
    DataError
        A column, a label or an image file is missing, or an image is given twice.
    """
    rows = _one_table([read_rows(file) for file in _files(path, label or "label")])
    root = rows.path.parent
    image, column = _image_column(rows), _label_column(rows, label)
    ids = tuple(rows.unique(image))
    names = rows.class_names(column)
    others = {name: cells for name, cells in rows.columns.items() if name not in {image, column}}
    chosen = grouping(others, group, rows.path, first=("group",))
    groups = others.pop(chosen.column) if chosen.column is not None else ("",) * len(ids)
    paths, notes = _paths(root, ids, rows.path, image)
    if (image, column) != ("path", label or "label"):
        notes = (f"{rows.path.name}: images from column {image!r}, classes from column {column!r}", *notes)
    classes = tuple(sorted(set(names)))
    number = {name: k for k, name in enumerate(classes)}
    return Table(
        classes=classes,
        ids=ids,
        paths=paths,
        labels=np.array([number[name] for name in names], dtype=np.int64),
        groups=group_or_own(groups, ids),
        attributes=others,
        root=root,
        origin=Origin(group=chosen.column or "", notes=rows.notes + notes + chosen.notes),
    )


def _columns(header: tuple[str, ...], label: str) -> bool:
    """Return whether a header names a column of images and one of classes."""
    return find(header, IMAGE) is not None and (find(header, [squeezed(label)]) or find(header, LABEL)) is not None


def _has_class_folders(path: Path) -> bool:
    """Return whether two or more folders hold images and look like classes."""
    inner = [folder for folder in folders_in(path) if images_in(folder)]
    return sum(not (part_of(each.name) or each.name.lower().startswith(_ANY_CLASS)) for each in inner) > 1


def _files(path: Path, label: str) -> list[Path]:
    """Return the tables to read: the file, the only one of a folder, or one for each part."""
    if path.is_file():
        return [path]
    files = [file for file in tables_in(path) if _columns(read_header(file), label)]
    if len(files) > 1 and len({part_of(file.stem) for file in files} - {None}) == len(files):
        return files
    return files if len(files) == 1 else [only_csv(path)]


def _one_table(tables: list[Rows]) -> Rows:
    """Return the rows of all tables, one below the other; several get a column ``split`` with the names of the files.

    "" where a table lacks a column.
    """
    if len(tables) == 1:
        return tables[0]
    names = dict.fromkeys(name for rows in tables for name in rows.columns)
    columns = {
        name: tuple(cell for rows in tables for cell in rows.columns.get(name, ("",) * len(rows.lines)))
        for name in names
    }
    files = tuple(rows.path.stem for rows in tables for _ in rows.lines)
    return Rows(
        path=tables[0].path,
        columns={"split": files, **columns},
        lines=tuple(line for rows in tables for line in rows.lines),
        notes=tuple(note for rows in tables for note in rows.notes),
    )


def _image_column(rows: Rows) -> str:
    image = find(rows.columns, IMAGE)
    if image is None:
        raise DataError(f"{rows.path}: no column 'path' names the image; {suggest('path', rows.columns)}")
    return image


def _label_column(rows: Rows, label: str | None) -> str:
    if label is not None:
        return same(rows.columns, label, rows.path)
    return find(rows.columns, LABEL) or same(rows.columns, "label", rows.path)


def _paths(root: Path, ids: tuple[str, ...], table: Path, image: str) -> tuple[tuple[Path, ...], tuple[str, ...]]:
    """Return the files of the images; only a column called ``path`` must give them relative to the table."""
    paths = tuple(root / PurePath(name.replace("\\", "/")) for name in ids)
    if squeezed(image) != "path" and not all(path.is_file() for path in paths):
        return locate(root, ids, table)
    refuse_missing(paths, table)
    return paths, ()
