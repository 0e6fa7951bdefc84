"""The variance of scores of out-of-fold predictions: from fold to fold, lesions and networks both differ."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from dspkd.evaluation.predictions import Predictions


def one_fold_less(run: Predictions) -> NDArray[np.float32]:
    """Return the weights ``[F, G]`` of the groups without each of F folds; F is 0 where there are not two of them."""
    names, first_G = np.unique(np.array(run.groups), return_index=True)
    if run.folds is None or len(np.unique(run.folds)) < 2:
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
              e^2 = 2 M \left(\frac{1}{F} + \frac{1}{F - 1}\right)

    with :math:`\theta_a` the score of arm a on all images, mean over its seeds, and :math:`\theta_{a, -f}` that without
    fold f. For one arm, the variance of its :math:`p_{af}` takes the place of 2 M. 1 / F alone would be right for
    independent networks. Those of two folds share most of their training images, so that they say less about other
    training sets than independent ones: 1 / (F - 1), the ratio of test to training images, is added for that.

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
    It is the analysis of Obuchowski and Rockette with folds as readers, each of images of its own, and the correction
    of Nadeau and Bengio, by which a difference has to hold for other training sets of this size. Without it, two
    methods that are equal on average over data sets differ significantly in 10 to 13 % of comparisons with 250 images
    (``benchmarks/trained_fold_verdicts.py``). They derived it for differences of means over test images from fold to
    fold; that it serves pseudo-values and several methods together is inferred.

    Source: Tukey, *Bias and confidence in not-quite large samples*, Annals of Mathematical Statistics 1958, for
    pseudo-values; Obuchowski, Rockette, Communications in Statistics 1995; Nadeau, Bengio, *Inference for the
    Generalization Error*, Machine Learning 2003.
    """
    folds = without_RF.shape[1]
    share = 1 / folds + 1 / (folds - 1)
    pseudo_RF = folds * observed_R[:, None] - (folds - 1) * without_RF
    several = [np.asarray(rows) for rows in pool] if pool and len(arms) == 2 else arms
    mean_AF = np.stack([pseudo_RF[rows].mean(axis=0) for rows in several])
    if len(several) == 1:
        return float(np.var(mean_AF, ddof=1)) * share, folds - 1
    rest_AF = mean_AF - mean_AF.mean(axis=0) - mean_AF.mean(axis=1, keepdims=True) + mean_AF.mean()
    freedom = (len(several) - 1) * (folds - 1)
    return 2 * float((rest_AF**2).sum()) / freedom * share, freedom
