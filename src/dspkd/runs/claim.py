"""Take a run folder for training: one process at a time, with one recipe."""

from __future__ import annotations

import errno
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from dspkd.errors import RunError
from dspkd.recipes.schema import Recipe
from dspkd.runs import integrity, resume
from dspkd.runs.files import RunFiles
from dspkd.runtime import lock, manifest
from dspkd.runtime.files import DISK_ERRORS

_REFUSALS = {*DISK_ERRORS, errno.EACCES, errno.EPERM, errno.EROFS, errno.EIO}
"""Errors of the system about a disk that is full, broken or not to be written to."""


@contextmanager
def errors_of(out: Path) -> Iterator[None]:
    """Turn a full disk or a missing permission into a RunError that says how to go on."""
    try:
        yield
    except OSError as error:
        if error.errno not in _REFUSALS:
            raise
        raise RunError(
            f"{error.filename or out}: {error.strerror}; what was saved stays, so once there is room and permission to "
            "write, the same command goes on from there"
        ) from error


def claim(recipe: Recipe, files: RunFiles, held: ExitStack) -> bool:
    """Lock the run folder and write the recipe into it, or check its files; return whether the run is finished.

    The lock is `held` until training ends.

    Raises
    ------
    RunError
        Another process trains there; the folder is of something else, or of another recipe; its files have changed, or
        the run is finished and its teacher is another one now.
    """
    out = files.folder
    if out.is_file():
        raise RunError(f"{out}: is a file; --out names a folder")
    out.mkdir(parents=True, exist_ok=True)
    files.require_current_names()
    held.enter_context(lock.held(out))
    # A process that ended before it wrote the recipe leaves these, and files half written.
    there = {path.name for path in out.iterdir() if path.suffix != ".partial"}
    if not files.recipe.exists() and there - {*lock.FILES, *manifest.FILES}:
        raise RunError(f"{out}: not empty, and not a run folder; choose another folder (--out)")
    finished = files.result.exists()
    integrity.require_whole(files) if finished else integrity.require_unchanged(files)
    files.require_recipe(recipe.digest)
    if finished:
        resume.require_taught_by_the_same(files, recipe)
    files.write_recipe(recipe)
    return finished
