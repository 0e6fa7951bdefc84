"""The variance of a mean score from seeds: of each arm by itself, or of all arms of a comparison together."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class SeedPart:
    """An arm's share of the squared error from seeds, the part of it already in v, and its degrees of freedom.

    v is the variance over lesions, as in `dspkd.evaluation.intervals.estimate`.
    """

    variance: float
    counted: float
    freedom: int


def parts(
    observed_R: NDArray[np.float64], drawn_RS: NDArray[np.float64], arms: Sequence[NDArray[np.int64]], lend: bool
) -> list[SeedPart]:
    """Return the seed part of each arm, or of both together where one borrows; empty where no arm has a second run."""
    several = [_of_several(observed_R[rows], drawn_RS[rows]) for rows in arms if len(rows) > 1]
    if lend and len(several) == 1 and len(arms) == 2:
        (lender,) = several
        times = max(map(len, arms)) + 1  # the lender's n-th part, and the whole for the single run
        return [SeedPart(times * lender.variance, times * lender.counted, lender.freedom)]
    return several


def pooled(
    observed_R: NDArray[np.float64], arms: Sequence[NDArray[np.int64]], pool: Sequence[Sequence[int]]
) -> SeedPart:
    """Return the seed part of arms whose runs have the variance over seeds of all arms of `pool` together."""
    observed = [observed_R[np.asarray(rows)] for rows in pool]
    freedom = sum(len(each) - 1 for each in observed)
    variance = sum(float(((each - each.mean()) ** 2).sum()) for each in observed) / freedom
    return SeedPart(variance * sum(1 / len(rows) for rows in arms), 0.0, freedom)


def _of_several(observed_R: NDArray[np.float64], drawn_RS: NDArray[np.float64]) -> SeedPart:
    runs = len(observed_R)
    own_RS = drawn_RS - drawn_RS.mean(axis=0)
    counted = float(np.var(own_RS, axis=1, ddof=1).sum()) / (runs - 1) / runs
    return SeedPart(float(np.var(observed_R, ddof=1)) / runs, counted, runs - 1)
