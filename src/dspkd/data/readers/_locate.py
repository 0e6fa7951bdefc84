"""Find the files of the images that a table names."""

from __future__ import annotations

import os
import posixpath
from collections import Counter, defaultdict
from collections.abc import Sequence
from pathlib import Path, PurePosixPath, PureWindowsPath

from dspkd.data.image_files import bare, images_below, remedy, unread_below
from dspkd.errors import DataError, first_few


def locate(
    root: Path, names: Sequence[str], table: Path, *, unlabelled: Sequence[str] = ()
) -> tuple[tuple[Path, ...], tuple[str, ...]]:
    """Return the file of each image below `root`, and lines about what was assumed.

    A name may have folders in front, lack its suffix, or have that of another format. Files of the images `unlabelled`
    are known to the table and not used.

    Raises
    ------
    DataError
        An image is nowhere, or two different files have its name.
    """
    wanted = {key for name in (*names, *unlabelled) for key in _keys(name)}
    files_of: dict[str, list[Path]] = {}
    images = images_below(root)
    start = len(os.fspath(root / "_")) - 1  # text, as pathlib would take most of the time here and below
    for file in images:
        inner = os.fspath(file)[start:].replace(os.sep, "/")
        name = inner.rpartition("/")[2]
        for key in {inner, name, name.rpartition(".")[0]} & wanted:
            files_of.setdefault(key, []).append(file)
    files = {name: _of(name, files_of) for name in names}
    notes = _nearly(files, images)
    _refuse_missing(root, [name for name in names if not files[name]], len(names), table)
    twice = [name for name in names if len(files[name]) > 1]
    for name in twice:
        first, *others = files[name]
        if any(first.read_bytes() != other.read_bytes() for other in others):
            raise DataError(f"{table}: {name!r} is {first} and {others[0]}, two different files; keep one of the two")
    notes += [f"{len(twice):,} images are there twice, with equal files; the first of each is used"] if twice else []
    used = {file for found in files.values() for file in found}
    spare = len(set(images) - used - {file for name in unlabelled for file in _of(name, files_of)})
    if spare > 0:
        notes.append(f"{spare:,} image files below {root} are not in {table.name} and are not used")
    return tuple(files[name][0] for name in names), tuple(notes)


def _nearly(files: dict[str, list[Path]], images: Sequence[Path]) -> list[str]:
    """Find images that are missing under their names by those in other case or without leading zeros; return a note.

    A spreadsheet drops zeros, and some systems do not distinguish cases. Where several names or files would be the
    same, none is used.
    """
    missing = [name for name in files if not files[name]]
    if not missing:
        return []
    named, found = Counter(map(_loose, files)), defaultdict(list)
    for file in images:
        found[_loose(file.name)].append(file)
    matched = [name for name in missing if named[_loose(name)] == 1 and len(found.get(_loose(name), [])) == 1]
    for name in matched:
        files[name] = found[_loose(name)]
    return [f"{len(matched):,} names differ from their files in case or leading zeros ({first_few(matched)})"] * bool(
        matched
    )


def _loose(name: str) -> str:
    return _keys(name)[2].lower().lstrip("0")


def is_absolute(name: str) -> bool:
    """Return whether a path is absolute, on this system or on Windows."""
    return PurePosixPath(name).is_absolute() or PureWindowsPath(name).is_absolute()


def _keys(name: str) -> tuple[str, str, str]:
    """Return the names under which an image may be known: its path, its file's name, and that without suffix."""
    path = posixpath.normpath(name.replace("\\", "/"))
    file = path.rpartition("/")[2]
    return path, file, bare(file)


def _of(name: str, files_of: dict[str, list[Path]]) -> list[Path]:
    """Return the files of this name; of several, those in the folders that it names, as far as it names them."""
    keys = _keys(name)
    files = next((files_of[key] for key in keys if key in files_of), [])
    if len(files) < 2:
        return files
    folders = PurePosixPath(keys[0]).parent.parts
    for depth in range(1, len(folders) + 1):
        nearer = [file for file in files if file.parent.parts[-depth:] == folders[-depth:]]
        if len(files) == 1 or not nearer:
            break
        files = nearer
    return files


def _refuse_missing(root: Path, missing: Sequence[str], count: int, table: Path) -> None:
    if not missing:
        return
    unread = {file.stem: file.suffix.lower() for file in unread_below(root)}
    suffixes = Counter(unread[bare(name)] for name in missing if bare(name) in unread)
    there = "".join(
        f"; {number:,} of them are {suffix} files, which cannot be read here"
        + (f": {remedy(suffix)}" if remedy(suffix) else "; save them as JPEG or PNG")
        for suffix, number in suffixes.items()
    )
    raise DataError(f"{table}: {len(missing)} of {count} images are nowhere below {root}: {first_few(missing)}{there}")
