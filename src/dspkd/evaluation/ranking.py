"""Threshold-free metrics of each class against the rest. The AUC itself is in `metrics`."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from sklearn.metrics import auc, average_precision_score, roc_curve

from dspkd.evaluation.predictions import Predictions

SENSITIVITY = 0.8
"""Lower end of the partial AUC; that of the ISIC challenge."""

SPECIFICITY = 0.9
"""Specificity at which sensitivity is reported (inferred: no publication prescribes it)."""

DEFINITIONS: dict[str, str] = {
    "average_precision": "mean precision over the images of the class, as the threshold falls",
    "auc_above_80": "area under the part of the ROC curve above sensitivity 0.8, not rescaled: 1 is perfect, 0.18 is "
    "guessing",
    "sensitivity_at_90": "the largest sensitivity at a specificity of at least 0.9",
}
"""One line per metric, printed beside its number."""


@dataclass(frozen=True)
class Ranking:
    """One class against the rest; the fields are as in `DEFINITIONS`, None without images of both kinds."""

    name: str
    average_precision: float | None
    auc_above_80: float | None
    sensitivity_at_90: float | None


def ranking(predictions: Predictions) -> tuple[Ranking, ...]:
    """Compute, in class order, how well the probability of each class separates its images from the others.

    Source: the ISIC challenge's scoring for the partial AUC; scikit-learn's definition of average precision.
    """
    return tuple(_of_class(predictions, number) for number in range(len(predictions.classes)))


def _of_class(predictions: Predictions, number: int) -> Ranking:
    name, mine_N = predictions.classes[number], predictions.labels == number
    if mine_N.all() or not mine_N.any():
        return Ranking(name, None, None, None)
    p_N = predictions.scores[:, number]
    wrong, right, _ = roc_curve(mine_N, p_N, drop_intermediate=False)
    above = int(np.searchsorted(right, SENSITIVITY))
    # Interpolate where the curve crosses the threshold, in a step or along a slope of tied images.
    part = (SENSITIVITY - right[above - 1]) / (right[above] - right[above - 1])
    crossing = wrong[above - 1] + part * (wrong[above] - wrong[above - 1])
    return Ranking(
        name=name,
        average_precision=float(average_precision_score(mine_N, p_N)),
        auc_above_80=float(auc([crossing, *wrong[above:]], [SENSITIVITY, *right[above:]])),
        sensitivity_at_90=float(right[wrong <= 1 - SPECIFICITY + 1e-12].max()),  # 1 - 0.9 is not 0.1 in binary
    )
