"""What names millions of images: a folder, a CSV or a parquet file, read lazily and never held in memory as a whole."""

from __future__ import annotations

import csv
import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Protocol

from dspkd.data.image_files import SUFFIXES
from dspkd.errors import DataError, suggest

COLUMN = "path"
"""The column of image files by default."""

_ROWS = 8192
"""Rows of a parquet file read at once."""


class ImageSource(Protocol):
    """Names images, in the same order each time."""

    @property
    def root(self) -> Path:
        """The folder that names are relative to."""
        ...

    def names(self) -> Iterator[str]:
        """Yield the names of the images."""
        ...


def find_images(paths: Iterable[Path]) -> list[Path]:
    """Return these files, and in place of a folder all images in it and below, sorted by path.

    Raises
    ------
    DataError
        A folder has no image.
    """
    files: list[Path] = []
    for path in paths:
        if not path.is_dir():
            files.append(path)
            continue
        below = sorted(file for file in path.rglob("*") if file.suffix.lower() in SUFFIXES and file.is_file())
        if not below:
            raise DataError(f"{path}: no image in it or below ({', '.join(sorted(SUFFIXES))})")
        files += below
    return files


@dataclass(frozen=True)
class ImageFiles:
    """Images named one by one, as files or folders; see `find_images`."""

    paths: tuple[Path, ...]

    @property
    def root(self) -> Path:
        """The folder that names are relative to: the current one."""
        return Path()

    def names(self) -> Iterator[str]:
        """Yield the paths of the images; DataError for a folder without any."""
        return map(str, find_images(self.paths))

    def __str__(self) -> str:
        return ", ".join(map(str, self.paths))


@dataclass(frozen=True)
class ImageList:
    """A folder or a file that names images.

    Parameters
    ----------
    path
        A folder: all image files in and below it, sorted by name, without those in hidden folders; or a ``.csv``
        (UTF-8, with a header) or ``.parquet`` file with a row for each image.
    column
        The column of a file that names the images, relative to the folder of the file; None is `COLUMN`.

    Raises
    ------
    DataError
        It does not exist or is of another kind, or a column is named for a folder.
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

    def __str__(self) -> str:
        return str(self.path)

    def names(self) -> Iterator[str]:
        """Yield the names of the images, in the same order each time.

        Raises
        ------
        DataError
            The file cannot be read, has no such column, or a cell is empty; the message names the line or row.
        """
        if self.path.is_dir():
            return _below(self.path)
        return (_of_csv if self.path.suffix.lower() == ".csv" else _of_parquet)(self.path, self.column or COLUMN)


def parquet(path: Path) -> ModuleType:
    """Return the module `pyarrow.parquet`; DataError about `path` where it is not installed."""
    try:
        import pyarrow.parquet
    except ImportError:
        raise DataError(
            f"{path}: parquet needs pyarrow, which is not installed: pip install 'dspkd[parquet]'"
        ) from None
    module: ModuleType = pyarrow.parquet
    return module


def _below(root: Path, folder: str = "") -> Iterator[str]:
    try:
        with os.scandir(root / folder) as scanned:
            entries = sorted((entry.name, entry.is_dir()) for entry in scanned if not entry.name.startswith("."))
    except OSError as error:
        raise DataError(f"{root / folder}: cannot be listed: {error.strerror}") from None
    for name, is_folder in entries:
        if is_folder:
            yield from _below(root, f"{folder}{name}/")
        elif Path(name).suffix.lower() in SUFFIXES:
            yield folder + name


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
                    yield _nonempty(cells[at], f"{path}, line {rows.line_num}", column)
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
                yield _nonempty("" if cell is None else str(cell), f"{path}, row {row}", column)


def _nonempty(cell: str, place: str, column: str) -> str:
    if not cell.strip():
        raise DataError(f"{place}: column {column!r} is empty; every row names an image")
    return cell.strip()
