"""Tables in any common format: CSV, TSV, JSON lines, parquet, and the sheet of a spreadsheet."""

from __future__ import annotations

import json
import zipfile
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from dspkd.data import csv_rows
from dspkd.data.csv_rows import Rows
from dspkd.data.image_files import ignored
from dspkd.errors import DataError

JSON_LINES = (".jsonl", ".ndjson")
SUFFIXES = (*csv_rows.SUFFIXES, *JSON_LINES, ".parquet", ".xlsx")
"""Suffixes of tables, in lower case. A spreadsheet needs the extra ``xlsx``, parquet the extra ``parquet``."""


def read_table(path: Path, *, without: Callable[[str], bool] = lambda _: False) -> Rows:
    """Return the rows of a table of any format in `SUFFIXES`, by its suffix; another is read as CSV.

    Cells that are empty, null or missing are "", numbers and lists are text as in JSON. A spreadsheet is its first
    sheet, and the values of its formulas.

    Raises
    ------
    DataError
        The file cannot be read, or what reads it is not installed.
    """
    suffix = path.suffix.lower()
    if suffix in JSON_LINES:
        return _from_entries(path, _json_lines(path), without)
    if suffix == ".parquet":
        return _parquet(path, without)
    if suffix == ".xlsx":
        return _from_entries(path, _sheet(path), without)
    return csv_rows.read_rows(path, without=without)


def header_of(path: Path) -> tuple[str, ...]:
    """Return the column names of a table and read no further; empty where it has none that can be read.

    Of JSON lines, these are the names in the first line; of parquet, those of columns that hold text or numbers.
    """
    suffix = path.suffix.lower()
    try:
        if suffix in JSON_LINES:
            return tuple(next(iter(_json_lines(path)))[1])
        if suffix == ".parquet":
            return tuple(field.name for field in schema_of(path) if not _is_nested(field))
        if suffix == ".xlsx":
            return tuple(next(iter(_sheet(path)))[1])
    except (DataError, StopIteration):
        return ()
    return csv_rows.read_header(path)


def tables_in(folder: Path) -> list[Path]:
    """Return the tables in a folder, sorted by name, without hidden ones; none where there is no such folder."""
    if not folder.is_dir():
        return []
    return sorted(
        file
        for file in folder.iterdir()
        if file.suffix.lower() in SUFFIXES and not ignored(file.name) and file.is_file()
    )


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


def _json_lines(path: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    """Yield each line's number and object. Only a line feed ends a line: JSON may hold other line separators."""
    for number, line in enumerate(csv_rows.text_of(path).split("\n"), start=1):
        if not line.strip():
            continue
        try:
            entry = json.loads(line)
        except (json.JSONDecodeError, RecursionError) as e:
            raise DataError(f"{path}, line {number}: not JSON: {e}") from None
        if not isinstance(entry, dict):
            raise DataError(f'{path}, line {number}: expected an object such as {{"file_name": ...}}, got {line[:40]}')
        yield number, entry


def _sheet(path: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    """Yield each row's number and cells of the first sheet; empty rows and columns without a name are left out."""
    try:
        import openpyxl
    except ImportError:
        raise DataError(
            f"{path}: a spreadsheet needs openpyxl, not installed: pip install 'dspkd[xlsx]'; or save it as CSV"
        ) from None
    try:
        with _closing(openpyxl.load_workbook(path, read_only=True, data_only=True)) as book:
            rows = enumerate(book.worksheets[0].iter_rows(values_only=True), start=1)
            filled = ((number, cells) for number, cells in rows if any(cell is not None for cell in cells))
            _, header = next(filled, (0, ()))
            names = [_cell(name) for name in header]
            if len(set(filter(None, names))) < len(list(filter(None, names))):
                raise DataError(f"{path}: the columns must have different names, got {', '.join(names)}")
            yield from (
                (number, {name: cell for name, cell in zip(names, cells, strict=False) if name})
                for number, cells in filled
            )
    except (OSError, zipfile.BadZipFile, KeyError, ValueError, TypeError) as e:
        raise DataError(f"{path}: not a readable spreadsheet: {e}") from None


@contextmanager
def _closing(book: Any) -> Iterator[Any]:
    try:
        yield book
    finally:
        book.close()


def _from_entries(path: Path, entries: Iterable[tuple[int, dict[str, Any]]], without: Callable[[str], bool]) -> Rows:
    kept = [(number, {name: _cell(cell) for name, cell in row.items() if not without(name)}) for number, row in entries]
    if not kept:
        raise DataError(f"{path}: the table is empty; expected at least one line")
    names = dict.fromkeys(name for _, row in kept for name in row)
    columns = {name: tuple(row.get(name, "") for _, row in kept) for name in names}
    return Rows(path, columns, tuple(number for number, _ in kept))


def schema_of(path: Path) -> Any:
    """Return the schema of a parquet file, which is all that is read of it."""
    try:
        import pyarrow.parquet
    except ImportError:
        raise DataError(
            f"{path}: parquet needs pyarrow, which is not installed: pip install 'dspkd[parquet]'"
        ) from None
    try:
        return pyarrow.parquet.read_schema(path)
    except (OSError, ValueError) as e:  # pyarrow's own errors are among these
        raise DataError(f"{path}: not a readable parquet file: {str(e).splitlines()[0]}") from None


def _parquet(path: Path, without: Callable[[str], bool]) -> Rows:
    names = [field.name for field in schema_of(path) if not (_is_nested(field) or without(field.name))]
    import pyarrow.parquet

    try:
        table = pyarrow.parquet.read_table(path, columns=names)
    except (OSError, ValueError) as e:
        raise DataError(f"{path}: not a readable parquet file: {str(e).splitlines()[0]}") from None
    if not len(table):
        raise DataError(f"{path}: the table is empty; expected at least one line")
    columns = {name: tuple(map(_cell, table.column(name).to_pylist())) for name in names}
    return Rows(path, columns, tuple(range(1, len(table) + 1)))


def _is_nested(field: Any) -> bool:
    import pyarrow.types

    kind = field.type
    while pyarrow.types.is_list(kind) or pyarrow.types.is_large_list(kind) or pyarrow.types.is_fixed_size_list(kind):
        kind = kind.value_type
    return bool(pyarrow.types.is_struct(kind)) or is_bytes(kind)


def is_bytes(kind: Any) -> bool:
    """Return whether a type of pyarrow is bytes, as pandas or Polars write them."""
    import pyarrow.types

    return bool(
        pyarrow.types.is_binary(kind) or pyarrow.types.is_large_binary(kind) or pyarrow.types.is_binary_view(kind)
    )


def _cell(value: object) -> str:
    """Return a cell as text: "" for null, JSON for numbers and lists."""
    if value is None:
        return ""
    return value.strip() if isinstance(value, str) else json.dumps(value, default=str, ensure_ascii=False).strip('"')
