"""The SHA-256 of each finished file of a folder, so that damage is found before the file is used."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from functools import lru_cache
from pathlib import Path

from filelock import FileLock

from dspkd.errors import RunError
from dspkd.runtime.files import write_json

NAME = "files.json"
_LOCK = f".{NAME}.lock"
FILES = (NAME, _LOCK)
"""The files of a manifest itself."""


class Manifest:
    """The digests of the files of `folder`, in its ``files.json``; a folder without that file records nothing."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.path = folder, folder / NAME

    def begin(self) -> None:
        """Write an empty manifest, for a new folder; one that is there stays."""
        if not self.path.exists():
            write_json(self.path, {"sha256": {}})

    def exists(self) -> bool:
        """Return whether the folder has a manifest."""
        return self.path.is_file()

    @contextmanager
    def recording(self, *paths: Path) -> Iterator[None]:
        """Record the files that the block writes: `paths`, or all files in those that are folders.

        Within the block they are not recorded, so that a process that is killed there leaves no digest of another
        content; the next one that writes them records them.
        """
        self._update(paths, record=False)
        yield
        self._update(paths, record=True)

    def recording_new(self, path: Path) -> AbstractContextManager[None]:
        """Return `recording` for a file that is not there yet; one that is there keeps the digest it has."""
        return nullcontext() if path.exists() else self.recording(path)

    def digests(self) -> dict[str, str]:
        """Return ``{path in the folder: SHA-256 in hex}``; empty where there is no manifest.

        Raises
        ------
        RunError
            The manifest is damaged.
        """
        if not self.exists():
            return {}
        try:
            recorded = json.loads(self.path.read_bytes())["sha256"]
            return {name: digest.lower() for name, digest in recorded.items()}
        except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
            raise RunError(
                f"{self.path}: is damaged, so the other files cannot be checked; restore it from a copy, or delete it "
                "to use them unchecked"
            ) from None

    def different(self) -> dict[str, str]:
        """Return what differs from the manifest: ``{path in the folder: "changed" or "missing"}``."""
        found: dict[str, str] = {}
        for name, digest in self.digests().items():
            state = self._state(name, digest)
            # Another process may have replaced the file meanwhile: what it has recorded since counts.
            if state and (now := self.digests().get(name)) is not None and (state := self._state(name, now)):
                found[name] = state
        return found

    def _state(self, name: str, digest: str) -> str:
        path = self.folder / name
        if not path.is_file():
            return "missing"
        stat = path.stat()
        return "" if _sha256_once(path, stat.st_size, stat.st_mtime_ns) == digest else "changed"

    def _name(self, path: Path) -> str:
        return path.relative_to(self.folder).as_posix()

    def _update(self, paths: tuple[Path, ...], *, record: bool) -> None:
        """Forget the digests of these files, and with `record` take them again, before another process can do so."""
        if not self.exists():
            return
        names = [self._name(path) for path in paths]
        with FileLock(self.folder / _LOCK):
            kept = {
                name: digest
                for name, digest in self.digests().items()
                if not any(name == each or name.startswith(f"{each}/") for each in names)
            }
            found = [file for path in paths for file in ([path] if path.is_file() else path.rglob("*"))]
            new = {self._name(file): _sha256(file) for file in found if file.is_file()} if record else {}
            write_json(self.path, {"sha256": dict(sorted((kept | new).items()))})


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


@lru_cache(maxsize=4096)
def _sha256_once(path: Path, size: int, modified: int) -> str:  # noqa: ARG001
    """Return the digest of a file, computed once while its size and time of change are these."""
    return _sha256(path)
