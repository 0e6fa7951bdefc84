"""How long one image takes, measured so that contenders share whatever else the machine does."""

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
    """What a call takes, in milliseconds.

    Attributes
    ----------
    p50, p95
        Median and 95th percentile of the wall clock.
    cpu
        Median of the processor's time, all threads together: what it would take if nothing else ran, nearly.
    """

    p50: float
    p95: float
    cpu: float


def measure(contenders: Mapping[str, Callable[[], object]], *, runs: int = RUNS) -> dict[str, Latency]:
    """Return how long a call of each contender takes.

    They take turns, so that a slow stretch of the machine falls on all of them. On a busy machine short calls still
    come off better, since they more often end before something else gets its turn: then compare `Latency.cpu`.
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
