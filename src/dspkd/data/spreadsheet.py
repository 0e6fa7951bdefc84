"""The table in a spreadsheet: which of its sheets it is, where it begins, and cells that are merged over rows."""

from __future__ import annotations

import json
import re
import zipfile
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dspkd.data.csv_header import WITHIN, header_row, names_an_image
from dspkd.data.part_names import part_of, squeezed
from dspkd.errors import DataError
from dspkd.runtime.zip_files import DAMAGED

_MERGED = re.compile(rb'<(?:\w+:)?mergeCell\s[^>]*?ref="\$?([A-Z]{1,3})\$?(\d{1,7}):\$?[A-Z]{1,3}\$?(\d{1,7})"')
_HIDDEN = re.compile(rb'<(?:\w+:)?row\s[^>]*?\br="(\d{1,7})"[^>]*?\bhidden="(?:1|true)"')
_UNSAVED = re.compile(
    rb'<(?:\w+:)?c r="([A-Z]{1,3})(\d{1,7})"(?![^>]*t="str")[^>]*>'
    rb"<(?:\w+:)?f[^>]*>[^<]*</(?:\w+:)?f>(?:<v ?/>|<v></v>)?</"
)
"""A formula without a result: programs that write spreadsheets leave it to the one that opens them."""
_CHUNK, _OVERLAP = 1 << 20, 200
"""Bytes of a sheet that are searched at a time, and those of the end that are searched again."""

Row = tuple[int, tuple[Any, ...]]
"""The number of a row, from 1, and its cells."""

Entry = tuple[int, dict[str, Any], str]
"""The number of a row, from 1, its cells by the names of their columns, and its sheet where there are several."""

_Ranges = Mapping[int, Sequence[tuple[int, int]]]
"""``{first row: [(column from 0, last row)]}`` of merged cells."""


@dataclass(frozen=True)
class _Found:
    """What a sheet has below its header: merged cells, the number of hidden rows, and formulas without a result."""

    merged: _Ranges
    hidden: int
    unsaved: Sequence[str]


@dataclass(frozen=True)
class _Sheet:
    """A sheet of a spreadsheet, the row of its header, from 1, the names in it, and whether it looks like a table.

    `rank` is 0 where the header names images, 1 where it has two names or more, else 2.
    """

    sheet: Any
    header: int
    names: tuple[str, ...]
    rank: int

    @property
    def title(self) -> str:
        return str(self.sheet.title)

    @property
    def keys(self) -> list[str]:
        """Return the names as they are compared."""
        return [squeezed(name) or name for name in self.names]


@contextmanager
def sheet(path: Path, *, merged: bool = True) -> Iterator[tuple[tuple[str, ...], Iterator[Entry]]]:
    """Give notes on which sheets are used and on merged cells, and each row.

    Sheets of the same columns are one table; those called after parts have them in the column ``split``. Empty rows and
    columns without a name are left out, and what is above the header. Cells that are `merged` over several rows hold
    their value in each of them.
    """
    with _opened(path) as sheets:
        chosen = _chosen(sheets)
        names = [name for name in chosen[0].names if name]
        if merged and (twice := next((name for name in names if names.count(name) > 1), None)):
            raise DataError(f"{path}: the columns must have different names, and {twice!r} is there twice; rename one")
        titles = ", ".join(repr(each.title) for each in chosen)
        notes = [f"sheet{'s' * (len(chosen) > 1)} {titles} of {len(sheets)}"] if len(sheets) > 1 else []
        found = [_found(path, each.sheet._worksheet_path, each.header) for each in chosen] if merged else []
        if unsaved := [cell for each in found for cell in each.unsaved]:
            raise DataError(
                f"{path}: the formula in {unsaved[0]} has no saved result ({len(unsaved):,} such cells); open the file "
                "in a spreadsheet program and save it"
            )
        if number := sum(len(cells) for each in found for cells in each.merged.values()):
            notes.append(f"{number:,} cells that are merged over several rows hold their value in each")
        if number := sum(each.hidden for each in found):
            notes.append(f"{number:,} rows that are hidden, as by a filter, are used too; delete those to leave out")
        ranges = [each.merged for each in found] or [{} for _ in chosen]
        yield tuple(f"{path.name}: {note}" for note in notes), _entries(chosen, ranges)


