"""Find the files of the images that a table names."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from dspkd.data.csv_rows import Rows
from dspkd.data.image_files import bare, images_below, remedy, unread_below
from dspkd.data.part_names import holds_no_class
from dspkd.data.readers._containers import containers_below
from dspkd.data.readers._file_names import Files, path_of
from dspkd.errors import DataError, first_few

_DICOM = ".dcm"


def locate(
    root: Path, names: Sequence[str], table: Path, *, unlabelled: Sequence[str] = ()
) -> tuple[tuple[Path, ...], tuple[str, ...]]:
    """Return the file of each image below `root`, and lines about what was assumed.

    Names are as `Files` finds them; masks are no images, nor is DICOM beside another file. Files of the images
    `unlabelled` are known to the table and not used.

    Raises
    ------
    DataError
        An image is nowhere, two different files have its name, or two names are one file.
    """
    images, notes = _without_masks(root, images_below(root), (*names, *unlabelled))
    start = len(os.fspath(root / "_")) - 1  # text, as pathlib would take most of the time here
    files = Files(root, [os.fspath(file)[start:].replace(os.sep, "/") for file in images], (*names, *unlabelled))
    found, near = files.find(names)
    _refuse_missing(root, [name for name in names if not found[name]], len(names), table, files)
    notes += near
    both = [name for name in names if len({images[number].suffix.lower() == _DICOM for number in found[name]}) > 1]
    for name in both:
        found[name] = [number for number in found[name] if images[number].suffix.lower() != _DICOM]
    notes += [f"{len(both):,} images are there as DICOM too, which is not used"] if both else []
    twice = [name for name in names if len(found[name]) > 1]
    for name in twice:
        first, *others = (images[number] for number in found[name])
        if any(first.read_bytes() != other.read_bytes() for other in others):
            raise DataError(f"{table}: {name!r} is {first} and {others[0]}, two different files; keep one of the two")
    paths = tuple(images[found[name][0]] for name in names)
    refuse_shared(names, paths, table)
    notes += [f"{len(twice):,} images are there twice, with equal files; the first of each is used"] if twice else []
    used = {number for each in found.values() for number in each}
    spare = len(images) - len(used.union(*map(files.of, unlabelled)))
    if spare > 0:
        notes.append(f"{spare:,} image files below {root} are not in {table.name} and are not used")
    return paths, tuple(notes)


def other_column(rows: Rows, image: str) -> str:
    """Return, for a message, which other column of a table names image files below its folder; "" where none does."""
    stems = {file.stem for file in images_below(rows.path.parent)}
    for name, cells in rows.columns.items():
        if name != image and all(cell and bare(path_of(cell)) in stems for cell in cells):
            return f"; the column {name!r} names files there: set data.columns.image = {name!r}"
    return ""


def _without_masks(root: Path, images: Sequence[Path], names: Sequence[str]) -> tuple[list[Path], list[str]]:
    """Return the images that are in no folder of masks, and a line on the others.

    A folder that a name has, or that holds all of the images, is none.
    """
    named = {part for name in names for part in path_of(name).split("/")[:-1]}
    folders = {image.parent for image in images}
    masks = {
        folder
        for folder in folders
        if any(holds_no_class(part) and "label" not in part.lower() for part in folder.relative_to(root).parts)
        and named.isdisjoint(folder.relative_to(root).parts)
    }
    if not masks or masks == folders:
        return list(images), []
    kept = [image for image in images if image.parent not in masks]
    such = min(masks).relative_to(root).as_posix()
    return kept, [f"{len(images) - len(kept):,} images in folders of masks, such as {such}, are not used"]


def refuse_shared(names: Sequence[str], paths: Sequence[Path], table: Path) -> None:
    """Raise DataError if two names are one file."""
    name_of: dict[str, str] = {}
    for name, path in zip(names, paths, strict=True):
        first = name_of.setdefault(os.fspath(path), name)
        if first != name:
            raise DataError(f"{table}: {first!r} and {name!r} are both {path}; keep one row")


def _refuse_missing(root: Path, missing: Sequence[str], count: int, table: Path, files: Files) -> None:
    if not missing:
        return
    unread = {file.stem: file.suffix.lower() for file in unread_below(root)}
    suffixes = Counter(unread[bare(name)] for name in missing if bare(name) in unread)
    there = "".join(
        f"; {number:,} of them are {suffix} files, which cannot be read here"
        + (f": {remedy(suffix)}" if remedy(suffix) else "; save them as JPEG or PNG")
        for suffix, number in suffixes.items()
    )
    if other := files.elsewhere(missing):
        there += f"; files of these names lie in other folders, such as {other[0]}"
    there = there or containers_below(root)
    raise DataError(f"{table}: {len(missing)} of {count} images are nowhere below {root}: {first_few(missing)}{there}")
