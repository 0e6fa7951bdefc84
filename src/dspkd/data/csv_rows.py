"""CSV files: their columns, and the line of the file that each row is on."""

from __future__ import annotations

import codecs
import csv
import io
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from dspkd.data.image_files import ignored
from dspkd.errors import DataError, suggest
from dspkd.runtime.files import read_bytes

SUFFIXES = (".csv", ".tsv", ".tab")
"""Suffixes of tables."""

_DELIMITERS = {",": "commas", ";": "semicolons", "\t": "tabs"}
_MISSING = frozenset({"nan", "NaN", "NAN", "NA", "N/A", "n/a", "<NA>", "None", "null", "NULL"})
"""Cells that programs write for a missing value."""

_HEADER = 1_000_000
"""Characters within which the header ends."""


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
    notes
        Lines about what was unusual in the file: another delimiter, empty rows.
    """

    path: Path
    columns: Mapping[str, tuple[str, ...]]
    lines: tuple[int, ...]
    notes: tuple[str, ...] = ()

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

    def class_names(self, name: str) -> tuple[str, ...]:
        """Return the cells of a column of classes.

        Raises
        ------
        DataError
            A cell is empty or stands for a missing value, or two cells are the same number in two spellings.
        """
        cells = self.filled(name)
        for cell, line in zip(cells, self.lines, strict=True):
            if cell in _MISSING:
                raise DataError(
                    f"{self.path}, line {line}: column {name!r} has {cell!r}, which stands for a missing value; give "
                    "the image a class, or leave out its row"
                )
        spelling: dict[float, str] = {}
        for cell in dict.fromkeys(cells):
            with suppress(ValueError):
                if (first := spelling.setdefault(float(cell), cell)) != cell:
                    raise DataError(
                        f"{self.path}: column {name!r} has {first!r} and {cell!r}, one number that would be two "
                        "classes; write it in one way"
                    )
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
    """Read a table: UTF-8 or UTF-16 text, a header of different names, and as many cells in every row.

    Cells are separated by commas, semicolons or tabs, whichever divides the header into most names. Empty rows
    are left out, and so are cells at the end of a row that are empty and have no name in the header. All cells stay
    text.

    One whose name ends in ``.gz`` is decompressed.

    Raises
    ------
    DataError
        The file cannot be read, is not such a table, or has no rows; the message names the line.
    """
    text = text_of(path)
    delimiter = _delimiter(text)
    reader = csv.reader(io.StringIO(text, newline=""), strict=True, delimiter=delimiter)
    try:
        lines = [(reader.line_num, [cell.strip() for cell in cells]) for cells in reader if cells]
    except csv.Error as e:
        raise DataError(f"{path}, line {reader.line_num}: not a row of a CSV file: {e}") from None
    filled = [(line, cells) for line, cells in lines if any(cells)]
    if len(filled) < 2:
        raise DataError(f"{path}: the table is empty; expected a header and at least one row")
    header = _without_empty_end(filled[0][1])
    rows = [(line, [*cells[: len(header)], *_without_empty_end(cells[len(header) :])]) for line, cells in filled[1:]]
    if len(set(header)) < len(header):
        raise DataError(f"{path}: the columns must have different names, got {', '.join(header)}")
    for line, cells in rows:
        if len(cells) != len(header):
            raise DataError(f"{path}, line {line}: {len(cells)} cells, but the header has {len(header)}")
    columns = dict(zip(header, zip(*(cells for _, cells in rows), strict=True), strict=True))
    notes = [] if delimiter == "," else [f"cells separated by {_DELIMITERS[delimiter]}"]
    if len(filled) < len(lines):
        notes.append(f"{len(lines) - len(filled)} empty rows left out")
    return Rows(path, columns, tuple(line for line, _ in rows), (f"{path.name}: {', '.join(notes)}",) if notes else ())


def read_header(path: Path) -> tuple[str, ...]:
    """Return the column names of a table and read no further; empty where it has none that can be read."""
    try:
        with path.open("rb") as file:
            utf_16 = file.read(2) in (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)
        with path.open(encoding="utf-16" if utf_16 else "utf-8-sig", errors="replace", newline="") as lines:
            first = next((line for line in lines if line.strip()), "")
            delimiter = _delimiter(first)
            cells = next(filter(None, csv.reader(_chained(first, lines), strict=True, delimiter=delimiter)), [])
            return tuple(_without_empty_end([cell.strip() for cell in cells]))
    except (OSError, csv.Error, UnicodeError):
        return ()


def tables_in(folder: Path, names: Sequence[str] = ("*",)) -> list[Path]:
    """Return the tables in a folder, sorted by name, without hidden ones."""
    files = {file for name in names for suffix in SUFFIXES for file in folder.glob(f"{name}{suffix}")}
    return sorted(file for file in files if not ignored(file.name))


def only_csv(folder: Path) -> Path:
    """Return the single table of a folder, the CSV where there are others; DataError if there is not one."""
    files = [file for file in tables_in(folder) if file.suffix == ".csv"] or tables_in(folder)
    if len(files) != 1:
        names = ", ".join(file.name for file in files) or "none"
        raise DataError(f"{folder}: expected exactly one *.csv here, found {names}; give the path of the right one")
    return files[0]


def text_of(path: Path) -> str:
    """Return the text of a file in UTF-8, or in UTF-16 with a byte-order mark; DataError for another encoding."""
    try:
        content = read_bytes(path)
    except OSError as e:
        raise DataError(f"{path}: cannot be read: {e.strerror}") from None
    if content.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        return content.decode("utf-16", errors="replace")
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as e:
        line = content.count(b"\n", 0, e.start) + 1
        raise DataError(f"{path}, line {line}: not UTF-8 text; save the table as CSV in UTF-8") from None


def _delimiter(text: str) -> str:
    """Return the delimiter that divides the first line of a table into most cells; a comma where none does."""
    first = next((line for line in io.StringIO(text[:_HEADER]) if line.strip()), "")
    counts = {}
    for delimiter in _DELIMITERS:
        try:
            counts[delimiter] = len(next(csv.reader([first], delimiter=delimiter), []))
        except csv.Error:
            counts[delimiter] = 0
    return max(counts, key=counts.__getitem__)


def _without_empty_end(cells: list[str]) -> list[str]:
    while cells and not cells[-1]:
        cells = cells[:-1]
    return cells


def _chained(first: str, rest: Iterator[str]) -> Iterator[str]:
    yield first
    yield from rest
