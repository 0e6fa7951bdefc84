"""A linear head on embeddings: class probabilities from anyone's features, about images that it was not fitted to."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from dspkd.errors import DataError

FOLDS = 5
"""Folds of lesions (inferred, as for teachers of folds)."""

STRENGTHS = (0.001, 0.01, 0.1, 1.0)
"""Inverse strengths of the L2 penalty that are tried (inferred); the one of least out-of-fold log loss is used."""


@dataclass(frozen=True, eq=False)
class HeadFit:
    """What a head says.

    Attributes
    ----------
    log_p
        ``[N, K]`` float32, log-probabilities of all images.
    strength
        The inverse strength of the penalty that was chosen.
    log_loss, balanced_accuracy
        Out of fold, over the images that it was fitted to.
    """

    log_p: NDArray[np.float32]
    strength: float
    log_loss: float
    balanced_accuracy: float


def fit(
    embeddings: NDArray[np.float32],
    labels: NDArray[np.int64],
    groups: Sequence[str],
    fitted: NDArray[np.int64],
    classes: int,
    progress: Callable[[str, int, int], None] = lambda *_: None,
) -> HeadFit:
    r"""Fit multinomial logistic regressions, one without each fold of the lesions.

    Each image of `fitted` is answered by the head that saw no image of its lesion; any other image by the mean
    probability of all heads. Embeddings are standardised by the mean and deviation of the images that a head is
    fitted to. A class that the other folds lack has the smallest normal float32 as its probability.

    Parameters
    ----------
    embeddings
        ``[N, D]``, finite.
    labels, groups
        N labels, and names of lesions or patients; only those of `fitted` are read.
    fitted
        Rows of the training images.
    classes
        K.
    progress
        Receives how many heads are fitted.

    Raises
    ------
    DataError
        The training images are of one lesion, or one class.

    Notes
    -----
    A head fitted to an image's own label would give that label back: with more numbers in an embedding than images of a
    rare class, a linear head separates what it was fitted to.
    """
    from sklearn.model_selection import StratifiedGroupKFold

    group_M = np.array([groups[row] for row in fitted])
    label_M = labels[fitted]
    folds = min(FOLDS, len(set(group_M.tolist())))
    if folds < 2 or len(set(label_M.tolist())) < 2:
        raise DataError("a linear head needs training images of two lesions and two classes at least")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # a class with fewer lesions than folds is answered for, see above
        splits = list(StratifiedGroupKFold(folds, shuffle=True, random_state=0).split(label_M, label_M, group_M))
    best: HeadFit | None = None
    others = np.setdiff1d(np.arange(len(embeddings)), fitted)
    for s, strength in enumerate(STRENGTHS):
        p_NK = np.zeros((len(embeddings), classes))
        for f, (seen, unseen) in enumerate(splits):
            head = _head(embeddings[fitted[seen]], label_M[seen], strength, classes)
            p_NK[fitted[unseen]] = head(embeddings[fitted[unseen]])
            if len(others):
                p_NK[others] += head(embeddings[others]) / folds
            progress("fitting linear heads", s * folds + f + 1, len(STRENGTHS) * folds)
        log_p_NK = np.log(np.maximum(p_NK, np.finfo(np.float32).tiny))
        loss = float(-log_p_NK[fitted, label_M].mean())
        if best is None or loss < best.log_loss:
            right_M = p_NK[fitted].argmax(axis=1) == label_M
            recalls = [right_M[label_M == label].mean() for label in np.unique(label_M)]
            best = HeadFit(log_p_NK.astype(np.float32), strength, loss, float(np.mean(recalls)))
    assert best, "several strengths are tried"
    return best


def _head(
    seen_MD: NDArray[np.float32], label_M: NDArray[np.int64], strength: float, classes: int
) -> Callable[[NDArray[np.float32]], NDArray[np.float64]]:
    """Return a function from embeddings to probabilities of all classes."""
    from sklearn.linear_model import LogisticRegression

    mean_D, deviation_D = seen_MD.mean(axis=0), seen_MD.std(axis=0) + 1e-6
    if len(set(label_M.tolist())) == 1:
        only_K = np.eye(classes)[label_M[0]]
        return lambda embedding_ND: np.tile(only_K, (len(embedding_ND), 1))
    model = LogisticRegression(C=strength, max_iter=1000)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # one that has not converged is a little more regular
        model.fit((seen_MD - mean_D) / deviation_D, label_M)

    def probabilities(embedding_ND: NDArray[np.float32]) -> NDArray[np.float64]:
        p_NK = np.zeros((len(embedding_ND), classes))
        p_NK[:, model.classes_] = model.predict_proba((embedding_ND - mean_D) / deviation_D)
        return p_NK

    return probabilities
