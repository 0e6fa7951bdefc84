"""A store of arrays on disk, found by key: written once, memory-mapped, shared by processes, verified at first read."""

from __future__ import annotations

import json
import logging
import mmap
import os
import shutil
import zlib
from collections.abc import Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager, nullcontext
from pathlib import Path

import numpy as np
from filelock import FileLock, Timeout
from numpy.typing import NDArray

from dspkd.errors import DataError
from dspkd.runtime.files import readable, write_json
from dspkd.runtime.key_index import KeyIndex

_LOG = logging.getLogger(__name__)

KEY_BYTES = 16
"""Bytes in a key, which is a digest of everything that determines the array."""

_ENTRY = np.dtype([("key", f"V{KEY_BYTES}"), ("offset", "<u8"), ("crc", "<u4"), ("shape", "<u4", (3,))])


class Store:
    """Arrays of one kind in a folder, found by key.

    Arrays are only ever appended, so any number of processes may read while one writes. Each has a checksum, compared
    when it is read for the first time. Incomplete data of a writer that was killed are cut off by the next one. The
    index is mapped too, so that processes share it; each needs some 13 bytes an array of its own.

    Parameters
    ----------
    folder
        Created if missing. It holds ``store.json``, the arrays one after another, and an index of them.
    dtype
        Of all arrays, e.g. ``"uint8"``. Shapes may differ; up to three axes, none of them empty.
    about
        What the arrays are, written to ``store.json``; a folder where it differs is refused.

    Raises
    ------
    DataError
        The folder holds other arrays, or its files do not belong together.
    """

    def __init__(self, folder: Path, dtype: str, about: Mapping[str, object]) -> None:
        self.folder, self.dtype = folder, np.dtype(dtype)
        self._about = {"dtype": dtype, **about}
        folder.mkdir(parents=True, exist_ok=True)
        self._lock = self._lock_of_writers()
        self._write_or_check_about()
        self._index = KeyIndex()
        self._entries: NDArray[np.void] = np.empty(0, _ENTRY)
        self._map: mmap.mmap | None = None
        self._checked = bytearray()
        self.refresh()

    def __reduce__(self) -> tuple[type[Store], tuple[Path, str, dict[str, object]]]:
        """Pickle as folder, dtype and description: another process opens the same files."""
        return Store, (self.folder, str(self.dtype), {k: v for k, v in self._about.items() if k != "dtype"})

    def __len__(self) -> int:
        return len(self._entries)

    def __contains__(self, key: bytes) -> bool:
        return self._index.position(key) is not None

    @property
    def nbytes(self) -> int:
        """Return the bytes that the arrays take on disk."""
        return self._end(len(self))

    def read(self, key: bytes) -> NDArray[np.generic]:
        """Return the array of `key`, a read-only view of the file.

        Raises
        ------
        DataError
            There is none, or its bytes have changed since they were written.
        """
        position = self._index.position(key)
        if position is None:
            raise DataError(f"{self.folder}: has no array under the key {key.hex()}; it was filled for other keys")
        if self._map is None or len(self._map) < self.nbytes:
            with self._path("arrays").open("rb") as file:
                self._map = mmap.mmap(file.fileno(), self.nbytes, access=mmap.ACCESS_READ)
        start, end = int(self._entries["offset"][position]), self._end(position + 1)
        if not self._checked[position]:
            if zlib.crc32(memoryview(self._map)[start:end]) != self._entries["crc"][position]:
                raise DataError(
                    f"{self.folder}: array {position} is damaged (its checksum differs); delete this folder, "
                    "and it is rebuilt"
                )
            self._checked[position] = 1
        shape = tuple(int(n) for n in self._entries["shape"][position] if n)
        return np.frombuffer(self._map, self.dtype, int(np.prod(shape)), start).reshape(shape)

    @contextmanager
    def writing(self) -> Iterator[None]:
        """Lock out other writers; on entry, read what they have written and cut off what is incomplete."""
        with self._locked():
            self.refresh(repair=self._writable)
            yield

    def append(self, arrays: Iterable[tuple[bytes, NDArray[np.generic]]]) -> None:
        """Write arrays under new keys, and skip keys that exist. Only within `writing`.

        Raises
        ------
        DataError
            The disk is full; arrays written earlier stay valid.
        """
        rows, end = [], self.nbytes
        new = {key: array for key, array in arrays if key not in self}
        try:
            with self._path("arrays").open("ab") as file:
                for key, array in new.items():
                    values = np.ascontiguousarray(array, self.dtype)
                    shape = values.shape + (0,) * (3 - values.ndim)
                    rows.append((key, end, zlib.crc32(values.data), shape))
                    file.write(values.data)
                    end += values.nbytes
            # The index comes last: an array that it does not list is incomplete.
            with self._path("index").open("ab") as file:
                file.write(np.array(rows, _ENTRY).tobytes())
        except OSError as error:
            raise DataError(
                f"{self.folder}: cannot be written to: {error.strerror}; free some space, or name another "
                "folder: machine.cache"
            ) from error
        self._map_entries(len(self) + len(rows))

    def require_space(self, nbytes: int) -> None:
        """Raise DataError unless the disk has `nbytes` free."""
        free = shutil.disk_usage(self.folder).free
        if nbytes > free:
            raise DataError(
                f"{self.folder}: needs {readable(nbytes)}, and {readable(free)} are free; "
                "name a folder on another disk: machine.cache"
            )

    def _path(self, name: str) -> Path:
        return self.folder / f"{name}.bin"

    def _end(self, position: int) -> int:
        """Return the byte at which the array before `position` ends."""
        if position == 0:
            return 0
        last = self._entries[position - 1]
        shape = [int(n) for n in last["shape"] if n]
        return int(last["offset"]) + int(np.prod(shape)) * self.dtype.itemsize

    @property
    def _writable(self) -> bool:
        return not isinstance(self._lock, nullcontext)

    def _lock_of_writers(self) -> FileLock | nullcontext[None]:
        """Return the lock of those who write; none where this process may only read, as in another user's cache."""
        files = (self.folder, self.folder / "lock", self._path("index"), self._path("arrays"))
        may_write = all(os.access(path, os.W_OK) for path in files if path.exists())
        return FileLock(self.folder / "lock") if may_write else nullcontext()

    @contextmanager
    def _locked(self) -> Iterator[None]:
        """Hold the lock of writers; the log says where that has to wait for another process."""
        with ExitStack() as stack:
            try:
                stack.enter_context(
                    self._lock if isinstance(self._lock, nullcontext) else self._lock.acquire(timeout=0)
                )
            except Timeout:
                _LOG.warning("%s: another process writes there; waiting for it", self.folder)
                stack.enter_context(self._lock)
            yield

    def _write_or_check_about(self) -> None:
        """Write ``store.json``, or check that the one there describes the same arrays."""
        path = self.folder / "store.json"
        with self._locked():
            stored = _json_in(path)
            if stored is None and self._writable:
                self._set_aside(path)
                write_json(path, self._about)
                stored = dict(self._about)
        if stored is None:
            raise DataError(f"{path}: is damaged or missing, and cannot be written; name another folder: machine.cache")
        different = sorted(name for name in {*stored, *self._about} if stored.get(name) != self._about.get(name))
        if different:
            first = different[0]
            raise DataError(
                f"{path}: holds other arrays: its {first} is {stored.get(first)!r}, not "
                f"{self._about.get(first)!r}; delete the folder, or name another: machine.cache"
            )

    def _set_aside(self, about: Path) -> None:
        """Rename the files of a folder whose description is damaged: nobody knows what arrays they hold."""
        if about.exists():
            for path in (about, self._path("index"), self._path("arrays")):
                if path.exists():
                    path.replace(path.with_name(f"{path.name}.damaged"))
            _LOG.warning("%s: was damaged, so this cache is made again; *.damaged beside it may be deleted", about)

    def refresh(self, *, repair: bool = False) -> None:
        """Read what others have written; with `repair`, cut off what is incomplete, which only a writer may do."""
        index, arrays = self._path("index"), self._path("arrays")
        if not index.exists():
            return
        complete = index.stat().st_size // _ENTRY.itemsize
        self._map_entries(complete)
        size = arrays.stat().st_size if arrays.exists() else 0
        if size < self.nbytes:
            raise DataError(
                f"{arrays}: is cut short: {size:,} bytes instead of {self.nbytes:,}; delete the folder {self.folder}, "
                "and it is rebuilt"
            )
        if repair:
            os.truncate(index, complete * _ENTRY.itemsize)
            os.truncate(arrays, self.nbytes)

    def _map_entries(self, count: int) -> None:
        """Map the first `count` entries of the index: those there were, and new ones."""
        if count == len(self):
            return
        with self._path("index").open("rb") as file:
            mapped = mmap.mmap(file.fileno(), count * _ENTRY.itemsize, access=mmap.ACCESS_READ)
        self._entries = np.frombuffer(mapped, _ENTRY)
        self._index.update(self._entries["key"])
        self._checked.extend(bytes(count - len(self._checked)))


def _json_in(path: Path) -> dict[str, object] | None:
    """Return the object in a JSON file; None where there is none, or it is damaged."""
    try:
        content = json.loads(path.read_bytes())
    except (FileNotFoundError, ValueError, RecursionError):
        return None
    return content if isinstance(content, dict) else None
