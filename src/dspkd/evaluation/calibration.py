"""Calibration: of images predicted with probability 0.8, 80 % should be right."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from scipy import optimize
from scipy.special import log_softmax

from dspkd.evaluation.predictions import Predictions

BINS = 15
"""Number of bins of equal width, as in Guo et al."""

FEWEST_ERRORS = 10
"""Wrong validation images below which the temperature is at least 1 (inferred): without errors, no probability is too
large for it, and it would take that of cancers from the classes that are not predicted."""

_TEMPERATURES = (0.05, 20.0)

DEFINITIONS: dict[str, str] = {
    "ece": "expected calibration error: gap between confidence (the largest probability) and accuracy, "
    f"mean over {BINS} bins of confidence, weighted by their images",
    "classwise_ece": "the same for each class, its probability against the share of images that have it; their mean",
    "brier": "mean over images of the squared distance between probabilities and truth, summed over classes: 0 to 2",
    "log_loss": "mean over images of minus the natural logarithm of the true class's probability",
}
"""One line per field of `Calibration`, printed beside its number."""


@dataclass(frozen=True)
class Calibration:
    """Calibration errors; the fields are as in `DEFINITIONS`, 0 is perfect."""

    ece: float
    classwise_ece: float
    brier: float
    log_loss: float


@dataclass(frozen=True)
class Bin:
    """The images whose confidence lies in one bin: their number, mean confidence and accuracy."""

    images: int
    confidence: float
    accuracy: float


def calibration(predictions: Predictions) -> Calibration:
    """Compute the calibration errors of the probabilities of `predictions`.

    Source: Guo et al., *On Calibration of Modern Neural Networks*, ICML 2017, for the ECE; Kull et al., *Beyond
    temperature scaling*, NeurIPS 2019, class by class; Brier, Monthly Weather Review 1950, with all classes summed.
    """
    p_NK = predictions.probabilities
    truth_NK = np.eye(len(predictions.classes))[predictions.labels]
    right_N = (predictions.predicted == predictions.labels).astype(np.float64)
    return Calibration(
        ece=_gap(p_NK.max(axis=1), right_N),
        classwise_ece=float(np.mean([_gap(p_N, truth_N) for p_N, truth_N in zip(p_NK.T, truth_NK.T, strict=True)])),
        brier=float(np.square(p_NK - truth_NK).sum(axis=1).mean()),
        log_loss=_log_loss(predictions, 1.0),
    )


def reliability(predictions: Predictions) -> list[Bin]:
    """Return the bins of confidence that have images, in rising order."""
    confidence_N = predictions.probabilities.max(axis=1)
    right_N = predictions.predicted == predictions.labels
    bin_N = _bins(confidence_N)
    rows = [bin_N == number for number in np.unique(bin_N)]
    return [Bin(int(of.sum()), float(confidence_N[of].mean()), float(right_N[of].mean())) for of in rows]


def temperature(validation: Predictions) -> float:
    """Fit the temperature that logits are divided by so that the log loss on `validation` is least.

    One number for all images and classes, so no prediction changes. Between 0.05 and 20; the upper end is reached only
    where no prediction is right. It is at least 1 where fewer than `FEWEST_ERRORS` images are wrong (inferred).

    Source: Guo et al., *On Calibration of Modern Neural Networks*, ICML 2017.
    """
    fit = optimize.minimize_scalar(
        lambda log: _log_loss(validation, float(np.exp(log))),
        bounds=np.log(_TEMPERATURES),
        method="bounded",
        options={"xatol": 1e-6},
    )
    fitted = float(np.exp(fit.x))
    return max(1.0, fitted) if (validation.predicted != validation.labels).sum() < FEWEST_ERRORS else fitted


def scaled(predictions: Predictions, temperature: float) -> Predictions:
    """Return the predictions with their logits divided by `temperature`, which is positive."""
    return replace(predictions, logits=predictions.logits / np.float32(temperature))


def _log_loss(predictions: Predictions, temperature: float) -> float:
    log_p_NK = log_softmax(predictions.logits.astype(np.float64) / temperature, axis=1)
    return float(-log_p_NK[np.arange(len(predictions)), predictions.labels].mean())


def _gap(p_N: NDArray[np.float64], true_N: NDArray[np.float64]) -> float:
    """Return the mean over bins of |p - true|, weighted by their images."""
    bin_N = _bins(p_N)
    sums = np.bincount(bin_N, p_N - true_N, minlength=BINS)
    return float(np.abs(sums).sum() / len(p_N))


def _bins(share_N: NDArray[np.float64]) -> NDArray[np.int64]:
    """Return the bin of each share: bin b holds (b / BINS, (b + 1) / BINS], the first one 0 as well."""
    return np.clip(np.ceil(share_N * BINS).astype(np.int64) - 1, 0, BINS - 1)
