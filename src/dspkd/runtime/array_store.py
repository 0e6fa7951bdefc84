"""Arrays under keys, on disk: each written once, mapped into memory, shared by processes, checked when first read."""

from __future__ import annotations

import json
import mmap
import os
import shutil
import zlib
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from filelock import FileLock
from numpy.typing import NDArray

from dspkd.errors import DataError
from dspkd.runtime.files import readable

KEY_BYTES = 16
"""Bytes in a key: a digest of whatever the array is a function of."""

_ENTRY = np.dtype([("key", f"V{KEY_BYTES}"), ("offset", "<u8"), ("crc", "<u4"), ("shape", "<u4", (3,))])


class Store:
    """Arrays of one kind in a folder, found by key.

    Arrays are only ever appended, so any number of processes may read while one writes. Each has a checksum, compared
    when it is read for the first time. What a killed writer left half-written is cut off by the next one.

    Parameters
    ----------
    folder
        Made if missing. It holds ``store.json``, the arrays one after another, and an index of them.
    dtype
        Of all arrays, e.g. ``"uint8"``. Shapes may differ; up to three axes, none of them empty.
    about
        What the arrays are, for people and as a safeguard: a folder that says something else of itself is refused.

    Raises
    ------
    DataError
        The folder holds something else, or its files do not belong together.
    """

    def __init__(self, folder: Path, dtype: str, about: Mapping[str, object]) -> None:
        self.folder, self.dtype = folder, np.dtype(dtype)
        self._about = {"dtype": dtype, **about}
        folder.mkdir(parents=True, exist_ok=True)
        self._lock = FileLock(folder / "lock")
        self._claim()
        self._places: dict[bytes, int] = {}
        self._entries: NDArray[np.void] = np.empty(0, _ENTRY)  # with room for more at its end
        self._count = 0
        self._map: mmap.mmap | None = None
        self._checked = bytearray()
        self.refresh()

    def __reduce__(self) -> tuple[type[Store], tuple[Path, str, dict[str, object]]]:
        """Return how another process opens the same folder."""
        return Store, (self.folder, str(self.dtype), {k: v for k, v in self._about.items() if k != "dtype"})

    def __len__(self) -> int:
        return self._count

    def __contains__(self, key: bytes) -> bool:
        return key in self._places

    @property
    def nbytes(self) -> int:
        """Return how many bytes the arrays take on disk."""
        return self._end(self._count)

    def read(self, key: bytes) -> NDArray[np.generic]:
        """Return the array of `key`, read-only, a view of the file.

        Raises
        ------
        DataError
            There is none, or its bytes are not those that were written.
        """
        place = self._places.get(key)
        if place is None:
            raise DataError(f"{self.folder}: holds nothing under the key {key.hex()}; it was not filled for this")
        if self._map is None or len(self._map) < self.nbytes:
            with self._path("arrays").open("rb") as file:
                self._map = mmap.mmap(file.fileno(), self.nbytes, access=mmap.ACCESS_READ)
        start, end = int(self._entries["offset"][place]), self._end(place + 1)
        if not self._checked[place]:
            if zlib.crc32(memoryview(self._map)[start:end]) != self._entries["crc"][place]:
                raise DataError(
                    f"{self.folder}: array {place} is damaged (its checksum differs); delete this folder, "
                    "and it is made anew"
                )
            self._checked[place] = 1
        shape = tuple(int(n) for n in self._entries["shape"][place] if n)
        return np.frombuffer(self._map, self.dtype, int(np.prod(shape)), start).reshape(shape)

    @contextmanager
    def writing(self) -> Iterator[None]:
        """Keep other writers out; on entry, see what they have written meanwhile."""
        with self._lock:
            self.refresh(mend=True)
            yield

    def append(self, arrays: Iterable[tuple[bytes, NDArray[np.generic]]]) -> None:
        """Write arrays under new keys; a key that is there already is passed over. Only within `writing`.

        Raises
        ------
        DataError
            The disk is full; what was written before stays.
        """
        entries, end = [], self.nbytes
        new = {key: array for key, array in arrays if key not in self._places}
        try:
            with self._path("arrays").open("ab") as file:
                for key, array in new.items():
                    written = np.ascontiguousarray(array, self.dtype)
                    shape = written.shape + (0,) * (3 - written.ndim)
                    entries.append((key, end, zlib.crc32(written.data), shape))
                    file.write(written.data)
                    end += written.nbytes
            # The index comes last: what it does not list was not written whole.
            with self._path("index").open("ab") as file:
                file.write(np.array(entries, _ENTRY).tobytes())
        except OSError as error:
            raise DataError(f"{self.folder}: cannot be written to: {error.strerror}; free some space") from error
        self._learn(np.array(entries, _ENTRY))

    def require_space(self, nbytes: int) -> None:
        """Raise DataError unless the disk has room for so many bytes more."""
        free = shutil.disk_usage(self.folder).free
        if nbytes > free:
            raise DataError(
                f"{self.folder}: {readable(nbytes)} are to be written, and {readable(free)} are free; "
                "name a folder on another disk: machine.cache"
            )

    def _path(self, name: str) -> Path:
        return self.folder / f"{name}.bin"

    def _end(self, place: int) -> int:
        """Return where the array before `place` ends."""
        if place == 0:
            return 0
        last = self._entries[place - 1]
        shape = [int(n) for n in last["shape"] if n]
        return int(last["offset"]) + int(np.prod(shape)) * self.dtype.itemsize

    def _claim(self) -> None:
        """Write what this folder holds, or see that it is that."""
        path = self.folder / "store.json"
        with self._lock:
            if not path.exists():
                half = path.with_suffix(".half")
                half.write_text(json.dumps(self._about, indent=2) + "\n", encoding="utf-8")
                half.replace(path)
        said = json.loads(path.read_text(encoding="utf-8"))
        different = sorted(name for name in {*said, *self._about} if said.get(name) != self._about.get(name))
        if different:
            first = different[0]
            raise DataError(
                f"{path}: holds other arrays: its {first} is {said.get(first)!r}, wanted is "
                f"{self._about.get(first)!r}; delete the folder, or name another: machine.cache"
            )

    def refresh(self, *, mend: bool = False) -> None:
        """See what others have written; with `mend`, cut off what is not whole, which only a writer may do."""
        index, arrays = self._path("index"), self._path("arrays")
        if not index.exists():
            return
        whole = index.stat().st_size // _ENTRY.itemsize
        new = np.fromfile(index, _ENTRY, whole - len(self), offset=len(self) * _ENTRY.itemsize)
        self._learn(new)
        size = arrays.stat().st_size if arrays.exists() else 0
        if size < self.nbytes:
            raise DataError(
                f"{arrays}: is cut short: {size:,} bytes instead of {self.nbytes:,}; delete the folder {self.folder}, "
                "and it is made anew"
            )
        if mend:
            os.truncate(index, whole * _ENTRY.itemsize)
            os.truncate(arrays, self.nbytes)

    def _learn(self, new: NDArray[np.void]) -> None:
        """Take entries that follow those known."""
        count = self._count + len(new)
        if count > len(self._entries):
            room = np.empty(max(count, 2 * self._count) - self._count, _ENTRY)
            self._entries = np.concatenate([self._entries[: self._count], room])
        self._entries[self._count : count] = new
        self._places.update((key.tobytes(), self._count + n) for n, key in enumerate(new["key"]))
        self._checked.extend(bytes(len(new)))
        self._count = count
