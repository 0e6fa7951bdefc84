"""Find the files of the images that a table names."""

from __future__ import annotations

from collections import Counter
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
    for file in images:
        inner = file.relative_to(root).as_posix()
        for key in {inner, file.name, file.stem} & wanted:
            files_of.setdefault(key, []).append(file)
    files = {name: _of(name, files_of) for name in names}
    _refuse_missing(root, [name for name in names if not files[name]], len(names), table)
    twice = [name for name in names if len(files[name]) > 1]
    for name in twice:
        first, *others = files[name]
        if any(first.read_bytes() != other.read_bytes() for other in others):
            raise DataError(f"{table}: {name!r} is {first} and {others[0]}, two different files; keep one of the two")
    notes = [f"{len(twice):,} images are there twice, with equal files; the first of each is used"] if twice else []
    used = {file for found in files.values() for file in found}
    spare = len(set(images) - used - {file for name in unlabelled for file in _of(name, files_of)})
    if spare > 0:
        notes.append(f"{spare:,} image files below {root} are not in {table.name} and are not used")
    return tuple(files[name][0] for name in names), tuple(notes)


def is_absolute(name: str) -> bool:
    """Return whether a path is absolute, on this system or on Windows."""
    return PurePosixPath(name).is_absolute() or PureWindowsPath(name).is_absolute()


def _keys(name: str) -> tuple[str, str, str]:
    """Return the names under which an image may be known: its path, its file's name, and that without suffix."""
    path = PurePosixPath(name.replace("\\", "/"))
    return path.as_posix(), path.name, bare(path.name)


def _of(name: str, files_of: dict[str, list[Path]]) -> list[Path]:
    """Return the files of this name; of several, those in the folders that it names, as far as it names them."""
    files = next((files_of[key] for key in _keys(name) if key in files_of), [])
    folders = PurePosixPath(name.replace("\\", "/")).parent.parts
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
