"""Images that are inside other files, unpacked once into the user's cache."""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path

from filelock import FileLock

from dspkd.runtime.files import user_cache


def unpacked(sources: Sequence[Path], write: Callable[[Path], None]) -> Path:
    """Return the folder of the images in `sources`; `write` makes it the first time, and when a file has changed."""
    digest = hashlib.blake2b(digest_size=8)
    for source in sources:
        status = source.stat()
        digest.update(f"{source.resolve()}\n{status.st_size} {status.st_mtime_ns}\n".encode())
    folder = user_cache() / "unpacked" / f"{sources[0].stem}-{digest.hexdigest()}"
    if folder.exists():
        return folder
    folder.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(folder.with_name(f".{folder.name}.lock")):
        if not folder.exists():  # another process may have unpacked them meanwhile
            partial = folder.with_name(f".{folder.name}.partial")
            shutil.rmtree(partial, ignore_errors=True)  # left by an interrupted run
            write(partial)
            partial.replace(folder)
    return folder


def note(folder: Path) -> str:
    """Return a line on where the images are."""
    return f"images unpacked into {folder}"
