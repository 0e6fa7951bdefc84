"""Selective prediction: the least confident images are referred to a clinician."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from dspkd.evaluation.predictions import Predictions

SENSITIVITY = 0.95
"""Default share of a class that must be found or referred (inferred)."""


@dataclass(frozen=True)
class Referral:
    """Outcome for one class of referring every image whose confidence is below `threshold`.

    Attributes
    ----------
    threshold
        Confidence, the largest probability, below which an image is referred.
    answered
        Share of all images that are predicted, not referred.
    found
        Share of the images of the class that are predicted rightly.
    referred
        Share of the images of the class that are referred. The rest, neither found nor referred, is missed.
    """

    threshold: float
    answered: float
    found: float
    referred: float


def risk_coverage(predictions: Predictions) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Compute coverage (share of images predicted, most confident first) and risk (share of these that is wrong).

    Images of equal confidence enter together. The last coverage is 1, the last risk 1 less accuracy.

    Source: El-Yaniv, Wiener, *On the Foundations of Noise-free Selective Classification*, JMLR 2010.
    """
    confidence_N = predictions.probabilities.max(axis=1)
    order_N = np.argsort(-confidence_N, kind="stable")
    wrong_N = np.cumsum((predictions.predicted != predictions.labels)[order_N])
    answered_N = np.arange(1, len(predictions) + 1)
    last_N = np.append(np.diff(confidence_N[order_N]) < 0, True)
    return answered_N[last_N] / len(predictions), wrong_N[last_N] / answered_N[last_N]


def threshold_for(validation: Predictions, number: int, *, sensitivity: float = SENSITIVITY) -> float:
    """Choose the referral threshold such that enough of class `number` is found or referred.

    Parameters
    ----------
    validation
        Other images than those that the threshold is evaluated on; at least one of the class.
    number
        The class, such as melanoma.
    sensitivity
        Share of its images, in (0, 1], that must be predicted rightly or referred.

    Returns
    -------
    float
        0 where no referral is needed; just above the most confident error where no error is allowed.
    """
    mine_N = validation.labels == number
    missed_N = mine_N & (validation.predicted != number)
    confidence_M = np.sort(validation.probabilities.max(axis=1)[missed_N])
    allowed = int(np.floor((1 - sensitivity) * mine_N.sum() + 1e-9))  # 1 - 0.95 is not 0.05 in binary
    if len(confidence_M) <= allowed:
        return 0.0
    return float(np.nextafter(confidence_M[len(confidence_M) - allowed - 1], np.inf))


def threshold_at(validation: Predictions, coverage: float) -> float:
    """Choose the largest referral threshold such that at least `coverage` in (0, 1] of images are predicted."""
    confidence_N = np.sort(validation.probabilities.max(axis=1))[::-1]
    answered = int(np.ceil(coverage * len(confidence_N) - 1e-9))  # 0.07 * 100 is above 7 in binary
    return float(confidence_N[max(answered, 1) - 1])


def refer(predictions: Predictions, number: int, threshold: float) -> Referral:
    """Apply a threshold to these images, at least one of which is of class `number`."""
    sure_N = predictions.probabilities.max(axis=1) >= threshold
    mine_N = predictions.labels == number
    found_N = mine_N & sure_N & (predictions.predicted == number)
    return Referral(
        threshold=threshold,
        answered=float(sure_N.mean()),
        found=float(found_N.sum() / mine_N.sum()),
        referred=float((mine_N & ~sure_N).sum() / mine_N.sum()),
    )
