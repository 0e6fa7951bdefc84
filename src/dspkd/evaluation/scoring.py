"""Scores of several runs on weighted groups of images: what a bootstrap needs, without listing images again.

A weight is how often a lesion was drawn. Every score equals that of the images listed as often as their lesion was.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array
from scipy.special import log_softmax

from dspkd.errors import DataError
from dspkd.evaluation.predictions import Predictions

METRICS = ("auc_macro", "balanced_accuracy", "log_loss", "f1_macro", "accuracy")
"""The scores that are resampled, named as in `Summary`; the first is the one to decide by, unless another is named."""

TITLES = {
    "auc_macro": "macro AUROC",
    "balanced_accuracy": "balanced accuracy",
    "log_loss": "class-balanced log loss",
    "f1_macro": "macro F1",
    "accuracy": "accuracy",
}

LOWER_IS_BETTER = frozenset({"log_loss"})

_FROM_CLASSES = ("balanced_accuracy", "f1_macro", "accuracy")

_AGREE = {
    "classes": "have the same classes in the same order",
    "ids": "were tested on the same images",
    "groups": "name the same lesion or patient for each image, spelled the same",
    "labels": "have the same true class for each image",
    "folds": "were tested on the same images in the same folds",
}
"""What two runs must agree in."""

Score = Callable[[NDArray[np.float32]], NDArray[np.float64]]
"""Weights ``[S, G]`` to scores ``[R, S]``."""


def scorers(runs: Sequence[Predictions], metrics: Sequence[str] = METRICS) -> tuple[int, dict[str, Score]]:
    r"""Return the number of groups G, and for each metric a function from weights ``[S, G]`` to scores ``[R, S]``.

    .. math:: A_c = \frac{\sum_{i: y_i = c} w_i \left( W^-_c(< s_i) + W^-_c(= s_i) / 2 \right)}{W^+_c W^-_c}, \qquad
              L_c = \frac{\sum_{i: y_i = c} w_i (-\log p_{i, c})}{\sum_{i: y_i = c} w_i}

    :math:`W^\pm_c` are weights of the images with and without class c, and :math:`s_i` the probability of c. AUROC and
    log loss are means over the classes that have weight, and for AUROC weight outside of them; NaN where there is none.

    Where several networks predicted, each the images of its fold, AUROC compares images of the same fold only:
    numerator and denominator of :math:`A_c` are sums over folds. It is the mean of the folds' AUROCs, weighted by their
    numbers of pairs. Scores of two networks have no common scale, and comparing them would lower the AUROC for
    differences between networks that no user of one network meets.

    Raises
    ------
    DataError
        Where there is no run, or they are not about the same images.

    Source: DeLong et al., Biometrics 1988, for AUROC as a mean over pairs of images; Forman, Scholz, *Apples-to-apples
    in cross-validation studies*, SIGKDD Explorations 2010, for AUROC within folds.
    """
    require_runs(runs)
    names, group_N = np.unique(np.array(runs[0].groups), return_inverse=True)
    chosen: dict[str, Score] = {}
    if any(metric in _FROM_CLASSES for metric in metrics):
        counts_GX, classes = counts(runs), len(runs[0].classes)
        for metric in _FROM_CLASSES:
            chosen[metric] = lambda times_SG, metric=metric: _of_classes(times_SG @ counts_GX, classes, metric)  # type: ignore[misc]
    if "auc_macro" in metrics:
        rankings = [_rankings(run, group_N, len(names)) for run in runs]

        def aucs(times_SG: NDArray[np.float32]) -> NDArray[np.float64]:
            times_GS = np.ascontiguousarray(times_SG.T)
            return np.stack([_mean([_auc(folds, times_GS) for folds in classes]) for classes in rankings])

        chosen["auc_macro"] = aucs
    if "log_loss" in metrics:
        sums_RGK, images_GK = _losses(runs, group_N, len(names))
        chosen["log_loss"] = lambda times_SG: _log_loss(times_SG.astype(np.float64), sums_RGK, images_GK)
    return len(names), {metric: chosen[metric] for metric in metrics}


class _Ranks:
    """Which images of a class score higher than which others, in one fold: pairs won, as a function of the weights."""

    def __init__(
        self, scores_N: NDArray[np.float64], mine_N: NDArray[np.bool_], group_N: NDArray[np.int64], groups: int
    ) -> None:
        self.turned = 2 * mine_N.sum() > len(mine_N)  # count from the side that has fewer images
        few_N = ~mine_N if self.turned else mine_N
        places_B, place_F = np.unique(scores_N[few_N], return_inverse=True)
        below_Q, up_to_Q = (np.searchsorted(places_B, scores_N[~few_N], side) for side in ("left", "right"))
        others_Q, tied_Q = group_N[~few_N], below_Q < up_to_Q
        self.few_BG = _incidence(place_F, group_N[few_N], (len(places_B), groups))
        # Row b has the others above place b - 1 and not above place b; the last row those above all places.
        self.others_PG = _incidence(below_Q, others_Q, (len(places_B) + 1, groups))
        self.places_T, tie_U = np.unique(below_Q[tied_Q], return_inverse=True)
        self.tied_TG = _incidence(tie_U, others_Q[tied_Q], (len(self.places_T), groups))

    def __call__(self, times_GS: NDArray[np.float32]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Return the pairs won ``[S]``, ties counting half, and all pairs; exact up to 16 million images."""
        few_BS, passed_PS = self.few_BG @ times_GS, np.cumsum(self.others_PG @ times_GS, axis=0)
        pairs_S = few_BS.sum(axis=0, dtype=np.float64) * passed_PS[-1]
        ties_S = (few_BS[self.places_T] * (self.tied_TG @ times_GS)).sum(axis=0, dtype=np.float64)
        won_S = (few_BS * passed_PS[:-1]).sum(axis=0, dtype=np.float64) - ties_S / 2
        return pairs_S - won_S if self.turned else won_S, pairs_S


