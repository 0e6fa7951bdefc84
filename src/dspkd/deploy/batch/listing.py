"""What names millions of images: a folder, a CSV or a parquet file, read lazily and never held in memory as a whole."""

from __future__ import annotations

import csv
import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from dspkd.data.arrow_files import parquet, reading
from dspkd.data.image_files import SUFFIXES, is_folder, unread_in
from dspkd.errors import DataError, suggest
from dspkd.runtime import csv_text

COLUMN = "path"
"""The column of image files by default."""

_ENDINGS = tuple(SUFFIXES)

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
    """Return these files, and in place of a folder all images in it and below, sorted by name.

    Hidden files and folders are skipped. A folder below that cannot be listed is among the files: reading it fails.

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
        below = [path / name for name in _below(path)]
        if not below:
            raise DataError(f"{path}: no image in it or below ({', '.join(sorted(SUFFIXES))})")
        files += below
    return files


def left_out(folder: Path) -> list[Path]:
    """Return the files in a folder and below it that may be images, but of which none is named: no reader is here."""
    files: list[Path] = []

    def folders(inner: Path) -> list[str]:
        names = [name for name in _wanted(inner) if name.endswith("/")]
        files.extend(path for path in unread_in(inner) if not path.name.lower().endswith(_ENDINGS))
        return names

    deque(_below(folder, folders), maxlen=0)
    return files


@dataclass(frozen=True)
class ImageFiles:
    """Images named one by one, as files or folders; see `find_images`."""

    paths: tuple[Path, ...]

    @property
    def given(self) -> tuple[Path, ...]:
        """The paths."""
        return self.paths

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
        A folder: all image files in and below it, sorted by name, without those in hidden folders, and each folder
        below it that cannot be listed, which then has an error of its own; or a ``.csv``
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
    def given(self) -> tuple[Path, ...]:
        """The path."""
        return (self.path,)

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


def _wanted(folder: Path) -> list[str]:
    """Return names of image files and, with a slash, of folders in a folder, without hidden ones, the last first."""
    with os.scandir(folder) as scanned:
        entries = [entry.name + "/" * is_folder(entry) for entry in scanned if not entry.name.startswith(".")]
    wanted = [each for each in entries if each.endswith("/") or each.lower().endswith(_ENDINGS)]
    wanted.sort(key=_bare, reverse=True)
    return wanted


def _bare(entry: str) -> str:
    return entry.removesuffix("/")


def _below(root: Path, entries_of: Callable[[Path], list[str]] = _wanted) -> Iterator[str]:
    """Yield the image files in and below a folder, and each folder below that cannot be listed, sorted by name.

    Linked folders are followed, except those that lead back to a folder above them. `entries_of` returns
    what to yield and to enter of a folder, as `_wanted` does.
    """
    about: list[tuple[str, frozenset[tuple[int, int]], list[str]]] = []
    about.append(("", frozenset(), [""]))  # a folder, those above it with itself, its entries from last to first
    while about:
        parent, above, entries = about[-1]
        if not entries:
            about.pop()
            continue
        entry = entries.pop()
        name = parent + entry
        if entry and not entry.endswith("/"):
            yield name
            continue
        try:
            stat = (root / name).stat()
            inside = [] if (stat.st_dev, stat.st_ino) in above else entries_of(root / name)
        except OSError as error:
            if not name:
                raise DataError(f"{root}: cannot be listed: {error.strerror}") from None
            yield name.removesuffix("/")
            continue
        about.append((name, above | {(stat.st_dev, stat.st_ino)}, inside))


def _of_csv(path: Path, column: str) -> Iterator[str]:
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            rows = csv_text.Reader(file, strict=True)
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
    with reading(path), module.ParquetFile(path) as file:
        if column not in file.schema_arrow.names:
            raise DataError(f"{path}: there is no column {column!r}; {suggest(column, file.schema_arrow.names)}")
        row = 0
        for batch in file.iter_batches(batch_size=_ROWS, columns=[column]):
            for cell in batch.column(0).to_pylist():
                row += 1
                yield _nonempty(_text_of(cell, f"{path}, row {row}", column), f"{path}, row {row}", column)


def _text_of(cell: object, place: str, column: str) -> str:
    """Return the name in a cell of a parquet file; of Hugging Face's ``{bytes, path}`` without bytes, the path."""
    if isinstance(cell, dict) and cell.get("bytes") is None:
        cell = cell.get("path")
    if cell is None or isinstance(cell, str | int):
        return "" if cell is None else str(cell)
    what = "the image itself" if isinstance(cell, dict | bytes) else f"a value of type {type(cell).__name__}"
    raise DataError(
        f"{place}: column {column!r} holds {what}, not the name of a file; write the images to files, and name the "
        "column with their paths by --column"
    )


def _nonempty(cell: str, place: str, column: str) -> str:
    if not cell.strip():
        raise DataError(f"{place}: column {column!r} is empty; every row names an image")
    return cell.strip()
