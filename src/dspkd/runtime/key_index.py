"""The positions of millions of keys: sorted numbers, where a dict would take ten times the memory and the time."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

_FEW = 4096
"""Keys that may wait unsorted; of more than eight times as many, an eighth. Inferred."""


class KeyIndex:
    """Finds keys of 16 bytes, digests, by their position in an array that grows.

    The first 8 bytes of each key are kept sorted, with its position: 12 bytes a key. A key that begins like another is
    compared as a whole. New keys wait in a dict, so that adding some sorts seldom: n keys added one by one cost some
    nine sorts of n.
    """

    def __init__(self) -> None:
        self._keys: NDArray[np.void] = np.empty(0, "V16")
        self._starts: NDArray[np.uint64] = np.empty(0, "<u8")
        self._positions: NDArray[np.uint32] = np.empty(0, np.uint32)
        self._waiting: dict[bytes, int] = {}

    def update(self, keys: NDArray[np.void]) -> None:
        """Replace the array by `keys`, ``[N]`` of 16 bytes, fewer than 2^32: those there were, followed by new ones.

        The array is kept and not copied; it may be a view of a file.
        """
        known, self._keys = len(self._keys), keys
        if len(keys) - len(self._starts) > max(_FEW, len(self._starts) // 8):
            starts = np.ascontiguousarray(keys).view("<u8")[::2].copy()
            order = np.argsort(starts)
            self._starts, self._positions = starts[order], order.astype(np.uint32)
            self._waiting = {}
        else:
            self._waiting.update((key.tobytes(), known + n) for n, key in enumerate(keys[known:]))

    def position(self, key: bytes) -> int | None:
        """Return the position of `key`; None where there is none."""
        waiting = self._waiting.get(key)
        if waiting is not None:
            return waiting
        start = np.frombuffer(key, "<u8", 1)
        first, last = (int(self._starts.searchsorted(start, side)[0]) for side in ("left", "right"))
        for position in self._positions[first:last].tolist():
            if self._keys[position].tobytes() == key:
                return int(position)
        return None
