"""Which answers of a teacher to trust, by how high it ranks what is right."""

from __future__ import annotations

import torch
from torch import Tensor


def trusted(scores_NK: Tensor, right_N: Tensor, share: float) -> Tensor:
    """Return which rows to keep, bool ``[N]``: all that rank the right column first, and the best `share` of the rest.

    Among the rest those come first that rank the right column higher, and of equals the earlier row; their number is
    rounded down. A column that ties with the right one does not outrank it.
    """
    rank_N = (scores_NK > scores_NK.gather(1, right_N[:, None])).sum(dim=1)
    wrong = (rank_N > 0).sum()
    number = len(rank_N) - wrong + (share * wrong).floor()
    place_N = rank_N.argsort(stable=True).argsort()
    return place_N < number


def mean_of(loss_N: Tensor, kept_N: Tensor) -> Tensor:
    """Return the mean of the kept numbers; 0 where none is kept."""
    return torch.where(kept_N, loss_N, 0).sum() / kept_N.sum().clamp_min(1)
