"""Feature maps that are read at their first use."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping
from functools import cache

from torch import Tensor


class LazyMaps(Mapping[str, Tensor]):
    """Maps by name; each is read at its first use, and kept."""

    def __init__(self, taps: Collection[str], read: Callable[[str], Tensor]) -> None:
        self._taps, self._read = sorted(taps), cache(read)

    def __getitem__(self, tap: str) -> Tensor:
        if tap not in self._taps:
            raise KeyError(tap)
        return self._read(tap)

    def __iter__(self) -> Iterator[str]:
        return iter(self._taps)

    def __len__(self) -> int:
        return len(self._taps)
