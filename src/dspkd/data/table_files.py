"""Tables in any common format: CSV, TSV, a list, JSON, JSON lines, parquet, Arrow, and the sheet of a spreadsheet."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

from dspkd.data import arrow_files, csv_rows, image_lists, json_rows
from dspkd.data.arrow_files import is_nested
from dspkd.data.csv_rows import Rows
from dspkd.data.image_files import ignored
from dspkd.data.part_names import squeezed
from dspkd.data.spreadsheet import sheet, text_of
from dspkd.errors import DataError

SUFFIXES = (*csv_rows.SUFFIXES, *json_rows.LINES, *arrow_files.SUFFIXES, ".xlsx")
"""Suffixes of tables, in lower case. A spreadsheet needs the extra ``xlsx``, parquet and Arrow ``parquet``."""

_TEXT = ".txt"

_NAMES_IMAGES = re.compile(r".*(image|img|file|path|photo|isicid).*")
"""Columns, as `squeezed` writes them, of which a text that is a table has one."""


def read_table(path: Path, *, without: Callable[[str], bool] = lambda _: False) -> Rows:
    """Return the rows of a table of any format in `SUFFIXES`, by its suffix; another is read as CSV, or as a list.

    Cells that are empty, null or missing are "", numbers and lists are text as in JSON. A spreadsheet is the first of
    its sheets that names images, else that has two columns, from the first row that fills two or a wider one below it
    that names images, and the values of its formulas.

    Raises
    ------
    DataError
        The file cannot be read, or what reads it is not installed.
    """
    suffix = path.suffix.lower()
    if suffix in (*json_rows.LINES, json_rows.LIST):
        return _from_entries(path, ((*entry, "") for entry in json_rows.entries(path)), without)
    if suffix in arrow_files.SUFFIXES:
        return _typed(path, without)
    if suffix == ".xlsx":
        with sheet(path) as (notes, entries):
            return _from_entries(path, entries, without, notes)
    return image_lists.read_list(path) if image_lists.is_list(path) else csv_rows.read_rows(path, without=without)


def header_of(path: Path) -> tuple[str, ...]:
    """Return the column names of a table and read no further; empty where it has none that can be read.

    Of JSON, these are the names in the first object; of parquet and Arrow, those of columns that hold text or numbers.
    """
    suffix = path.suffix.lower()
    try:
        if suffix in (*json_rows.LINES, json_rows.LIST):
            return json_rows.names(path)
        if suffix in arrow_files.SUFFIXES:
            return tuple(field.name for field in arrow_files.schema_of(path) if not is_nested(field))
        if suffix == ".xlsx":
            with sheet(path, merged=False) as (_, entries):
                return tuple(next(entries)[1])
    except (DataError, StopIteration):
        return ()
    return image_lists.COLUMNS if image_lists.is_list(path) else csv_rows.read_header(path)


def tables_in(folder: Path) -> list[Path]:
    """Return the tables in a folder, sorted by name, without hidden ones; none where there is no such folder."""
    if not folder.is_dir():
        return []
    return sorted(file for file in folder.iterdir() if not ignored(file.name) and _is_table(file) and file.is_file())


def _is_table(file: Path) -> bool:
    """Return whether a file is a table: by its suffix, or by its content where others have that suffix too."""
    name = file.name.lower()
    if name.endswith(json_rows.LIST):
        return bool(header_of(file))
    if name.endswith(_TEXT):
        header = header_of(file)
        return len(header) > 1 and any(_NAMES_IMAGES.fullmatch(squeezed(column)) for column in header) and _whole(file)
    return name.endswith(SUFFIXES)


def _whole(file: Path) -> bool:
    """Return whether a text has as many cells in each row as in its header."""
    try:
        read_table(file)
    except DataError:
        return False
    return True


def stem(file: Path) -> str:
    """Return the name of a table without its suffix.

    >>> stem(Path("train.csv")), stem(Path("train.csv.gz"))
    ('train', 'train')
    """
    return Path(file.stem).stem if file.suffix.lower() == ".gz" else file.stem


def only_table(folder: Path) -> Path:
    """Return the single table of a folder, the CSV where there are others; DataError if there is not one."""
    files = tables_in(folder)
    files = [file for file in files if file.suffix.lower() == ".csv"] or files
    if len(files) != 1:
        names = ", ".join(file.name for file in files) or "none"
        raise DataError(f"{folder}: expected exactly one *.csv here, found {names}; give the path of the right one")
    return files[0]


def one_table(tables: list[Rows]) -> Rows:
    """Return the rows of all tables, one below the other; several get a column ``split`` with the names of the files.

    Columns whose names differ only in case, spaces and marks are one, called as in the first table; "" where a table
    lacks a column.
    """
    if len(tables) == 1:
        return tables[0]
    spelled: dict[str, str] = {}
    every = [respelled(rows.columns, spelled) for rows in tables]
    names = dict.fromkeys(name for columns in every for name in columns)
    columns = {
        name: tuple(
            cell for rows, own in zip(tables, every, strict=True) for cell in own.get(name, ("",) * len(rows.lines))
        )
        for name in names
    }
    return Rows(
        path=tables[0].path,
        columns={"split": tuple(stem(rows.path) for rows in tables for _ in rows.lines), **columns},
        lines=tuple(line for rows in tables for line in rows.lines),
        notes=tuple(note for rows in tables for note in rows.notes),
        files=tuple(rows.path for rows in tables for _ in rows.lines),
        sheets=tuple(each for rows in tables for each in rows.sheets or ("",) * len(rows.lines)),
    )


def respelled(columns: Mapping[str, tuple[str, ...]], spelled: dict[str, str]) -> dict[str, tuple[str, ...]]:
    """Return the columns of a table called as in those before it, with which `spelled` goes on.

    Two columns of one table keep their own names.
    """
    first = {name: spelled.get(squeezed(name), name) for name in columns}
    uses = Counter(first.values())
    named = {name: before if squeezed(name) and uses[before] == 1 else name for name, before in first.items()}
    for name in named.values():
        spelled.setdefault(squeezed(name), name)
    return {named[name]: cells for name, cells in columns.items()}


def _from_entries(
    path: Path,
    entries: Iterable[tuple[int, dict[str, Any], str]],
    without: Callable[[str], bool],
    notes: tuple[str, ...] = (),
) -> Rows:
    columns: dict[str, list[str]] = {}
    lines: list[int] = []
    sheets: list[str] = []
    same: dict[str, str] = {}  # one string for all cells with the same text
    for number, entry, title in entries:
        for name, value in entry.items():
            if not without(name):
                column = columns.setdefault(name, [])
                column.extend(("",) * (len(lines) - len(column)))
                cell = text_of(value)
                column.append(same.setdefault(cell, cell))
        lines.append(number)
        sheets.append(title)
    if not lines:
        raise DataError(f"{path}: the table is empty; expected at least one line")
    full = {name: (*column, *("",) * (len(lines) - len(column))) for name, column in columns.items()}
    return Rows(path, full, tuple(lines), notes, sheets=tuple(sheets) if any(sheets) else ())


def _typed(path: Path, without: Callable[[str], bool]) -> Rows:
    names = [field.name for field in arrow_files.schema_of(path) if not (is_nested(field) or without(field.name))]
    columns: dict[str, list[str]] = {name: [] for name in names}
    same: dict[str, str] = {}  # one string for all cells with the same text
    rows = 0
    for batch in arrow_files.batches(path, names):
        rows += batch.num_rows
        for name, column in columns.items():
            cells = map(text_of, batch.column(name).to_pylist())
            column.extend(same.setdefault(cell, cell) for cell in cells)
    if not rows:
        raise DataError(f"{path}: the table is empty; expected at least one line")
    return Rows(path, {name: tuple(column) for name, column in columns.items()}, tuple(range(1, rows + 1)))
