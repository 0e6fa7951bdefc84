"""Which accuracies a test set of n images can give: k correct of n, and nothing between.

Source: Brown, Heathers, *The GRIM test*, Social Psychological and Personality Science 2017, for means of whole numbers.
"""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction

import numpy as np
from numpy.typing import NDArray

from dspkd.experiments.paper.claims.rows import Number

_DIGITS = 5
"""Decimals of a percentage that count: programs print up to 16, and single precision is right to 5."""


def sizes(percentages: Sequence[Number], images: tuple[int, int], runs: int = 1) -> NDArray[np.int64]:
    """Return the sizes of the test set, within a range, at which all these accuracies are possible.

    An accuracy of n images is 100 k / n for a whole k; a mean of R runs is 100 k / (R n). All percentages may be
    rounded (halves either way) or all truncated, as some programs do.

    Parameters
    ----------
    percentages
        Accuracies on the same test set, in percent.
    images
        Smallest and largest size, both included.
    runs
        R, the number of runs that each is a mean of.
    """
    n = np.arange(images[0], images[1] + 1, dtype=np.int64)
    rounded, cut = np.ones(len(n), dtype=bool), np.ones(len(n), dtype=bool)
    for number in percentages:
        unit = Fraction(10) ** -min(number.digits, _DIGITS)  # of the last digit
        value = Fraction(str(number.value))
        rounded &= _ceiling(value - unit / 2, n * runs) <= -_ceiling(-value - unit / 2, n * runs)
        cut &= _ceiling(value, n * runs) < _ceiling(value + unit, n * runs)
    return n[rounded | cut]


def _ceiling(percentage: Fraction, total: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return the least k with 100 k / total at or above a percentage; in integers, so that no rounding decides."""
    share, whole = (percentage / 100).as_integer_ratio()
    fits = (abs(share) + whole) * int(total.max(initial=0)) < 2**63
    return (-(-share * total.astype(np.int64 if fits else object) // whole)).astype(np.int64)
