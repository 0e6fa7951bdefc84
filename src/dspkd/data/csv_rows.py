"""CSV files: their columns, and the line of the file that each row is on."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from dspkd.errors import DataError, suggest
from dspkd.runtime.files import read_bytes


@dataclass(frozen=True)
class Rows:
    """The rows of a CSV file, column by column.

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
        """Return the cells of a column; DataError, with the nearest name, if it does not exist."""
        if name not in self.columns:
            raise DataError(f"{self.path}: no column {name!r}; {suggest(name, self.columns)}")
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
                    f"{self.path}, line {second}: {name} {cell!r} is there a second time (first on line {first}); "
                    "keep one of the two"
                )
            row_of[cell] = row
        return row_of


def read_rows(path: Path) -> Rows:
    """Read a CSV file: UTF-8, comma-separated, a header of different names, and as many cells in every row.

    One whose name ends in ``.gz`` is decompressed.

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
        raise DataError(f"{path}: the table is empty; expected a header and at least one row")
    (_, header), *rows = lines
    if len(set(header)) < len(header):
        raise DataError(f"{path}: the columns must have different names, got {', '.join(header)}")
    for line, cells in rows:
        if len(cells) != len(header):
            raise DataError(f"{path}, line {line}: {len(cells)} cells, but the header has {len(header)}")
    columns = dict(zip(header, zip(*(cells for _, cells in rows), strict=True), strict=True))
    return Rows(path, columns, tuple(line for line, _ in rows))


def read_header(path: Path) -> tuple[str, ...]:
    """Return the column names of a CSV file and read no further; empty where it has none that can be read."""
    try:
        with path.open(encoding="utf-8-sig", errors="replace", newline="") as file:
            return tuple(cell.strip() for cell in next(filter(None, csv.reader(file, strict=True)), ()))
    except (OSError, csv.Error):
        return ()


def _text(path: Path) -> str:
    """Return the text of a UTF-8 file, with or without a byte-order mark."""
    try:
        content = read_bytes(path)
    except OSError as e:
        raise DataError(f"{path}: cannot be read: {e.strerror}") from None
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as e:
        line = content.count(b"\n", 0, e.start) + 1
        raise DataError(f"{path}, line {line}: not UTF-8 text; save the table as CSV in UTF-8") from None


def only_csv(folder: Path) -> Path:
    """Return the single ``*.csv`` of a folder; DataError if there is none or more than one."""
    files = sorted(folder.glob("*.csv"))
    if len(files) != 1:
        names = ", ".join(file.name for file in files) or "none"
        raise DataError(f"{folder}: expected exactly one *.csv here, found {names}; give the path of the right one")
    return files[0]
