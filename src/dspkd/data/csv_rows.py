"""CSV files: their rows with the lines they stood on, and the data set that is a plain CSV of paths and labels."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path, PurePath

import numpy as np

from dspkd.data.table import Table, group_or_own, refuse_missing
from dspkd.errors import DataError, suggest


@dataclass(frozen=True)
class Rows:
    """The rows of a CSV file.

    Attributes
    ----------
    path
        The file.
    columns
        ``{name in the header: cells}``, without white space around them.
    lines
        The line of the file on which each row ends, counted from 1.
    """

    path: Path
    columns: Mapping[str, tuple[str, ...]]
    lines: tuple[int, ...]

    def column(self, name: str) -> tuple[str, ...]:
        """Return the cells of a column; DataError, with the nearest name, if there is none of this name."""
        if name not in self.columns:
            raise DataError(f"{self.path}: there is no column {name!r}; {suggest(name, self.columns)}")
        return self.columns[name]

    def filled(self, name: str) -> tuple[str, ...]:
        """Return the cells of a column; DataError, with the line, if one is empty."""
        cells = self.column(name)
        for cell, line in zip(cells, self.lines, strict=True):
            if not cell:
                raise DataError(f"{self.path}, line {line}: column {name!r} is empty; every row needs one")
        return cells

    def unique(self, name: str) -> dict[str, int]:
        """Return ``{cell: row}`` of a column; DataError, with the lines, if a cell is empty or occurs twice."""
        row_of: dict[str, int] = {}
        for row, cell in enumerate(self.filled(name)):
            if cell in row_of:
                first, second = self.lines[row_of[cell]], self.lines[row]
                raise DataError(
                    f"{self.path}, line {second}: {name} {cell!r} is given a second time (first on line {first}); "
                    "keep one of the two"
                )
            row_of[cell] = row
        return row_of


def read_rows(path: Path) -> Rows:
    """Read a CSV file: UTF-8, comma-separated, a header of different names, and as many cells in every row.

    Raises
    ------
    DataError
        The file cannot be read, is not such a CSV, or has no rows; the message names the line.
    """
    text = _text(path)
    reader = csv.reader(io.StringIO(text, newline=""), strict=True)
    try:
        lines = [(reader.line_num, [cell.strip() for cell in cells]) for cells in reader if cells]
    except csv.Error as e:
        raise DataError(f"{path}, line {reader.line_num}: not a row of a CSV file: {e}") from None
    if len(lines) < 2:
        raise DataError(f"{path}: the table is empty; want a header and at least one row")
    (_, header), *rows = lines
    if len(set(header)) < len(header):
        raise DataError(f"{path}: the columns must have different names, got {', '.join(header)}")
    for line, cells in rows:
        if len(cells) != len(header):
            raise DataError(f"{path}, line {line}: {len(cells)} cells, but the header has {len(header)}")
    columns = dict(zip(header, zip(*(cells for _, cells in rows), strict=True), strict=True))
    return Rows(path, columns, tuple(line for line, _ in rows))


def _text(path: Path) -> str:
    """Return the text of a UTF-8 file, with or without a byte-order mark."""
    try:
        content = path.read_bytes()
    except OSError as e:
        raise DataError(f"{path}: cannot be read: {e.strerror}") from None
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as e:
        line = content.count(b"\n", 0, e.start) + 1
        raise DataError(f"{path}, line {line}: not UTF-8 text; save the table as CSV in UTF-8") from None


def read(path: Path, *, image: str = "path", label: str = "label", group: str | None = None) -> Table:
    """Read a data set that is one CSV file, with a row for each image.

    Parameters
    ----------
    path
        The file, or a folder that holds this CSV and no other.
    image
        The column of image files, relative to the folder of the CSV. As written there, they are the ids.
    label
        The column of class names; the classes are those that occur, sorted.
    group
        The column of lesions or patients. When none is named, it is ``group``, if there is such a column;
        otherwise every image is a group of its own, as is one whose cell is empty.

    Raises
    ------
    DataError
        A column, a label or an image file is missing, or an image is given twice.
    """
    rows = read_rows(path if path.is_file() else only_csv(path))
    root = rows.path.parent
    ids = tuple(rows.unique(image))
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
        attributes={name: cells for name, cells in rows.columns.items() if name not in {image, label, group}},
        root=root,
    )


def only_csv(folder: Path) -> Path:
    """Return the single ``*.csv`` of a folder; DataError if there is none or more than one."""
    files = sorted(folder.glob("*.csv"))
    if len(files) != 1:
        found = ", ".join(file.name for file in files) or "none"
        raise DataError(f"{folder}: want exactly one *.csv here, found {found}; give the path of the one that is meant")
    return files[0]
