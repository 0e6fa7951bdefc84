"""Classification metrics of a set of predictions, each with its definition.

The prediction for an image is its largest logit. Per class, one against the rest: TP, FP, FN, TN. Two rules where the
textbooks leave a choice:

- *0/0 counts as 0* for precision, recall, specificity and F1, and is listed in `Summary.undefined`; an AUC without
  both positives and negatives is None.
- *A class without images is left out of every mean*, as scikit-learn's ``balanced_accuracy_score`` does for recall,
  and is listed in `Summary.absent`.
"""

from __future__ import annotations

from dataclasses import dataclass
from statistics import fmean

import numpy as np
from numpy.typing import NDArray
from scipy.stats import rankdata
from sklearn.metrics import precision_recall_fscore_support

from dspkd.data.table import named
from dspkd.evaluation.predictions import Predictions
from dspkd.evaluation.scoring import log_losses

DEFINITIONS: dict[str, str] = {
    "accuracy": "images whose largest logit is the true class / all images",
    "balanced_accuracy": "mean of recall over the classes that have images",
    "balanced_accuracy_isic": "balanced accuracy where an image whose largest logit is tied counts as wrong",
    "precision": "TP / (TP + FP): of the images predicted as this class, the share that has it",
    "recall": "TP / (TP + FN): of the images that have this class, the share predicted as it (sensitivity)",
    "specificity": "TN / (TN + FP): of the images of other classes, the share not predicted as this one",
    "f1": "2 TP / (2 TP + FP + FN): harmonic mean of precision and recall",
    "auc": "probability that an image of this class scores higher for it than one of another class; ties count half; "
    "out of fold, only images of one fold are compared, since one network scored them",
    "log_loss": "mean over the classes that have images of minus the log of the true class's probability, in nats; "
    "0 is perfect, and less is better; not defined where that probability is written as 0",
    "macro": "mean over the classes that have images, each counting the same; a class without images is left out",
    "weighted": "mean over classes, each counting by its number of images",
    "undefined": "0 / 0 counts as 0 and is listed; an AUC without both kinds of image is left out of its mean",
    "tied": "images whose largest logit is shared by several classes; the first of them is taken as the prediction",
}
"""One line per metric, printed beside its number."""


@dataclass(frozen=True)
class ClassScores:
    """One class against the rest; the fields are as in `Summary` and `DEFINITIONS`, all shares in [0, 1]."""

    name: str
    images: int
    groups: int
    precision: float
    recall: float
    specificity: float
    f1: float
    auc: float | None
    tp: int
    fp: int
    fn: int
    tn: int


@dataclass(frozen=True)
class Summary:
    """All metrics of one set of predictions.

    Attributes
    ----------
    images, groups
        Number of images, and of the lesions or patients that they name; 0 without ids.
    accuracy, balanced_accuracy, balanced_accuracy_isic, *_macro, *_weighted
        As in `DEFINITIONS`, in [0, 1]. ``auc_macro`` is None where no class has an AUC.
    log_loss
        Class-balanced log loss, as in `DEFINITIONS`: at least 0, in nats; NaN where it is not defined.
    tied
        Images whose largest logit is shared by several classes.
    per_class
        One against the rest, in class order.
    confusion
        ``[K][K]`` image counts: row the true class, column the predicted class.
    absent
        Classes without images, left out of every mean.
    undefined
        Metrics that are 0/0 and count as 0 or are left out, such as ``"precision of DF"``.
    """

    images: int
    groups: int
    accuracy: float
    balanced_accuracy: float
    balanced_accuracy_isic: float
    precision_macro: float
    recall_macro: float
    specificity_macro: float
    f1_macro: float
    auc_macro: float | None
    log_loss: float
    precision_weighted: float
    recall_weighted: float
    specificity_weighted: float
    f1_weighted: float
    tied: int
    per_class: tuple[ClassScores, ...]
    confusion: tuple[tuple[int, ...], ...]
    absent: tuple[str, ...]
    undefined: tuple[str, ...]


