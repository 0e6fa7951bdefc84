"""Is this image of a class that the network never saw? Scores that rise with strangeness."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import logsumexp
from sklearn.metrics import roc_auc_score

from dspkd.evaluate.predictions import Predictions


@dataclass(frozen=True)
class Separation:
    """How well a score tells unknown images from known ones.

    Attributes
    ----------
    auc
        Chance that an unknown image is stranger than a known one, ties half.
    false_alarms
        Share of known images that are taken for unknown where 95 % of the unknown ones are.
    """

    auc: float
    false_alarms: float


def energy(predictions: Predictions, *, temperature: float = 1.0) -> NDArray[np.float64]:
    r"""Return ``[N]`` free energies :math:`-T \log \sum_k e^{z_k / T}` of the logits z; the larger, the stranger.

    Source: Liu et al., *Energy-based Out-of-distribution Detection*, NeurIPS 2020; T = 1 as there.
    """
    logits_NK = predictions.logits.astype(np.float64)
    return np.asarray(-temperature * logsumexp(logits_NK / temperature, axis=1))


def max_logit(predictions: Predictions) -> NDArray[np.float64]:
    """Return ``[N]`` largest logits with the sign changed; the larger, the stranger.

    Source: Hendrycks et al., *Scaling Out-of-Distribution Detection for Real-World Settings*, ICML 2022.
    """
    return np.asarray(-predictions.logits.max(axis=1).astype(np.float64))


def separation(known: NDArray[np.float64], unknown: NDArray[np.float64]) -> Separation:
    """Return how well scores, larger for stranger images, tell unknown images from known ones; at least one of each."""
    strange = np.repeat([False, True], [len(known), len(unknown)])
    needed = np.sort(unknown)[int(np.floor(0.05 * len(unknown) + 1e-9))]
    return Separation(
        auc=float(roc_auc_score(strange, np.concatenate([known, unknown]))),
        false_alarms=float(np.mean(known >= needed)),
    )
