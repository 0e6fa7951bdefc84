"""What names millions of images: a folder, a CSV or a parquet file, read as it is asked for and never held whole."""

from __future__ import annotations

import csv
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType

from dspkd.data.image_files import SUFFIXES
from dspkd.errors import DataError, suggest

COLUMN = "path"
"""The column of image files, where none is named."""

_ROWS = 8192
"""Rows of a parquet file read at once."""


@dataclass(frozen=True)
class ImageList:
    """Where images are named.

    Parameters
    ----------
    path
        A folder, in and below which all image files are meant, in order of their names, without those in hidden
        folders; or a ``.csv`` (UTF-8, with a header) or ``.parquet`` file with a row for each image.
    column
        The column of a file that names the images, relative to the folder of the file; None is `COLUMN`.

    Raises
    ------
    DataError
        It is not there or of another kind, or a folder is given a column.
    """

    path: Path
    column: str | None = None

    def __post_init__(self) -> None:
        if not self.path.exists():
            raise DataError(f"{self.path}: there is no such file or folder")
        if self.path.is_dir():
            if self.column is not None:
                raise DataError(f"{self.path}: is a folder, and has no column {self.column!r}")
        elif self.path.suffix.lower() not in (".csv", ".parquet"):
            raise DataError(f"{self.path}: want a folder, a .csv or a .parquet file that names the images")

    @property
    def root(self) -> Path:
        """The folder that names are relative to."""
        return self.path if self.path.is_dir() else self.path.parent

    def names(self) -> Iterator[str]:
        """Yield the names of the images, always in the same order.

        Raises
        ------
        DataError
            The file cannot be read, has no such column, or a cell is empty; the message names the line or row.
        """
        if self.path.is_dir():
            return _below(self.path)
        return (_of_csv if self.path.suffix.lower() == ".csv" else _of_parquet)(self.path, self.column or COLUMN)


def parquet(path: Path) -> ModuleType:
    """Return what reads and writes parquet files; DataError, about `path`, where it is not installed."""
    try:
        import pyarrow.parquet
    except ImportError:
        raise DataError(
            f"{path}: parquet needs pyarrow, which is not installed: pip install 'dspkd[parquet]'"
        ) from None
    module: ModuleType = pyarrow.parquet
    return module


def _below(root: Path, inside: str = "") -> Iterator[str]:
    try:
        with os.scandir(root / inside) as found:
            entries = sorted((entry.name, entry.is_dir()) for entry in found if not entry.name.startswith("."))
    except OSError as error:
        raise DataError(f"{root / inside}: cannot be listed: {error.strerror}") from None
    for name, is_folder in entries:
        if is_folder:
            yield from _below(root, f"{inside}{name}/")
        elif Path(name).suffix.lower() in SUFFIXES:
            yield inside + name


def _of_csv(path: Path, column: str) -> Iterator[str]:
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            rows = csv.reader(file, strict=True)
            header = next(rows, [])
            if column not in header:
                raise DataError(f"{path}: there is no column {column!r}; {suggest(column, header)}")
            at = header.index(column)
            for cells in rows:
                if len(cells) != len(header) and cells:
                    raise DataError(
                        f"{path}, line {rows.line_num}: {len(cells)} cells, but the header has {len(header)}"
                    )
                if cells:
                    yield _filled(cells[at], f"{path}, line {rows.line_num}", column)
    except csv.Error as error:
        raise DataError(f"{path}, line {rows.line_num}: not a row of a CSV file: {error}") from None
    except UnicodeDecodeError as error:
        raise DataError(f"{path}: not UTF-8 text: {error.reason}; save the table as CSV in UTF-8") from None
    except OSError as error:
        raise DataError(f"{path}: cannot be read: {error.strerror}") from None


def _of_parquet(path: Path, column: str) -> Iterator[str]:
    module = parquet(path)
    try:
        file = module.ParquetFile(path)
    except (OSError, ValueError) as error:  # pyarrow's own errors are among these
        raise DataError(f"{path}: not a readable parquet file: {str(error).splitlines()[0]}") from None
    with file:
        if column not in file.schema_arrow.names:
            raise DataError(f"{path}: there is no column {column!r}; {suggest(column, file.schema_arrow.names)}")
        row = 0
        for batch in file.iter_batches(batch_size=_ROWS, columns=[column]):
            for cell in batch.column(0).to_pylist():
                row += 1
                yield _filled("" if cell is None else str(cell), f"{path}, row {row}", column)


def _filled(cell: str, where: str, column: str) -> str:
    if not cell.strip():
        raise DataError(f"{where}: column {column!r} is empty; every row names an image")
    return cell.strip()
