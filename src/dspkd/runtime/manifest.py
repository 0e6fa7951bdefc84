"""The SHA-256 of each finished file of a folder, so that damage is found before the file is used."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress
from functools import lru_cache
from pathlib import Path

from filelock import FileLock

from dspkd.errors import RunError
from dspkd.runtime.files import sha256_of, write_json

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
        content; the next one that writes them records them. A block that ends by an exception records what it wrote.
        A file that the block has left as it was keeps its digest, also one of another content: damage stays found.
        """
        before = self._forget(paths)
        try:
            yield
        except BaseException:
            with suppress(OSError):  # a full disk, perhaps, of which the exception tells already
                self._record(paths, before)
            raise
        self._record(paths, before)

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
        return "" if sha256_once(path) == digest else "changed"

    def _name(self, path: Path) -> str:
        return path.relative_to(self.folder).as_posix()

    def _forget(self, paths: tuple[Path, ...]) -> dict[str, tuple[str, str]]:
        """Remove these files from the manifest; return the digest that each had there, and that of its content."""
        if not self.exists():
            return {}
        with FileLock(self.folder / _LOCK):
            recorded = self.digests()
            found = {self._name(file) for file in _files_of(paths)}
            self._write({name: digest for name, digest in recorded.items() if not self._is_in(name, paths)})
            return {name: (recorded[name], sha256_of(self.folder / name)) for name in found & recorded.keys()}

    def _record(self, paths: tuple[Path, ...], before: dict[str, tuple[str, str]]) -> None:
        """Write the digests of these files, all under the lock: another process may be writing one of them."""
        if not self.exists():
            return
        with FileLock(self.folder / _LOCK):
            kept = {name: digest for name, digest in self.digests().items() if not self._is_in(name, paths)}
            for file in _files_of(paths):
                name, content = self._name(file), sha256_of(file)
                digest, earlier = before.get(name, ("", ""))
                kept[name] = digest if content == earlier else content
            self._write(kept)

    def _is_in(self, name: str, paths: tuple[Path, ...]) -> bool:
        return any(name == each or name.startswith(f"{each}/") for each in map(self._name, paths))

    def _write(self, digests: dict[str, str]) -> None:
        write_json(self.path, {"sha256": dict(sorted(digests.items()))})


def _files_of(paths: tuple[Path, ...]) -> list[Path]:
    found = [file for path in paths for file in ([path] if path.is_file() else path.rglob("*"))]
    return [file for file in found if file.is_file()]


def sha256_once(path: Path) -> str:
    """Return the SHA-256 of a file, computed once while its size and time of change are the same."""
    stat = path.stat()
    return _sha256_of_state(path, stat.st_size, stat.st_mtime_ns)


@lru_cache(maxsize=4096)
def _sha256_of_state(path: Path, size: int, modified: int) -> str:  # noqa: ARG001
    return sha256_of(path)
