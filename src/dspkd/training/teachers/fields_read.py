"""Which parts of a teacher's answer the terms of a stage read."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import cast

import torch
from torch import Tensor

from dspkd.methods import Term
from dspkd.types import Batch, Output


def fields_read(terms: Iterable[Term], student: Output, teacher: Output, batch: Batch) -> set[str]:
    """Return the names of what the terms read of a teacher's answer: ``logits``, ``pooled`` and names of maps.

    Found by watching them compute their loss of one batch, so that a term need not declare it. Their layers are used
    in training mode; the random numbers that they draw are put back.

    Parameters
    ----------
    terms
        On the CPU. Those that need no teacher are passed over.
    student, teacher
        Answers to `batch`, as the terms get them in training.
    batch
        Two images or more.
    """
    read: set[str] = set()
    watched = cast("Output", _Watched(teacher, read))
    with torch.random.fork_rng(devices=[]), torch.no_grad():
        for term in terms:
            if term.needs_teacher:
                term.train()(student, watched, batch)
    return read


class _Watched:
    """An `Output` that notes which of its parts are asked for."""

    def __init__(self, answered: Output, read: set[str]) -> None:
        self._answered, self._read = answered, read

    def detach(self) -> _Watched:
        return self

    def rows(self, first: int, last: int) -> _Watched:
        return _Watched(self._answered.rows(first, last), self._read)

    def __getattr__(self, name: str) -> object:
        if name in {"logits", "pooled"}:
            self._read.add(name)
        if name in {"rotated", "strong_aug"}:
            made = getattr(self._answered, name)
            return made and _Watched(made, self._read)
        if name == "maps":
            return _WatchedMaps(self._answered.maps, self._read)
        return getattr(self._answered, name)


class _WatchedMaps(Mapping[str, Tensor]):
    def __init__(self, maps: Mapping[str, Tensor], read: set[str]) -> None:
        self._maps, self._read = maps, read

    def __getitem__(self, tap: str) -> Tensor:
        values = self._maps[tap]
        self._read.add(tap)
        return values

    def __iter__(self) -> Iterator[str]:
        return iter(self._maps)

    def __len__(self) -> int:
        return len(self._maps)
