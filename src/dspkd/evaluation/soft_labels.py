"""Predictions against labels that are weights of several classes, as several readers of an image give them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import entr, log_softmax

from dspkd.evaluation.predictions import Predictions


@dataclass(frozen=True)
class SoftScores:
    """Means over images; `of` has the formulas.

    Attributes
    ----------
    cross_entropy
        In nats, at least `lowest_cross_entropy`; less is better.
    lowest_cross_entropy
        Entropy of the weights, in nats: what predicting exactly the weights would have.
    weight_of_predicted
        Weight of the predicted class, at most `highest_weight`; more is better.
    highest_weight
        The largest weight: what always predicting the class of the largest weight would have.
    """

    cross_entropy: float
    lowest_cross_entropy: float
    weight_of_predicted: float
    highest_weight: float

    @property
    def sentence(self) -> str:
        """Return the four figures in words."""
        return (
            f"labels with weights of several classes: cross-entropy {self.cross_entropy:.3f} nats, at best "
            f"{self.lowest_cross_entropy:.3f}; mean weight of the predicted class {self.weight_of_predicted:.3f}, "
            f"at best {self.highest_weight:.3f}"
        )


def of(predictions: Predictions, soft_NK: NDArray[np.float32] | None) -> SoftScores | None:
    r"""Compare predictions with the weights of the classes; each image counts the same.

    .. math:: -\frac 1N \sum_{n, c} q_{n,c} \log p_{n,c}, \qquad -\frac 1N \sum_{n, c} q_{n,c} \log q_{n,c}, \qquad
              \frac 1N \sum_n q_{n, \arg\max_c p_{n,c}}, \qquad \frac 1N \sum_n \max_c q_{n,c}

    Parameters
    ----------
    soft_NK
        ``[N, K]``, the weights :math:`q` of the classes in the order of `predictions`; each row sums to 1. None, for
        images of one class each, returns None.

    Source: Peterson et al., *Human Uncertainty Makes Classification More Robust*, ICCV 2019, for the cross-entropy.
    """
    if soft_NK is None:
        return None
    q_NK = soft_NK.astype(np.float64)
    log_p_NK = log_softmax(predictions.logits.astype(np.float64), axis=1)
    return SoftScores(
        cross_entropy=float(-(q_NK * log_p_NK).sum(axis=1).mean()),
        lowest_cross_entropy=float(entr(q_NK).sum(axis=1).mean()),
        weight_of_predicted=float(q_NK[np.arange(len(q_NK)), predictions.predicted].mean()),
        highest_weight=float(q_NK.max(axis=1).mean()),
    )
