"""Unpack zip files: completely or not at all, and never outside of the target folder."""

from __future__ import annotations

import shutil
import stat
import zipfile
import zlib
from pathlib import Path, PurePosixPath

from dspkd.errors import DataError
from dspkd.runtime.progress import Progress

_BLOCK = 1 << 20

_DAMAGED = (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError)


def unpack(archive: Path, folder: Path, progress: Progress) -> int:
    """Unpack a zip file into `folder` and return the number of files.

    A single top-level folder is dropped from the paths. Files that macOS adds (``__MACOSX``, ``.DS_Store``) are
    ignored. Everything is unpacked beside `folder`, the checksum of each file is checked, and only then does `folder`
    appear.

    Raises
    ------
    DataError
        The file is not a zip file or damaged; it is empty, or holds a link or a path that leads out of it; `folder`
        exists already; or the disk is too small.
    """
    if folder.exists():
        raise DataError(f"{folder}: exists already, and not from this download; move it away")
    try:
        with zipfile.ZipFile(archive) as opened:
            targets = _targets(archive, opened)
            total = sum(member.file_size for member in targets)
            folder.parent.mkdir(parents=True, exist_ok=True)
            require_space(folder.parent, total)
            beside = folder.with_name(f".{folder.name}.unpacking")
            shutil.rmtree(beside, ignore_errors=True)  # left by an interrupted run
            done = 0
            for member, target in targets.items():
                path = beside / target
                path.parent.mkdir(parents=True, exist_ok=True)
                with opened.open(member) as source, path.open("wb") as file:
                    while block := source.read(_BLOCK):
                        file.write(block)
                        done += len(block)
                        progress(f"unpacking {archive.name}", done, total)
    except _DAMAGED as e:
        raise DataError(f"{archive}: not a complete zip file: {e}") from None
    beside.replace(folder)
    return len(targets)


def damage(archive: Path, progress: Progress) -> str:
    """Return what is wrong with a zip file by the checksums in it, "" if nothing."""
    what = f"checking {archive.name.removesuffix('.part')}"
    try:
        with zipfile.ZipFile(archive) as opened:
            members = opened.infolist()
            done, total = 0, sum(member.file_size for member in members)
            for member in members:
                with opened.open(member) as source:
                    while block := source.read(_BLOCK):
                        done += len(block)
                        progress(what, done, total)
    except _DAMAGED as e:
        return f"not a complete zip file: {e}"
    return ""


def _targets(archive: Path, opened: zipfile.ZipFile) -> dict[zipfile.ZipInfo, PurePosixPath]:
    """Return the target path of each file of an archive, relative to the folder."""
    members = [member for member in opened.infolist() if not member.is_dir() and not _is_macos(member.filename)]
    if not members:
        raise DataError(f"{archive}: no file in it")
    for member in members:
        parts = PurePosixPath(member.filename).parts
        unsafe = "\\" in member.filename or ":" in parts[0] or ".." in parts or member.filename.startswith("/")
        if unsafe or stat.S_ISLNK(member.external_attr >> 16):
            raise DataError(f"{archive}: {member.filename!r} leads out of the archive; nothing was unpacked")
    tops = {PurePosixPath(member.filename).parts[0] for member in members}
    inner = int(len(tops) == 1 and all(len(PurePosixPath(member.filename).parts) > 1 for member in members))
    return {member: PurePosixPath(*PurePosixPath(member.filename).parts[inner:]) for member in members}


def _is_macos(name: str) -> bool:
    path = PurePosixPath(name)
    return path.parts[:1] == ("__MACOSX",) or path.name == ".DS_Store"


def require_space(folder: Path, needed: int) -> None:
    """Raise DataError if less than `needed` bytes are free where `folder` is."""
    free = shutil.disk_usage(folder).free
    if free < needed:
        raise DataError(f"{folder}: needs {needed / 1e9:.2f} GB, and {free / 1e9:.2f} GB are free; make room")
