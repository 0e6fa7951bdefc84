"""Labels as weights of several classes, as several readers of an image give them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from dspkd.errors import DataError


def from_weights(weights: Sequence[Mapping[str, float]], classes: Sequence[str]) -> NDArray[np.float32]:
    """Return ``[N, K]`` the weights of the classes, which sum to 1 for each image.

    That of another class is left out; each image has a weight above 0 for at least one of the `classes`.
    """
    number = {name: k for k, name in enumerate(classes)}
    soft_NK = np.zeros((len(weights), len(classes)), dtype=np.float32)
    for row, each in enumerate(weights):
        for name in each.keys() & number.keys():
            soft_NK[row, number[name]] = each[name]
    return normalised(soft_NK)


def merged(soft_NK: NDArray[np.float32], number_K: NDArray[np.int64], classes: int) -> NDArray[np.float32]:
    """Return ``[N, classes]`` the weights of new classes, the sums of those that they merge.

    `number_K` has the new class of each old one, -1 for a dropped one, whose weight is left out.
    """
    new_KK = number_K[:, None] == np.arange(classes)
    return normalised(soft_NK @ new_KK.astype(np.float32))


def normalised(weights_NK: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return weights of which those of each image sum to 1."""
    shares_NK: NDArray[np.float32] = weights_NK / weights_NK.sum(axis=1, keepdims=True)
    return shares_NK


def heaviest(soft_NK: NDArray[np.float32], labels_N: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return ``[N]`` the class with the largest weight; of several, the present label, or else the first."""
    largest_N = soft_NK.max(axis=1, initial=0)
    present_N = soft_NK[np.arange(len(labels_N)), labels_N]
    return np.where(present_N >= largest_N, labels_N, soft_NK.argmax(axis=1))


def rounding(scores_NK: NDArray[np.floating]) -> float:
    """Return how far the probabilities of an image may be from 1 in sum: 0.01, or more where rounding explains it.

    That of K probabilities with d decimals, at least two, explains up to K / 2 units of the last one.
    """
    steps = (0.01, 0.001, 0.0001)
    step = next((s for s in steps if np.allclose(scores_NK / s, np.rint(scores_NK / s), rtol=0, atol=1e-3)), 0.0)
    return float(max(0.01, step / 2 * scores_NK.shape[-1]) + 1e-6)


def remedy_for(scores_K: NDArray[np.floating]) -> str:
    """Return what to do with the scores of an image that are no probabilities, for a message."""
    if (scores_K >= 0).all() and abs(scores_K.sum() - 100) <= 100 * rounding(scores_K / 100):
        return "divide percentages by 100"
    if ((scores_K >= 0) & (scores_K <= 1)).all():
        return "add the column of a class that is left out, or divide them by their sum"
    return "call the columns logit_<class> if they are logits"


def require_logits(path: Path, scores_NK: NDArray[np.floating]) -> None:
    """Raise DataError where scores in columns of logits are probabilities, or percentages."""
    sums_N = scores_NK.sum(axis=1)
    for total, what, divide in ((1, "probabilities", ""), (100, "percentages", "divide them by 100 and ")):
        if (scores_NK >= 0).all() and (np.abs(sums_N / total - 1) <= rounding(scores_NK / total)).all():
            raise DataError(
                f"{path}: the columns logit_<class> hold {what}, as those of every image sum to {total}; "
                f"{divide}call the columns prob_<class>"
            )
