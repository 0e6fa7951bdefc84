"""The variance of scores of out-of-fold predictions: from fold to fold, lesions and networks both differ."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from dspkd.evaluation.predictions import Predictions


def one_fold_less(run: Predictions) -> NDArray[np.float32]:
    """Return the weights ``[F, G]`` of the groups without each of F folds; F is 0 where there are no folds."""
    names, first_G = np.unique(np.array(run.groups), return_index=True)
    if run.folds is None:
        return np.empty((0, len(names)), np.float32)
    return np.asarray(np.unique(run.folds)[:, None] != run.folds[first_G], dtype=np.float32)


def variance(
    observed_R: NDArray[np.float64],
    without_RF: NDArray[np.float64],
    arms: Sequence[NDArray[np.int64]],
    pool: Sequence[Sequence[int]] = (),
) -> tuple[float, float]:
    r"""Return the variance of the mean score of an arm, or of the difference of two, and its degrees of freedom.

    .. math:: p_{af} = F \theta_a - (F - 1) \theta_{a, -f}, \qquad
              M = \frac{\sum_{af} (p_{af} - p_{a \cdot} - p_{\cdot f} + p_{\cdot \cdot})^2}{(A - 1)(F - 1)}, \qquad
              e^2 = 2 M / F

    with :math:`\theta_a` the score of arm a on all images, mean over its seeds, and :math:`\theta_{a, -f}` that without
    fold f. For one arm, :math:`e^2` is the variance of its :math:`p_{af}`, divided by F.

    Parameters
    ----------
    observed_R, without_RF
        Scores of R runs on all images, and on the images without each of F folds.
    arms
        Rows of the runs of one arm, or of the two that are compared.
    pool
        Rows of the runs of all arms, whose mean square M is taken; by default the two arms'.

    Notes
    -----
    It is the analysis of Obuchowski and Rockette with folds as readers, each of images of its own. The folds' networks
    are taken as independent (inferred: their training sets overlap). Variation over training sets, and over initial
    weights, which folds of one seed share, is not part of it.

    Source: Tukey, *Bias and confidence in not-quite large samples*, Annals of Mathematical Statistics 1958, for
    pseudo-values; Obuchowski, Rockette, Communications in Statistics 1995.
    """
    folds = without_RF.shape[1]
    pseudo_RF = folds * observed_R[:, None] - (folds - 1) * without_RF
    several = [np.asarray(rows) for rows in pool] if pool and len(arms) == 2 else arms
    mean_AF = np.stack([pseudo_RF[rows].mean(axis=0) for rows in several])
    if len(several) == 1:
        return float(np.var(mean_AF, ddof=1)) / folds, folds - 1
    rest_AF = mean_AF - mean_AF.mean(axis=0) - mean_AF.mean(axis=1, keepdims=True) + mean_AF.mean()
    freedom = (len(several) - 1) * (folds - 1)
    return 2 * float((rest_AF**2).sum()) / freedom / folds, freedom
