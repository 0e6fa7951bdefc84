"""Unpack zip files: completely or not at all, and never outside of the target folder."""

from __future__ import annotations

import shutil
import stat
import zipfile
from collections import Counter
from pathlib import Path, PurePosixPath

from dspkd.errors import DataError
from dspkd.runtime.files import readable
from dspkd.runtime.progress import Progress
from dspkd.runtime.zip_files import DAMAGED

_BLOCK = 1 << 20
_NAME = 255
"""Longest name of a file or folder in bytes."""

_GROWTH, _SMALL = 20, 100_000_000
"""Largest size of what a zip file holds, as a multiple of its own, and bytes that any may hold: images hardly shrink,
and tables to a tenth."""


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
            if reason := _growth(archive, opened):
                raise DataError(f"{archive}: {reason}; nothing was unpacked")
            total = _size(opened)
            targets = _targets(archive, opened)
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
    except DAMAGED as e:
        raise DataError(f"{archive}: not a complete zip file: {_reason(e)}") from None
    except OSError as e:
        raise DataError(f"{archive}: cannot be unpacked: {_reason(e)}") from None
    beside.replace(folder)
    return len(targets)


def damage(archive: Path, progress: Progress) -> str:
    """Return what is wrong with a zip file by the checksums in it, "" if nothing."""
    what = f"checking {archive.name.removesuffix('.part')}"
    try:
        with zipfile.ZipFile(archive) as opened:
            if reason := _growth(archive, opened):
                return reason
            members = opened.infolist()
            done, total = 0, _size(opened)
            for member in members:
                with opened.open(member) as source:
                    while block := source.read(_BLOCK):
                        done += len(block)
                        progress(what, done, total)
    except (*DAMAGED, OSError) as e:
        return f"not a complete zip file: {_reason(e)}"
    return ""


def _reason(error: Exception) -> str:
    """Return an error in one line."""
    reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error) or type(error).__name__
    return " ".join(reason.split())[:200]


def _size(opened: zipfile.ZipFile) -> int:
    """Return the bytes that an archive unpacks to."""
    return sum(member.file_size for member in opened.infolist())


def _growth(archive: Path, opened: zipfile.ZipFile) -> str:
    """Return what is wrong with the size that an archive unpacks to, "" if images and tables may do so."""
    packed = archive.stat().st_size
    if _size(opened) <= _SMALL + _GROWTH * packed:
        return ""
    return f"{readable(packed)} would unpack to {readable(_size(opened))}, which no images do"


def _targets(archive: Path, opened: zipfile.ZipFile) -> dict[zipfile.ZipInfo, PurePosixPath]:
    """Return the target path of each file of an archive, relative to the folder."""
    members = [member for member in opened.infolist() if not member.is_dir() and not _is_macos(member.filename)]
    if not members:
        raise DataError(f"{archive}: no file in it")
    for member in members:
        name = member.filename
        parts = PurePosixPath(name).parts
        if not parts or not name.isprintable() or any(len(part.encode()) > _NAME for part in parts):
            raise DataError(f"{archive}: {name[:80]!r} is no name of a file; nothing was unpacked")
        unsafe = "\\" in name or ":" in parts[0] or ".." in parts or name.startswith("/")
        if unsafe or stat.S_ISLNK(member.external_attr >> 16):
            raise DataError(f"{archive}: {name[:80]!r} leads out of the archive; nothing was unpacked")
    tops = {PurePosixPath(member.filename).parts[0] for member in members}
    inner = int(len(tops) == 1 and all(len(PurePosixPath(member.filename).parts) > 1 for member in members))
    targets = {member: PurePosixPath(*PurePosixPath(member.filename).parts[inner:]) for member in members}
    paths, folders = set(targets.values()), {parent for path in targets.values() for parent in path.parents}
    if len(paths) < len(targets) or paths & folders:
        twice = [path for path, count in Counter(targets.values()).items() if count > 1 or path in folders]
        raise DataError(
            f"{archive}: {str(twice[0])[:80]!r} is in it twice, or a file and a folder; nothing was unpacked"
        )
    return targets


def _is_macos(name: str) -> bool:
    path = PurePosixPath(name)
    return path.parts[:1] == ("__MACOSX",) or path.name == ".DS_Store"


def require_space(folder: Path, needed: int) -> None:
    """Raise DataError if less than `needed` bytes are free where `folder` is."""
    free = shutil.disk_usage(folder).free
    if free < needed:
        raise DataError(f"{folder}: needs {needed / 1e9:.2f} GB, and {free / 1e9:.2f} GB are free; make room")
