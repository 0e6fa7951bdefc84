"""CSV files: their columns, and the line of the file that each row is on."""

from __future__ import annotations

import codecs
import csv
import gzip
import io
import re
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from itertools import chain
from pathlib import Path
from typing import Any

from dspkd.data.csv_header import DELIMITERS, beginning, from_header
from dspkd.data.file_kinds import unlike_a_table
from dspkd.errors import DataError, suggest
from dspkd.runtime.csv_text import as_read
from dspkd.runtime.files import read_bytes

SUFFIXES = (".csv", ".tsv", ".tab", ".csv.gz", ".tsv.gz")
"""Suffixes of tables as text, in lower case."""

_WINDOWS = "cp1252"
"""The encoding in which spreadsheets in Europe and America save a CSV that is not UTF-8; equals Latin-1 for letters."""
_NOT_WESTERN = re.compile(rb"[\xa1-\xff]{4}")
"""Four accented letters of Windows-1252 in a row, which no Western language has. Inferred."""
_HEADER = 1_000_000
"""Characters within which the header ends."""
_SHARED = 24
"""Length of a cell below which equal ones are one string in memory."""


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
    files
        The file of each row, where they come from several; else empty.
    sheets
        The sheet of each row, where they come from several sheets of a file; else empty.
    doubts
        Lines about tables beside it with columns of lesion or patient ids that are not used.
    """

    path: Path
    columns: Mapping[str, tuple[str, ...]]
    lines: tuple[int, ...]
    notes: tuple[str, ...] = ()
    files: tuple[Path, ...] = ()
    sheets: tuple[str, ...] = ()
    doubts: tuple[str, ...] = ()

    def at(self, row: int) -> str:
        """Return where a row stands, for a message: its file, its sheet where there are several, and its line."""
        return f"{self._file(row)}, line {self.lines[row]}"

    def _file(self, row: int) -> str:
        sheet = f", sheet {self.sheets[row]!r}" if self.sheets and self.sheets[row] else ""
        return f"{self.files[row] if self.files else self.path}{sheet}"

    def take(self, rows: Sequence[int]) -> Rows:
        """Return these rows, in this order; one may be there twice."""
        return replace(
            self,
            columns={name: tuple(cells[row] for row in rows) for name, cells in self.columns.items()},
            lines=tuple(self.lines[row] for row in rows),
            files=tuple(self.files[row] for row in rows) if self.files else (),
            sheets=tuple(self.sheets[row] for row in rows) if self.sheets else (),
        )

    def column(self, name: str) -> tuple[str, ...]:
        """Return the cells of a column; DataError, with the nearest name, if it does not exist."""
        if name not in self.columns:
            raise DataError(f"{self.path}: no column {name!r}; {suggest(name, self.columns)}")
        return self.columns[name]

    def filled(self, name: str) -> tuple[str, ...]:
        """Return the cells of a column; DataError, with the line, if one is empty."""
        cells = self.column(name)
        for row, cell in enumerate(cells):
            if not cell:
                raise DataError(f"{self.at(row)}: column {name!r} is empty; every row needs one")
        return cells

    def unique(self, name: str) -> dict[str, int]:
        """Return ``{cell: row}`` of a column; DataError, with the lines, if a cell is empty or occurs twice."""
        row_of: dict[str, int] = {}
        for row, cell in enumerate(self.filled(name)):
            if cell in row_of:
                before = row_of[cell]
                elsewhere = self._file(before) != self._file(row)
                first = f"in {self.at(before)}" if elsewhere else f"on line {self.lines[before]}"
                raise DataError(
                    f"{self.at(row)}: {name} {cell!r} is there a second time (first {first}); keep one of the two"
                )
            row_of[cell] = row
        return row_of


def read_rows(path: Path, *, without: Callable[[str], bool] = lambda _: False) -> Rows:
    """Read a table: a header of different names, and as many cells in every row.

    The text is UTF-8 or UTF-16; what is neither is read as Windows-1252, with a note. Cells are separated by commas,
    semicolons, tabs or bars, whichever divides the header into most names. A title and comments above the header and
    empty rows are left out, and so are cells at the end of a row that are empty and have no name in the header. All
    cells stay text.

    One whose name ends in ``.gz`` is decompressed.

    Parameters
    ----------
    path
        The file.
    without
        Whether to leave out a column of this name: a large table has hundreds that nobody reads.

    Raises
    ------
    DataError
        The file cannot be read, is not such a table, or has no rows; the message names the line.
    """
    content = _content(path)
    if other := unlike_a_table(content):
        raise DataError(f"{path}: {other}")
    for encoding in _encodings(content):
        with io.TextIOWrapper(io.BytesIO(content), encoding=encoding, newline="") as text, suppress(UnicodeDecodeError):
            begins = beginning(io.StringIO(text.read(_HEADER), newline=""))
            text.seek(0)
            reader = csv.reader(text, strict=True, delimiter=begins.delimiter, skipinitialspace=True)
            columns, lines, blank = _columns(path, reader, begins.titles, without)
            break
    else:
        raise _not_text(path, content)
    if not lines:
        raise DataError(f"{path}: the table is empty; expected a header and at least one row")
    notes = [] if begins.delimiter == "," else [f"cells separated by {DELIMITERS[begins.delimiter]}"]
    if begins.titles:
        notes.append(f"a title above the header left out ({begins.titles} lines)")
    if encoding == _WINDOWS:
        notes.append("not UTF-8, read as Windows-1252: check names with accents, or save the table as CSV in UTF-8")
    if blank:
        notes.append(f"{blank} empty rows left out")
    return Rows(path, columns, tuple(lines), (f"{path.name}: {', '.join(notes)}",) if notes else ())


def _columns(
    path: Path, reader: Any, titles: int, without: Callable[[str], bool]
) -> tuple[dict[str, tuple[str, ...]], list[int], int]:
    """Return the columns, the line of each row, and the number of empty rows, from a `csv.reader`."""
    header: list[str] = []
    columns: dict[int, list[str]] = {}
    lines: list[int] = []
    blank = 0
    same: dict[str, str] = {}  # one string for all cells with the same text
    for row in from_header(_rows_of(path, reader), titles):
        if not any(map(str.strip, row)):
            blank += bool(row)
        elif not header:
            header = _without_empty_end(list(map(_clean, row)))
            if len(set(header) - {""}) < len([name for name in header if name]):
                raise _same_names(path, header)
            columns = {number: [] for number, name in enumerate(header) if not without(name)}
        else:
            beyond = _without_empty_end(list(map(_clean, row[len(header) :])))
            if len(row) < len(header) or beyond:
                number = min(len(row), len(header)) + len(beyond)
                raise DataError(f"{path}, line {reader.line_num}: {number} cells, but the header has {len(header)}")
            lines.append(reader.line_num)
            for number, column in columns.items():
                cell = _clean(row[number])
                column.append(same.setdefault(cell, cell) if len(cell) < _SHARED else cell)
    named = {number: tuple(column) for number, column in columns.items() if header[number] or any(column)}
    if len({header[number] for number in named}) < len(named):
        raise _same_names(path, header)
    return {header[number]: cells for number, cells in named.items()}, lines, blank


def _same_names(path: Path, header: Sequence[str]) -> DataError:
    names = ", ".join(name or "(no name)" for name in header)
    return DataError(f"{path}: the columns must have different names, got {names}")


def _clean(cell: str) -> str:
    bare = cell.strip()
    return as_read(bare) if bare.startswith("'") else bare


def _rows_of(path: Path, reader: Any) -> Iterator[list[str]]:
    try:
        yield from reader
    except csv.Error as e:
        raise DataError(f"{path}, line {reader.line_num}: not a row of a CSV file: {e}") from None


def read_header(path: Path) -> tuple[str, ...]:
    """Return the column names of a table and read no further; empty where it has none that can be read."""
    with suppress(OSError, EOFError, zlib.error, csv.Error):
        packed = path.suffix.lower() == ".gz"
        with gzip.open(path) if packed else path.open("rb") as file:
            encodings = _encodings(file.read(2))
        for encoding in encodings:
            errors = "replace" if encoding == encodings[-1] else "strict"
            how: dict[str, Any] = {"encoding": encoding, "errors": errors, "newline": ""}
            with gzip.open(path, "rt", **how) if packed else path.open(**how) as lines, suppress(UnicodeError):
                begins = beginning(lines)
                reader = csv.reader(
                    chain(begins.lines, lines), strict=True, delimiter=begins.delimiter, skipinitialspace=True
                )
                cells = next(from_header(reader, begins.titles), [])
                return tuple(_without_empty_end(list(map(_clean, cells))))
    return ()


def lines_of(path: Path) -> Iterator[str]:
    """Yield the lines of a file in UTF-8 or UTF-16, one after the other; only a line feed ends a line.

    Raises
    ------
    DataError
        The file cannot be read, or has another encoding.
    """
    try:
        with path.open("rb") as file:
            encoding = _encodings(file.read(2))[0]
        with path.open(encoding=encoding, newline="\n") as lines:
            yield from lines
    except OSError as e:
        raise DataError(f"{path}: cannot be read: {e.strerror}") from None
    except UnicodeDecodeError:
        raise _not_text(path, _content(path)) from None


def _content(path: Path) -> bytes:
    try:
        return read_bytes(path)
    except OSError as e:
        raise DataError(f"{path}: cannot be read: {e.strerror}") from None


def _encodings(content: bytes) -> tuple[str, ...]:
    """Return the encodings that a text may have, by its first two bytes; of UTF-16, one is 0 without a mark.

    Windows-1252 is none where accented letters follow each other: then the text is Cyrillic, Chinese or another.
    """
    if content.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        return ("utf-16",)
    if len(content) > 1 and 0 in content[:2]:
        return ("utf-16-be" if content[0] == 0 else "utf-16-le",)
    return ("utf-8-sig",) if _NOT_WESTERN.search(content) else ("utf-8-sig", _WINDOWS)


def _not_text(path: Path, content: bytes) -> DataError:
    """Return the error about a file that is no text, with the line of the first byte that is none."""
    try:
        content.decode(_encodings(content)[0])
    except UnicodeDecodeError as e:
        line = content.count(b"\n", 0, e.start) + 1
        return DataError(f"{path}, line {line}: not UTF-8 text; save the table as CSV in UTF-8")
    raise AssertionError("the file is text")


def _without_empty_end(cells: list[str]) -> list[str]:
    while cells and not cells[-1]:
        cells = cells[:-1]
    return cells
