"""The ISIC 2019 challenge: its metrics and its submission file."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from dspkd.evaluation import isic2019_submission
from dspkd.evaluation.metrics import summarise
from dspkd.evaluation.predictions import Predictions
from dspkd.evaluation.ranking import ranking


@dataclass(frozen=True)
class Challenge:
    """The metrics of the challenge's scorer, not rounded.

    Attributes
    ----------
    balanced_accuracy
        The metric that ranks submissions: mean recall over the classes that have images, a tied maximum is wrong.
    accuracy, sensitivity, specificity, dice, ppv, npv
        Macro means over classes of one class against the rest, where an image is given a class if its probability is
        *above 0.5*, so that an image may be given no class at all. 0/0 counts as 1.
    auc, auc_above_80, average_precision
        Macro means over the classes that have images, over all thresholds. None where no class has any.
    """

    balanced_accuracy: float
    accuracy: float
    sensitivity: float
    specificity: float
    dice: float
    ppv: float
    npv: float
    auc: float | None
    auc_above_80: float | None
    average_precision: float | None


def score(predictions: Predictions) -> Challenge:
    """Compute the challenge's metrics of `predictions`, over their classes.

    A file with a column more, such as the challenge's UNK, adds that column to the scorer's macro means; the balanced
    accuracy stays. The scorer gives no AUC for a class without images, and fails; here it is left out.

    Source: the ISIC challenges' own scoring program, ``isic-challenge-scoring``.
    """
    truth_NK = np.eye(len(predictions.classes), dtype=bool)[predictions.labels]
    given_NK = predictions.probabilities > 0.5
    tp_K, fp_K = (truth_NK & given_NK).sum(axis=0), (~truth_NK & given_NK).sum(axis=0)
    fn_K, tn_K = (truth_NK & ~given_NK).sum(axis=0), (~truth_NK & ~given_NK).sum(axis=0)

    def macro(part_K: np.ndarray, whole_K: np.ndarray) -> float:
        return float(np.where(whole_K > 0, part_K / np.maximum(whole_K, 1), 1.0).mean())

    summary, ranked = summarise(predictions), ranking(predictions)
    above = [row.auc_above_80 for row in ranked if row.auc_above_80 is not None]
    precise = [row.average_precision for row in ranked if row.average_precision is not None]
    return Challenge(
        balanced_accuracy=summary.balanced_accuracy_isic,
        accuracy=macro(tp_K + tn_K, tp_K + tn_K + fp_K + fn_K),
        sensitivity=macro(tp_K, tp_K + fn_K),
        specificity=macro(tn_K, tn_K + fp_K),
        dice=macro(2 * tp_K, 2 * tp_K + fp_K + fn_K),
        ppv=macro(tp_K, tp_K + fp_K),
        npv=macro(tn_K, tn_K + fn_K),
        auc=summary.auc_macro,
        auc_above_80=float(np.mean(above)) if above else None,
        average_precision=float(np.mean(precise)) if precise else None,
    )


def submit(predictions: Predictions, path: Path) -> None:
    """Write a submission file; see `dspkd.evaluation.isic2019_submission.write`."""
    isic2019_submission.write(path, predictions.classes, predictions.ids, predictions.probabilities)