def summarise(predictions: Predictions) -> Summary:
    """Compute all metrics of `predictions`; see `DEFINITIONS` and the rules at the head of this module.

    Source: the ISIC 2019 challenge for balanced accuracy and the rule of ties; scikit-learn's definitions otherwise.
    """
    labels, predicted = predictions.labels, predictions.predicted
    rows = _per_class(predictions)
    images_K = np.array([row.images for row in rows])
    present_K = images_K > 0

    def macro(name: str) -> float:
        return float(np.mean([getattr(row, name) for row in rows if row.images]))

    def weighted(name: str) -> float:
        return float(np.average([getattr(row, name) for row in rows], weights=images_K))

    tied_N = _tied(predictions.logits)
    sure_K = np.bincount(labels[(labels == predicted) & ~tied_N], minlength=len(rows))
    losses_N = log_losses(predictions)
    aucs = [row.auc for row in rows if row.auc is not None]
    return Summary(
        images=len(predictions),
        groups=named(predictions.groups),
        accuracy=float(np.mean(labels == predicted)),
        balanced_accuracy=macro("recall"),
        balanced_accuracy_isic=float(np.mean(sure_K[present_K] / images_K[present_K])),
        precision_macro=macro("precision"),
        recall_macro=macro("recall"),
        specificity_macro=macro("specificity"),
        f1_macro=macro("f1"),
        auc_macro=float(np.mean(aucs)) if aucs else None,
        log_loss=fmean(fmean(losses_N[labels == k]) for k in np.flatnonzero(present_K)),
        precision_weighted=weighted("precision"),
        recall_weighted=weighted("recall"),
        specificity_weighted=weighted("specificity"),
        f1_weighted=weighted("f1"),
        tied=int(tied_N.sum()),
        per_class=rows,
        confusion=tuple(tuple(row) for row in _confusion(predictions).tolist()),
        absent=tuple(row.name for row in rows if not row.images),
        undefined=tuple(f"{metric} of {row.name}" for row in rows for metric in _undefined(row)),
    )


def _per_class(predictions: Predictions) -> tuple[ClassScores, ...]:
    confusion_KK = _confusion(predictions)
    precision_K, recall_K, f1_K, images_K = precision_recall_fscore_support(
        predictions.labels, predictions.predicted, labels=range(len(predictions.classes)), zero_division=0
    )
    scores_NK = predictions.scores
    groups_N = np.array(predictions.groups)
    rows = []
    for k, name in enumerate(predictions.classes):
        mine_N = predictions.labels == k
        tp = int(confusion_KK[k, k])
        fp, fn = int(confusion_KK[:, k].sum()) - tp, int(images_K[k]) - tp
        tn = len(predictions) - tp - fp - fn
        rows.append(
            ClassScores(
                name=name,
                images=int(images_K[k]),
                groups=named(groups_N[mine_N].tolist()),
                precision=float(precision_K[k]),
                recall=float(recall_K[k]),
                specificity=tn / (tn + fp) if tn + fp else 0.0,
                f1=float(f1_K[k]),
                auc=_auc(mine_N, scores_NK[:, k], predictions.folds),
                tp=tp,
                fp=fp,
                fn=fn,
                tn=tn,
            )
        )
    return tuple(rows)


def _auc(mine_N: NDArray[np.bool_], scores_N: NDArray[np.float64], folds_N: NDArray[np.int64] | None) -> float | None:
    """Return the AUROC; over folds, the mean weighted by their numbers of pairs. None where there is no pair.

    It is the share of pairs of an image of the class and another whose scores are in that order, by the sum of ranks.
    """
    aucs, pairs = [], []
    for rows_N in [np.ones_like(mine_N)] if folds_N is None else [folds_N == fold for fold in np.unique(folds_N)]:
        ranks = rankdata(scores_N[rows_N])[mine_N[rows_N]]
        inside = len(ranks)
        if of_others := inside * (int(rows_N.sum()) - inside):
            aucs.append((ranks.sum() - inside * (inside + 1) / 2) / of_others)
            pairs.append(of_others)
    return float(np.average(aucs, weights=pairs)) if aucs else None


def _confusion(predictions: Predictions) -> NDArray[np.int64]:
    """Return ``[K, K]`` counts; scikit-learn's own warns of a single class even where all classes are given."""
    classes = len(predictions.classes)
    cells_N = classes * predictions.labels + predictions.predicted
    return np.bincount(cells_N, minlength=classes**2).reshape(classes, classes)


def _tied(logits_NK: NDArray[np.float32]) -> NDArray[np.bool_]:
    """Return ``[N]`` whether the largest logit of each image occurs more than once."""
    return np.asarray((logits_NK == logits_NK.max(axis=1, keepdims=True)).sum(axis=1) > 1)


def _undefined(row: ClassScores) -> list[str]:
    """Return the metrics of a class that are 0/0."""
    denominators = {
        "precision": row.tp + row.fp,
        "recall": row.tp + row.fn,
        "specificity": row.tn + row.fp,
        "f1": row.tp + row.fp + row.fn,
        "auc": row.images * (row.tn + row.fp),
    }
    return [metric for metric, denominator in denominators.items() if denominator == 0]
