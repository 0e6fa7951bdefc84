"""The table in a spreadsheet: which of its sheets it is, where it begins, and cells that are merged over rows."""

from __future__ import annotations

import json
import re
import zipfile
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

from dspkd.data.csv_header import WITHIN, header_row, names_an_image
from dspkd.errors import DataError
from dspkd.runtime.zip_files import DAMAGED

_MERGED = re.compile(rb'<(?:\w+:)?mergeCell\s[^>]*?ref="\$?([A-Z]{1,3})\$?(\d{1,7}):\$?[A-Z]{1,3}\$?(\d{1,7})"')
_CHUNK, _OVERLAP = 1 << 20, 200
"""Bytes of a sheet that are searched at a time, and those of the end that are searched again."""

Row = tuple[int, tuple[Any, ...]]
"""The number of a row, from 1, and its cells."""


@contextmanager
def sheet(path: Path, *, merged: bool = True) -> Iterator[tuple[tuple[str, ...], Iterator[tuple[int, dict[str, Any]]]]]:
    """Give notes on which sheet is used and on merged cells, and each row's number and cells.

    Empty rows and columns without a name are left out, and what is above the header. Cells that are `merged` over
    several rows hold their value in each of them.
    """
    try:
        import openpyxl
    except ImportError:
        raise DataError(
            f"{path}: a spreadsheet needs openpyxl, not installed: pip install 'dspkd[xlsx]'; or save it as CSV"
        ) from None
    try:
        with closing(openpyxl.load_workbook(path, read_only=True, data_only=True)) as book:
            chosen, above = _chosen(book.worksheets)
            rows = enumerate(chosen.iter_rows(values_only=True), start=1)
            filled = ((number, cells) for number, cells in rows if number > above and _count(cells))
            header, titles = next(filled, (0, ()))
            names = [text_of(name) for name in titles]
            if len(set(filter(None, names))) < len(list(filter(None, names))):
                raise DataError(f"{path}: the columns must have different names, got {', '.join(names)}")
            notes = [f"sheet {chosen.title!r} of {len(book.worksheets)}"] if len(book.worksheets) > 1 else []
            ranges = _ranges(path, chosen._worksheet_path, header) if merged else {}
            if ranges:
                number = sum(map(len, ranges.values()))
                notes.append(f"{number:,} cells that are merged over several rows hold their value in each")
            yield (
                tuple(f"{path.name}: {note}" for note in notes),
                (
                    (number, {name: cell for name, cell in zip(names, cells, strict=False) if name})
                    for number, cells in _spread(filled, ranges)
                ),
            )
    except (OSError, TypeError, *DAMAGED) as e:
        raise DataError(f"{path}: not a readable spreadsheet: {e}") from None


def text_of(value: object) -> str:
    """Return a cell as text: "" for null, JSON for numbers and lists."""
    if value is None:
        return ""
    return value.strip() if isinstance(value, str) else json.dumps(value, default=str, ensure_ascii=False).strip('"')


def _chosen(sheets: Sequence[Any]) -> tuple[Any, int]:
    """Return the sheet to read, and the rows above its header.

    That is the first whose header names images, as one behind a legend does; else the first with two columns or more.
    """
    wide: list[tuple[Any, int]] = []
    for each in sheets:
        rows = [list(map(text_of, cells)) for cells in each.iter_rows(values_only=True, max_row=WITHIN)]
        above = header_row(rows)
        if above is not None and names_an_image(rows[above]):
            return each, above
        wide += [] if above is None else [(each, above)]
    return wide[0] if wide else (sheets[0], 0)


def _count(cells: Iterable[Any]) -> int:
    return sum(cell is not None for cell in cells)


def _ranges(path: Path, inner: str, header: int) -> dict[int, list[tuple[int, int]]]:
    """Return ``{first row: [(column from 0, last row)]}`` of cells below the header that are merged over rows."""
    found: dict[int, list[tuple[int, int]]] = defaultdict(list)
    rest = b""
    with zipfile.ZipFile(path) as archive, archive.open(inner) as xml:
        while chunk := xml.read(_CHUNK):
            end, text = 0, rest + chunk
            for match in _MERGED.finditer(text):
                end, first, last = match.end(), int(match[2]), int(match[3])
                if header < first < last:
                    found[first].append((_number_of(match[1]), last))
            rest = text[max(end, len(text) - _OVERLAP) :]
    return found


def _number_of(column: bytes) -> int:
    """Return the number of a column, from 0.

    >>> _number_of(b"A"), _number_of(b"AB")
    (0, 27)
    """
    number = 0
    for letter in column:
        number = 26 * number + letter - ord("A") + 1
    return number - 1


def _spread(rows: Iterable[Row], ranges: Mapping[int, Sequence[tuple[int, int]]]) -> Iterator[Row]:
    """Yield the rows with the value of a merged cell in each row that it covers."""
    held: dict[int, tuple[int, Any]] = {}
    for number, cells in rows:
        filled = [*cells, *(None,) * (max(held, default=-1) + 1 - len(cells))]
        for column, (last, value) in held.items():
            if number <= last and filled[column] is None:
                filled[column] = value
        for column, last in ranges.get(number, ()):
            held[column] = (last, filled[column] if column < len(filled) else None)
        yield number, tuple(filled)
