"""Which parts of a teacher's output the terms of a stage read."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import cast

import torch
from torch import Tensor

from dspkd.methods import Term
from dspkd.types import Batch, Output


def fields_read(terms: Iterable[Term], student: Output, teacher: Output, batch: Batch) -> set[str]:
    """Return the parts of a teacher's output that the terms read: ``logits``, ``pooled`` and names of maps.

    The terms compute their loss for one batch while their access is recorded, so that they need not declare it. Their
    layers are in training mode; the state of the random number generator is restored.

    Parameters
    ----------
    terms
        On the CPU. Those that need no teacher are skipped.
    student, teacher
        Outputs for `batch`, as the terms receive them in training.
    batch
        Two images or more.

    Notes
    -----
    A term may read ``logits``, ``pooled``, ``maps``, ``rotated`` and ``strong_aug``, and call `Output.detach`, `rows`
    and `first_images`. An exception of a term has a note with its name.
    """
    read: set[str] = set()
    recorded = cast("Output", _Recorded(teacher, read))
    with torch.random.fork_rng(devices=[]), torch.no_grad():
        for term in terms:
            if not term.needs_teacher:
                continue
            try:
                term.train()(student, recorded, batch)
            except Exception as error:
                error.add_note(
                    f"{term.name}: while it was found out which parts of the teacher's output it reads; what it may do "
                    "with that output is in docs/how-to/add-a-method.md"
                )
                raise
    return read


class _Recorded:
    """An `Output` that records which of its parts are read."""

    def __init__(self, output: Output, read: set[str]) -> None:
        self._output, self._read = output, read

    def detach(self) -> _Recorded:
        return self

    def rows(self, first: int, last: int) -> _Recorded:
        return _Recorded(self._output.rows(first, last), self._read)

    def first_images(self, count: int) -> _Recorded:
        return _Recorded(self._output.first_images(count), self._read)

    def __getattr__(self, name: str) -> object:
        if name in {"logits", "pooled"}:
            self._read.add(name)
        if name in {"rotated", "strong_aug"}:
            derived = getattr(self._output, name)
            return derived and _Recorded(derived, self._read)
        if name == "maps":
            return _RecordedMaps(self._output.maps, self._read)
        return getattr(self._output, name)


class _RecordedMaps(Mapping[str, Tensor]):
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
