"""Latency of one image, measured in turns so that other load on the machine affects all contenders equally."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

WARMUPS, RUNS = 20, 100
PROTOCOL = f"one image at a time, one thread, {WARMUPS} runs to warm up, {RUNS} timed; contenders take turns"
"""The protocol; the paper's is unknown, this one is ours (inferred)."""


@dataclass(frozen=True)
class Latency:
    """The time of a call, in milliseconds.

    Attributes
    ----------
    p50, p95
        Median and 95th percentile of the wall clock.
    cpu
        Median of the processor time, all threads together: nearly the time on an idle machine.
    """

    p50: float
    p95: float
    cpu: float


def measure(contenders: Mapping[str, Callable[[], object]], *, runs: int = RUNS) -> dict[str, Latency]:
    """Measure the time of a call of each contender.

    They take turns, so that a slow period of the machine affects all of them. On a busy machine short calls still look
    better, since they are interrupted less often: then compare `Latency.cpu`.
    """
    taken: dict[str, list[tuple[float, float]]] = {name: [] for name in contenders}
    for call in contenders.values():
        for _ in range(WARMUPS):
            call()
    for _ in range(runs):
        for name, call in contenders.items():
            wall, cpu = time.perf_counter(), time.process_time()
            call()
            taken[name].append((time.perf_counter() - wall, time.process_time() - cpu))
    return {name: _summary(1e3 * np.array(seconds)) for name, seconds in taken.items()}


def _summary(milliseconds_R2: NDArray[np.float64]) -> Latency:
    p50, p95 = np.percentile(milliseconds_R2[:, 0], (50, 95))
    return Latency(*(round(float(value), 4) for value in (p50, p95, np.median(milliseconds_R2[:, 1]))))