def _incidence(rows_N: NDArray[np.int64], columns_N: NDArray[np.int64], shape: tuple[int, int]) -> Any:
    """Return the sparse matrix that counts how often each row and column occur together."""
    return csr_array((np.ones(len(rows_N), np.float32), (rows_N, columns_N)), shape=shape)


def _rankings(run: Predictions, group_N: NDArray[np.int64], groups: int) -> list[list[_Ranks]]:
    """Return the rankings of each class that has images, fold by fold."""
    fold_N = np.zeros(len(run), np.int64) if run.folds is None else run.folds
    rows_of_fold = [np.flatnonzero(fold_N == fold) for fold in np.unique(fold_N)]
    scores_NK = run.scores
    return [
        [_Ranks(scores_NK[rows, k], run.labels[rows] == k, group_N[rows], groups) for rows in rows_of_fold]
        for k in np.unique(run.labels)
    ]


def _auc(folds: Sequence[_Ranks], times_GS: NDArray[np.float32]) -> NDArray[np.float64]:
    """Return the AUROC of a class, from the pairs of all folds; NaN where there is none."""
    won_FS, pairs_FS = zip(*(fold(times_GS) for fold in folds), strict=True)
    won_S, pairs_S = np.sum(won_FS, axis=0), np.sum(pairs_FS, axis=0)
    return np.asarray(np.divide(won_S, pairs_S, out=np.full_like(won_S, np.nan), where=pairs_S > 0))


def _mean(scores: Sequence[NDArray[np.float64]]) -> NDArray[np.float64]:
    """Return the mean over classes, without those that are NaN; NaN where all are."""
    scores_KS = np.stack(scores)
    there_KS = ~np.isnan(scores_KS)
    total_S, classes_S = np.where(there_KS, scores_KS, 0).sum(axis=0), there_KS.sum(axis=0)
    mean_S = np.divide(total_S, classes_S, out=np.full_like(total_S, np.nan), where=classes_S > 0)
    return np.asarray(mean_S)


def log_losses(run: Predictions) -> NDArray[np.float64]:
    """Return ``[N]``, minus the log of the probability (nats) of each image's true class; NaN where it is written as 0.

    It may be any number below the last decimal of the file, so that its logarithm is not known.
    """
    losses_N = -log_softmax(run.logits.astype(np.float64), axis=1)[np.arange(len(run)), run.labels]
    return np.asarray(np.where(zero_truths(run), np.nan, losses_N))


def zero_truths(run: Predictions) -> NDArray[np.bool_]:
    """Return ``[N]``, whether the probability of each image's true class is written as 0."""
    if run.written is None:
        return np.zeros(len(run), dtype=np.bool_)
    return np.asarray(run.written[np.arange(len(run)), run.labels] == 0)


def evidence(run: Predictions, metric: str) -> NDArray[np.float64] | None:
    """Return ``[G]``, the weight of each group in a metric that is a share, as all but log loss are.

    In accuracy each image has the same weight; in means over classes, each class, and each image of a class.
    """
    if metric == "log_loss":
        return None
    images_K = np.bincount(run.labels, minlength=len(run.classes))
    _, group_N = np.unique(np.array(run.groups), return_inverse=True)
    weights_N = np.ones(len(run)) if metric == "accuracy" else 1 / (images_K[run.labels] * (images_K > 0).sum())
    return np.bincount(group_N, weights_N).astype(np.float64)


