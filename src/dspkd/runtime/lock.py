"""A folder that one process at a time works in."""

from __future__ import annotations

import json
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

from filelock import FileLock, Timeout

from dspkd.errors import RunError
from dspkd.runtime.files import write_json

_LOCK, _HOLDER = ".training.lock", ".training.json"
FILES = frozenset({_LOCK, _HOLDER})
"""What a lock leaves in the folder."""


@contextmanager
def held(folder: Path) -> Iterator[None]:
    """Lock `folder` against other processes that train there.

    The system frees the lock of a process that ends in any way, so that none has to be deleted by hand; a lock file
    that is left has no meaning of its own.

    Raises
    ------
    RunError
        Another process trains there; the message says which.
    """
    try:
        with FileLock(folder / _LOCK, timeout=0):
            started = datetime.now(UTC).isoformat(timespec="seconds")
            write_json(folder / _HOLDER, {"process": os.getpid(), "host": socket.gethostname(), "started": started})
            try:
                yield
            finally:
                (folder / _HOLDER).unlink(missing_ok=True)
    except Timeout:
        raise RunError(
            f"{folder}: {_holder(folder)} is training there; wait for it, end it, or choose another folder (--out)"
        ) from None


def _holder(folder: Path) -> str:
    try:
        about = json.loads((folder / _HOLDER).read_bytes())
        return f"process {about['process']} on {about['host']}, started {about['started']},"
    except (OSError, ValueError, KeyError, TypeError):
        return "another process"
