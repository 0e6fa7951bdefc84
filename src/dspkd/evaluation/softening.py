"""Confidence and entropy of softened teacher outputs, and the temperature for a target confidence."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import optimize
from scipy.special import log_softmax

_TEMPERATURES = (0.05, 50.0)


def softened(logits_NK: NDArray[np.float32], temperature: float, *, spread: bool = False) -> NDArray[np.float64]:
    r"""Return ``[N, K]`` probabilities :math:`\mathrm{softmax}(z / T)`, or with `spread` those of NormKD.

    NormKD divides by :math:`T_{norm}\,\mathrm{std}(z)`, the standard deviation over classes (K - 1) of each image, no
    less than 1e-6; logit standardisation at the same temperature gives the same probabilities.

    Source: Hinton et al., 2015; Chi et al., *NormKD*, 2023.
    """
    z_NK = logits_NK.astype(np.float64)
    if spread:
        z_NK = z_NK / np.maximum(z_NK.std(axis=1, ddof=1, keepdims=True), 1e-6)
    return np.asarray(np.exp(log_softmax(z_NK / temperature, axis=1)))


def confidence(p_NK: NDArray[np.float64]) -> float:
    """Return the mean over images of the largest probability."""
    return float(p_NK.max(axis=1).mean())


def entropy(p_NK: NDArray[np.float64]) -> float:
    """Return the mean entropy over images as a share of log K: 0 for one-hot outputs, 1 for uniform ones."""
    terms = np.where(p_NK > 0, -p_NK * np.log(np.maximum(p_NK, 1e-300)), 0.0)
    return float(terms.sum(axis=1).mean() / np.log(p_NK.shape[1]))


def temperature_for(logits_NK: NDArray[np.float32], target: float, *, spread: bool = False) -> float | None:
    """Return the temperature at which the mean confidence is `target`; None if none between 0.05 and 50 gives it.

    Confidence falls as the temperature rises, so there is at most one.
    """

    def excess(log: float) -> float:
        return confidence(softened(logits_NK, float(np.exp(log)), spread=spread)) - target

    low, high = np.log(_TEMPERATURES)
    if excess(low) < 0 or excess(high) > 0:
        return None
    return float(np.exp(optimize.brentq(excess, low, high, xtol=1e-6)))
