"""Which accuracies a test set of n images can give: k correct of n, and nothing between.

Source: Brown, Heathers, *The GRIM test*, Social Psychological and Personality Science 2017, for means of whole numbers.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from dspkd.experiments.paper.claims.rows import Number


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
        units = round(number.value * 10**number.digits)  # of the last digit printed
        whole = 2 * 100 * 10**number.digits
        # k is whole, and 2 units - 1 <= k whole / (R n) <= 2 units + 1: in integers, so that no rounding decides.
        rounded &= -(-(2 * units - 1) * n * runs // whole) <= (2 * units + 1) * n * runs // whole
        cut &= -(-2 * units * n * runs // whole) <= ((2 * units + 2) * n * runs - 1) // whole
    return n[rounded | cut]
