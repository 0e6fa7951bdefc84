"""CSV files whose text a spreadsheet never takes for a formula.

A spreadsheet computes a cell that begins with ``=``, ``+``, ``-`` or ``@``, so that a file name could start a program.
Such a cell is written with an apostrophe before it, which spreadsheets read as "this is text"; `as_read` takes it away.
Numbers stay numbers.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Iterable, Iterator
from typing import Any, Protocol

_FORMULA = re.compile(r"'*[=+\-@\uff1d\uff0b\uff0d\uff20\t\r\n]")
_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?")


class _Sink(Protocol):
    def write(self, text: str, /) -> object: ...


class _LineFeeds:
    """Ends lines in a line feed; the writer is given both characters, since it quotes cells that have one of them."""

    def __init__(self, file: _Sink) -> None:
        self._file = file

    def write(self, line: str) -> object:
        return self._file.write(line.removesuffix("\r\n") + "\n")


class Writer:
    """Writes rows as `csv.writer` does, each cell of text so that it stays text; lines end in a line feed."""

    def __init__(self, file: _Sink, *, delimiter: str = ",") -> None:
        self._rows = csv.writer(_LineFeeds(file), delimiter=delimiter, lineterminator="\r\n")

    def writerow(self, cells: Iterable[Any]) -> None:
        """Write a row."""
        self._rows.writerow([as_written(cell) if isinstance(cell, str) else cell for cell in cells])

    def writerows(self, rows: Iterable[Iterable[Any]]) -> None:
        """Write several rows."""
        for row in rows:
            self.writerow(row)


class Reader:
    """Reads rows as `csv.reader` does, with the cells that `Writer` was given."""

    def __init__(self, lines: Iterable[str], *, strict: bool = False) -> None:
        self._rows = csv.reader(lines, strict=strict)

    def __iter__(self) -> Iterator[list[str]]:
        return self

    def __next__(self) -> list[str]:
        return [as_read(cell) for cell in next(self._rows)]

    @property
    def line_num(self) -> int:
        """The lines read so far."""
        return self._rows.line_num


def as_written(cell: str) -> str:
    """Return a cell as it is written: after an apostrophe where a spreadsheet would compute it.

    >>> as_written("=1+1"), as_written("-1.5e-3"), as_written("-1.jpg"), as_written("it's")
    ("'=1+1", '-1.5e-3', "'-1.jpg", "it's")
    """
    return f"'{cell}" if _FORMULA.match(cell) and not _NUMBER.fullmatch(cell) else cell


def as_read(cell: str) -> str:
    """Return the cell of which `as_written` made this one.

    >>> as_read("'=1+1"), as_read("'quoted'")
    ('=1+1', "'quoted'")
    """
    return cell[1:] if cell.startswith("'") and _FORMULA.match(cell) else cell
