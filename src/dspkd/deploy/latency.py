"""How long one picture takes, measured so that contenders share whatever else the machine does."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np

WARMUPS, RUNS = 20, 100
PROTOCOL = f"one picture at a time, one thread, {WARMUPS} runs to warm up, {RUNS} timed; contenders take turns"
"""The protocol; the paper's is unknown, this one is ours (inferred)."""


@dataclass(frozen=True)
class Latency:
    """Median and 95th percentile, in milliseconds."""

    p50: float
    p95: float


def measure(contenders: Mapping[str, Callable[[], object]], *, runs: int = RUNS) -> dict[str, Latency]:
    """Return the wall-clock time of a call of each contender.

    They take turns, so that a slow stretch of the machine falls on all of them.
    """
    seconds: dict[str, list[float]] = {name: [] for name in contenders}
    for call in contenders.values():
        for _ in range(WARMUPS):
            call()
    for _ in range(runs):
        for name, call in contenders.items():
            started = time.perf_counter()
            call()
            seconds[name].append(time.perf_counter() - started)
    return {name: Latency(*(1e3 * np.percentile(taken, (50, 95))).round(4).tolist()) for name, taken in seconds.items()}
