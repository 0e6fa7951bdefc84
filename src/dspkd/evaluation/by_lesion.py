"""Predictions by lesion: the mean probability of all images of a lesion."""

from __future__ import annotations

import numpy as np
from scipy.special import log_softmax

from dspkd.errors import DataError
from dspkd.evaluation.metrics import Summary, summarise
from dspkd.evaluation.predictions import Predictions


def lesion_summary(predictions: Predictions) -> Summary | None:
    """Return the metrics by lesion; None where a group has images of several classes."""
    try:
        return summarise(by_lesion(predictions))
    except DataError:
        return None


def by_lesion(predictions: Predictions) -> Predictions:
    """Return one prediction for each group: the mean probabilities of its images, as logits.

    Ids and groups become the group's name, in order of first occurrence. Every metric then counts each lesion once,
    however often it was photographed.

    Raises
    ------
    DataError
        Where a group has images of several classes, as a patient may.
    """
    names, first_G, group_N, images_G = np.unique(
        np.array(predictions.groups), return_index=True, return_inverse=True, return_counts=True
    )
    mixed_N = predictions.labels != predictions.labels[first_G][group_N]
    for row in np.flatnonzero(mixed_N)[:1]:
        raise DataError(
            f"group {predictions.groups[row]!r} has images of several classes; "
            "metrics by lesion need groups of one class"
        )
    log_p_NK = log_softmax(predictions.logits.astype(np.float64), axis=1)
    starts_G = np.cumsum(images_G) - images_G
    sums_GK = np.logaddexp.reduceat(log_p_NK[np.argsort(group_N, kind="stable")], starts_G)
    means_GK = sums_GK - np.log(images_G)[:, None]
    order_G = np.argsort(first_G)
    ids = tuple(str(name) for name in names[order_G])
    return Predictions(
        classes=predictions.classes,
        ids=ids,
        groups=ids,
        labels=predictions.labels[first_G[order_G]],
        logits=means_GK[order_G].astype(np.float32),
        folds=None if predictions.folds is None else predictions.folds[first_G[order_G]],
    )