def _losses(
    runs: Sequence[Predictions], group_N: NDArray[np.int64], groups: int
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return log losses added up ``[R, G, K]`` by group and class, and numbers of images ``[G, K]``."""
    classes = len(runs[0].classes)
    cell_N, size = group_N * classes + runs[0].labels, groups * classes
    sums = [np.bincount(cell_N, log_losses(run), minlength=size).reshape(groups, classes) for run in runs]
    return np.stack(sums), np.bincount(cell_N, minlength=size).reshape(groups, classes).astype(np.float64)


def _log_loss(
    times_SG: NDArray[np.float64], sums_RGK: NDArray[np.float64], images_GK: NDArray[np.float64]
) -> NDArray[np.float64]:
    images_SK = times_SG @ images_GK
    losses_RSK = (times_SG @ sums_RGK) / np.maximum(images_SK, 1)
    return np.asarray(losses_RSK.sum(axis=2) / (images_SK > 0).sum(axis=1))


def counts(runs: Sequence[Predictions]) -> NDArray[np.float32]:
    """Return counts ``[G, K + 2RK]`` of each group: images of each class; then, run by run, right and predicted.

    In float32, which holds counts up to 16 million exactly.
    """
    require_runs(runs)
    first, classes = runs[0], len(runs[0].classes)
    names, group_N = np.unique(np.array(first.groups), return_inverse=True)

    def per_group(classes_N: NDArray[np.int64], weights_N: NDArray[np.bool_] | None = None) -> NDArray[np.float32]:
        cells = np.bincount(group_N * classes + classes_N, weights_N, minlength=len(names) * classes)
        return cells.reshape(len(names), classes).astype(np.float32)

    columns = [per_group(first.labels)]
    for run in runs:
        columns += [per_group(run.labels, run.predicted == run.labels), per_group(run.predicted)]
    return np.concatenate(columns, axis=1)


def _of_classes(counts_SX: NDArray[np.float32], classes: int, metric: str) -> NDArray[np.float64]:
    """Return ``[R, S]``: a metric of the predicted classes, from counts laid out as in `counts`."""
    present_S1K, recall_SRK, f1_SRK, accuracy_SR = parts(counts_SX, classes)
    if metric == "accuracy":
        return np.asarray(accuracy_SR.T)
    shares_SRK = recall_SRK if metric == "balanced_accuracy" else f1_SRK
    return np.asarray((shares_SRK.sum(axis=2) / present_S1K.sum(axis=2)).T)


def parts(
    counts_SX: NDArray[np.float32], classes: int
) -> tuple[NDArray[np.bool_], NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """Return which classes are present, their recall and F1, and accuracy, from counts laid out as in `counts`."""
    images_S1K = counts_SX[:, None, :classes].astype(np.float64)
    right_SRK, predicted_SRK = np.moveaxis(counts_SX[:, classes:].reshape(len(counts_SX), -1, 2, classes), 2, 0)
    present_S1K = images_S1K > 0
    recall_SRK = right_SRK / np.maximum(images_S1K, 1)
    f1_SRK = np.where(present_S1K, 2 * right_SRK / np.maximum(predicted_SRK + images_S1K, 1), 0)
    return present_S1K, recall_SRK, f1_SRK, right_SRK.sum(axis=2) / images_S1K.sum(axis=2)


def require_runs(runs: Sequence[Predictions]) -> None:
    """Raise DataError where there is no run, or they are not about the same images."""
    if not runs:
        raise DataError("nothing to resample; give the predictions of at least one run")
    for run in runs[1:]:
        require_same_images(runs[0], run, folds=False)


def require_same_images(first: Predictions, run: Predictions, *, folds: bool = True) -> None:
    """Raise DataError where two runs were not tested on the same images; with `folds`, or not in the same folds."""
    both = first.folds is not None and run.folds is not None
    same = {
        "classes": first.classes == run.classes,
        "ids": first.ids == run.ids,
        "groups": first.groups == run.groups,
        "labels": np.array_equal(first.labels, run.labels),
        "folds": first.folds is run.folds or (both and (not folds or np.array_equal(first.folds, run.folds))),  # type: ignore[arg-type]
    }
    for what, equal in same.items():
        if not equal:
            raise DataError(f"the runs' {what} differ{_example(first, run, what)}; compare runs that {_AGREE[what]}")


def _example(first: Predictions, run: Predictions, what: str) -> str:
    """Return where two runs first differ, for a message; empty where no single place shows it."""

    def values(of: Predictions) -> Sequence[object]:
        return {
            "classes": of.classes,
            "ids": of.ids,
            "groups": of.groups,
            "labels": [of.classes[label] for label in of.labels],
            "folds": () if of.folds is None else of.folds.tolist(),
        }[what]

    pairs = enumerate(zip(values(first), values(run), strict=False))
    row, mine, theirs = next(((row, a, b) for row, (a, b) in pairs if a != b), (-1, "", ""))
    if row < 0:
        return f" ({len(values(first))} and {len(values(run))} of them)"
    return f" ({f'image {first.ids[row]!r}: ' * (what not in ('classes', 'ids'))}{mine!r} and {theirs!r})"