def other_sheets(path: Path) -> dict[str, tuple[str, ...]]:
    """Return ``{title: names of columns}`` of the sheets that `sheet` leaves out."""
    with _opened(path) as sheets:
        used = {each.title for each in _chosen(sheets)}
        return {each.title: each.names for each in map(_header, sheets) if each.title not in used}


@contextmanager
def _opened(path: Path) -> Iterator[Sequence[Any]]:
    """Give the sheets of a file."""
    try:
        import openpyxl
    except ImportError:
        raise DataError(
            f"{path}: a spreadsheet needs openpyxl, not installed: pip install 'dspkd[xlsx]'; or save it as CSV"
        ) from None
    try:
        with closing(openpyxl.load_workbook(path, read_only=True, data_only=True)) as book:
            yield book.worksheets
    except (OSError, TypeError, *DAMAGED) as e:
        raise DataError(f"{path}: not a readable spreadsheet: {e}") from None


def _entries(chosen: Sequence[_Sheet], ranges: Sequence[_Ranges]) -> Iterator[Entry]:
    """Yield each row of all sheets, the columns called as in the first."""
    name_of = dict(zip(chosen[0].keys, chosen[0].names, strict=True))
    parts = len(chosen) > 1 and all(part_of(each.title) for each in chosen) and "split" not in name_of
    for each, own in zip(chosen, ranges, strict=True):
        names = [name_of[key] for key in each.keys]
        rows = enumerate(each.sheet.iter_rows(values_only=True), start=1)
        filled = ((number, cells) for number, cells in rows if number > each.header and any(map(text_of, cells)))
        for number, cells in _spread(filled, own):
            entry = {name: cell for name, cell in zip(names, cells, strict=False) if name}
            title = each.title if len(chosen) > 1 else ""
            yield number, {"split": title, **entry} if parts else entry, title


def text_of(value: object) -> str:
    """Return a cell as text: "" for null, JSON for numbers and lists."""
    if value is None:
        return ""
    return value.strip() if isinstance(value, str) else json.dumps(value, default=str, ensure_ascii=False).strip('"')


def _chosen(sheets: Sequence[Any]) -> list[_Sheet]:
    """Return the sheet to read, and others of the same columns.

    It is the first whose header names images, as one behind a legend does; else the first with two columns or more.
    """
    headers = list(map(_header, sheets))
    first = min(headers, key=lambda each: each.rank)
    same = [
        each for each in headers if each is not first and len(first.names) > 1 and set(each.keys) == set(first.keys)
    ]
    return [first, *(each for each in same if len(each.names) == len(first.names))]


def _header(sheet: Any) -> _Sheet:
    rows = [list(map(text_of, cells)) for cells in sheet.iter_rows(values_only=True, max_row=WITHIN)]
    row = header_row(rows)
    rank = 2 if row is None else 0 if names_an_image(rows[row]) else 1
    if row is None:
        row = next((number for number, cells in enumerate(rows) if any(cells)), 0)
    return _Sheet(sheet, row + 1, tuple(rows[row]) if rows else (), rank)


def _found(path: Path, inner: str, header: int) -> _Found:
    """Return what a sheet has below its header that its cells alone do not say."""
    merged: dict[int, list[tuple[int, int]]] = defaultdict(list)
    hidden: set[int] = set()
    unsaved: dict[str, None] = {}
    rest = b""
    with zipfile.ZipFile(path) as archive, archive.open(inner) as xml:
        while chunk := xml.read(_CHUNK):
            end, text = 0, rest + chunk
            for match in _MERGED.finditer(text):
                end, first, last = match.end(), int(match[2]), int(match[3])
                if header < first < last:
                    merged[first].append((_number_of(match[1]), last))
            hidden.update(number for match in _HIDDEN.finditer(text) if (number := int(match[1])) > header)
            for match in _UNSAVED.finditer(text):
                if int(match[2]) > header:
                    unsaved[(match[1] + match[2]).decode()] = None
            rest = text[max(end, len(text) - _OVERLAP) :]
    return _Found(merged, len(hidden), list(unsaved))


def _number_of(column: bytes) -> int:
    """Return the number of a column, from 0.

    >>> _number_of(b"A"), _number_of(b"AB")
    (0, 27)
    """
    number = 0
    for letter in column:
        number = 26 * number + letter - ord("A") + 1
    return number - 1


def _spread(rows: Iterable[Row], ranges: _Ranges) -> Iterator[Row]:
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
