"""Files that are written completely or not at all, and readable sizes."""

from __future__ import annotations

import errno
import gzip
import hashlib
import json
import os
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from tempfile import TemporaryFile
from typing import IO, Any

DISK_ERRORS = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
"""Errors of the operating system about a disk without room for a file; by themselves they do not name it."""


@contextmanager
def atomic_open(path: Path, mode: str = "w") -> Iterator[IO[Any]]:
    """Open a file for writing that replaces `path` only when the block ends without an exception.

    Raises IsADirectoryError where `path` is a folder. Where the disk is full, the error names `path`. A process that is
    killed leaves the old file, or none, and a ``.partial`` beside it, which the next one overwrites; after an exception
    there is none. Text is UTF-8, and line ends are written as given.
    """
    _require_no_folder(path)
    partial = path.with_name(path.name + ".partial")
    text: dict[str, Any] = {} if "b" in mode else {"encoding": "utf-8", "newline": ""}
    file = partial.open(mode, **text)
    try:
        with file:
            yield file
        partial.replace(path)
    except BaseException as error:
        with suppress(OSError):
            partial.unlink()
        if isinstance(error, OSError) and error.errno in DISK_ERRORS and error.filename is None:
            error.filename = str(path)
        raise


def require_file(path: Path) -> None:
    """Raise OSError where a file cannot be written to `path`, before anything is computed for it; make its folder."""
    _require_no_folder(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        with TemporaryFile(dir=path.parent):
            pass
    except OSError as error:
        raise OSError(error.errno, error.strerror, str(path)) from None


def _require_no_folder(path: Path) -> None:
    if path.is_dir():
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(path))


def write_text(path: Path, text: str) -> None:
    """Write a text file completely or not at all."""
    with atomic_open(path) as file:
        file.write(text)


def write_compressed(path: Path, text: str) -> None:
    """Write a text file, compressed by gzip without a date; one that holds this text already is not touched."""
    if not (path.is_file() and read_bytes(path) == text.encode()):
        with atomic_open(path, "wb") as file:
            file.write(gzip.compress(text.encode(), mtime=0))


def read_bytes(path: Path) -> bytes:
    """Return the content of a file, decompressed if its name ends in ``.gz``.

    Raises
    ------
    OSError
        The file cannot be read; `strerror` says why.
    """
    content = path.read_bytes()
    if path.suffix.lower() != ".gz":
        return content
    try:
        return gzip.decompress(content)
    except (gzip.BadGzipFile, EOFError, zlib.error):
        raise OSError(None, "not a whole gzip file", str(path)) from None


def sha256_of(path: Path) -> str:
    """Return the SHA-256 of a file's content, in hex."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def write_json(path: Path, content: Any) -> None:
    """Write `content` as indented JSON, completely or not at all."""
    write_text(path, json.dumps(content, indent=2, ensure_ascii=False) + "\n")


def remembered(path: Path | None, compute: Callable[[], Any]) -> Any:
    """Return what `compute` returns, plain data that the JSON file `path` keeps; a damaged file is made again.

    Nothing is kept without a path, or where it cannot be written.
    """
    if path is None:
        return compute()
    with suppress(FileNotFoundError, ValueError, RecursionError):
        return json.loads(path.read_bytes())
    content = compute()
    with suppress(OSError):
        path.parent.mkdir(parents=True, exist_ok=True)
        write_json(path, content)
    return content


def readable(nbytes: float) -> str:
    """Return a number of bytes with a unit.

    >>> readable(1_534_000_000)
    '1.53 GB'
    """
    for unit in ("bytes", "kB", "MB"):
        if nbytes < 1000:
            return f"{nbytes:.3g} {unit}"
        nbytes /= 1000
    return f"{nbytes:.3g} GB"


def user_cache() -> Path:
    """Return the folder of what all runs of a user share."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "dspkd"
