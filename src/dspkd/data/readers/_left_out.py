"""Image files that a table of exact paths does not name."""

from __future__ import annotations

import os
from collections.abc import Collection, Sequence
from contextlib import suppress
from pathlib import Path

from dspkd.data.image_files import images_below, unread_in
from dspkd.errors import DataError


def left_out(root: Path, used: Sequence[Path], table: str) -> tuple[tuple[str, ...], tuple[Path, ...]]:
    """Return a line on the images below a folder that are not used, and files beside those used that cannot be read.

    Nothing where none of the images used lies below `root`: then it is the folder of the table alone.
    """
    real = {folder: os.path.realpath(folder) for folder in {file.parent for file in used}}
    top = os.path.realpath(root)
    inner = [folder for folder, path in real.items() if f"{path}{os.sep}".startswith(f"{top}{os.sep}")]
    if not inner:
        return (), ()
    known = {(real[file.parent], file.name) for file in used}
    spare = 0
    with suppress(DataError):  # a folder of others that cannot be listed
        spare = _count(images_below(root), known)
    lines = (f"{spare:,} image files below {root} are not in {table} and are not used",) if spare else ()
    return lines, tuple(sorted(file for folder in inner for file in unread_in(folder)))


def _count(images: Sequence[Path], known: Collection[tuple[str, str]]) -> int:
    """Return how many images are not among the known ``(folder without links, name)``."""
    real = {folder: os.path.realpath(folder) for folder in {file.parent for file in images}}
    return sum((real[file.parent], file.name) not in known for file in images)
