"""Selection of a teacher's reliable predictions, by its rank of the right class."""

from __future__ import annotations

import torch
from torch import Tensor


def trusted(scores_NK: Tensor, right_N: Tensor, share: float) -> Tensor:
    """Return which rows to keep, bool ``[N]``: all that rank the right column first, and the best `share` of the rest.

    The rest are ordered by the rank of the right column, equal ranks by row; the number that is kept is rounded down.
    A column that ties with the right one does not outrank it.
    """
    rank_N = (scores_NK > scores_NK.gather(1, right_N[:, None])).sum(dim=1)
    wrong = (rank_N > 0).sum()
    number = len(rank_N) - wrong + (share * wrong).floor()
    place_N = rank_N.argsort(stable=True).argsort()
    return place_N < number


def mean_of(loss_N: Tensor, kept_N: Tensor) -> Tensor:
    """Return the mean of the kept values; 0 if there are none."""
    return torch.where(kept_N, loss_N, 0).sum() / kept_N.sum().clamp_min(1)
