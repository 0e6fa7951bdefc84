"""Out-of-distribution detection: scores of images of unknown classes, and how well they separate them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import logsumexp, softmax

from dspkd.evaluation.intervals import draws
from dspkd.evaluation.shares import CONFIDENCE, wilson

SHARE = 0.95
"""True positive rate at which false positives are counted, as in the literature."""

DEFINITIONS: dict[str, str] = {
    "auc": "probability that an unknown image scores higher than a known one; ties count half",
    "average_precision": "mean precision over the unknown images, as the threshold falls; guessing gives the share of "
    "unknown images",
    "false_alarms": "share of the known images called unknown at the threshold that finds 95 % of the unknown ones: "
    "FPR at 95 % TPR with unknown as the positive class",
    "let_through": "share of the unknown images called known at the threshold that keeps 95 % of the known ones: "
    "FPR at 95 % TPR with known as the positive class",
}
"""One line per field of `Separation`, printed beside its number. Publications give either FPR and often do not state
which."""


@dataclass(frozen=True)
class IntervalEstimate:
    """A number and its interval over lesions."""

    value: float
    low: float
    high: float


@dataclass(frozen=True)
class Separation:
    """How well a score separates unknown images from known ones; the fields are as in `DEFINITIONS`."""

    auc: IntervalEstimate
    average_precision: IntervalEstimate
    false_alarms: IntervalEstimate
    let_through: IntervalEstimate


def energy(logits_NK: NDArray[np.float32], *, temperature: float = 1.0) -> NDArray[np.float64]:
    r"""Return ``[N]`` free energies :math:`-T \log \sum_k e^{z_k / T}` of the logits z: more for unknown images.

    Source: Liu et al., *Energy-based Out-of-distribution Detection*, NeurIPS 2020; T = 1 as there.
    """
    return np.asarray(-temperature * logsumexp(logits_NK.astype(np.float64) / temperature, axis=1))


def max_logit(logits_NK: NDArray[np.float32]) -> NDArray[np.float64]:
    """Return ``[N]`` negated largest logits: more for unknown images.

    Source: Hendrycks et al., *Scaling Out-of-Distribution Detection for Real-World Settings*, ICML 2022.
    """
    return np.asarray(-logits_NK.max(axis=1).astype(np.float64))


def max_probability(logits_NK: NDArray[np.float32]) -> NDArray[np.float64]:
    """Return ``[N]`` negated largest probabilities: more for unknown images.

    Source: Hendrycks, Gimpel, *A Baseline for Detecting Misclassified and Out-of-Distribution Examples*, ICLR 2017.
    """
    return np.asarray(-softmax(logits_NK.astype(np.float64), axis=1).max(axis=1))


SCORES: dict[str, Callable[[NDArray[np.float32]], NDArray[np.float64]]] = {
    "energy": energy,
    "max logit": max_logit,
    "max probability": max_probability,
}
"""The scores that are compared."""


def separation(
    known: NDArray[np.float64],
    unknown: NDArray[np.float64],
    groups: tuple[Sequence[str], Sequence[str]],
    *,
    resamples: int = 2_000,
    seed: int = 0,
) -> Separation:
    """Compute how well scores, larger for unknown images, separate unknown images from known ones, with 95 % intervals.

    Bootstrap over lesions or patients, all images of one together, in two strata: those that have an unknown image,
    and the others; so every resample has unknown images. Where a number is 0 or 1, a bootstrap has no width: the
    interval then has the ends of Wilson's, of the kind of images with fewer lesions (inferred).

    Parameters
    ----------
    known, unknown
        ``[N]`` and ``[M]`` scores, at least one of each.
    groups
        The lesion or patient of each known and of each unknown image; one may have both.
    resamples, seed
        Number of bootstrap resamples, and their random seed.
    """
    is_unknown_N = np.repeat([False, True], [len(known), len(unknown)])
    score_N = np.concatenate([known, unknown])
    names, group_N = np.unique(np.array([*groups[0], *groups[1]]), return_inverse=True)
    mixed_G = np.bincount(group_N, is_unknown_N, minlength=len(names)) > 0
    times_SG = np.zeros((resamples, len(names)), dtype=np.float32)
    for n, part in enumerate((np.flatnonzero(mixed_G), np.flatnonzero(~mixed_G))):
        if len(part):
            times_SG[:, part] = np.concatenate(list(draws(len(part), resamples, seed=seed + n)))
    observed_M = _separations(score_N, is_unknown_N, np.ones((1, len(score_N))))[:, 0]
    chunk = max(1, (1 << 22) // len(score_N))
    drawn_MS = np.concatenate(
        [_separations(score_N, is_unknown_N, times_SG[n : n + chunk, group_N]) for n in range(0, resamples, chunk)],
        axis=1,
    )
    ends = np.nanquantile(drawn_MS, [(1 - CONFIDENCE) / 2, (1 + CONFIDENCE) / 2], axis=1).T
    fewer = min((np.unique(each, return_counts=True)[1] for each in groups), key=len)
    for n, value in enumerate(observed_M):
        if value in (0, 1):
            low, high = wilson(value * fewer.sum(), fewer)
            ends[n] = min(low, ends[n, 0]), max(high, ends[n, 1])
    return Separation(
        *(
            IntervalEstimate(float(value), float(low), float(high))
            for value, (low, high) in zip(observed_M, ends, strict=True)
        )
    )


def _separations(
    score_N: NDArray[np.float64], is_unknown_N: NDArray[np.bool_], times_SN: NDArray[Any]
) -> NDArray[np.float64]:
    """Return ``[4, S]``, the fields of `Separation` on resamples given as counts of images; NaN without both kinds."""
    order_N = np.argsort(-score_N, kind="stable")
    first_U = np.flatnonzero(np.append(True, np.diff(score_N[order_N]) < 0))
    sorted_SN = times_SN[:, order_N].astype(np.float64)
    found_SU, alarms_SU = (
        np.cumsum(np.add.reduceat(sorted_SN * kind_N, first_U, axis=1), axis=1)
        for kind_N in (is_unknown_N[order_N], ~is_unknown_N[order_N])
    )
    unknown_S1, known_S1 = found_SU[:, -1:], alarms_SU[:, -1:]
    with np.errstate(invalid="ignore"):
        tpr_SU, fpr_SU = found_SU / unknown_S1, alarms_SU / known_S1
        precision_SU = found_SU / np.maximum(found_SU + alarms_SU, 1)
    steps_SU = np.diff(tpr_SU, axis=1, prepend=0)
    area_S = np.sum(np.diff(fpr_SU, axis=1, prepend=0) * (tpr_SU - steps_SU / 2), axis=1)
    rows = np.arange(len(times_SN))
    needed_S = np.argmax(tpr_SU >= SHARE - 1e-9, axis=1)
    # Images that score below the threshold are kept. The lowest threshold that keeps enough known images is the last
    # row with few enough false alarms; unknown images found there are not let through. Row 0 stands for no threshold.
    kept_S = np.sum(fpr_SU <= 1 - SHARE + 1e-9, axis=1)
    through_S = 1 - np.concatenate([np.zeros((len(rows), 1)), tpr_SU], axis=1)[rows, kept_S]
    values = np.stack([area_S, np.sum(steps_SU * precision_SU, axis=1), fpr_SU[rows, needed_S], through_S])
    values[:, ((unknown_S1 == 0) | (known_S1 == 0))[:, 0]] = np.nan
    return values
