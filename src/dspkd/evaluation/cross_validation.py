"""The variance of scores of out-of-fold predictions: from fold to fold, lesions and networks both differ."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import NDArray

from dspkd.errors import DataError
from dspkd.evaluation.predictions import Predictions
from dspkd.evaluation.scoring import require_runs


@dataclass(frozen=True, eq=False)
class Divisions:
    """How the G groups of images are divided into F folds, for R runs: those of a repetition in another way.

    Attributes
    ----------
    of_run
        ``[R]``, which of D divisions a run has.
    less
        ``[D F, G]``, the weights of the groups without each fold of each division; F is 0 where there are not two.
    """

    of_run: NDArray[np.int64]
    less: NDArray[np.float32]

    @classmethod
    def of(cls, runs: Sequence[Predictions]) -> Self:
        """Return the divisions of runs of the same images; DataError where they have other numbers of folds."""
        names, first_G = np.unique(np.array(runs[0].groups), return_index=True)
        fold_RG = np.stack(
            [np.zeros(len(names), np.int64) if r.folds is None else _numbered(r.folds[first_G]) for r in runs]
        )
        numbers = fold_RG.max(axis=1) + 1
        if odd := [int(number) for number in numbers if number != numbers[0]]:
            raise DataError(f"the runs have {numbers[0]} and {odd[0]} folds; compare runs with as many")
        fold_DG, of_run = np.unique(fold_RG, axis=0, return_inverse=True)
        folds = np.arange(numbers[0] if numbers[0] > 1 else 0)
        less_DFG = fold_DG[:, None, :] != folds[:, None]
        return cls(of_run.reshape(-1), less_DFG.reshape(-1, len(names)).astype(np.float32))

    def own(self, scores_RX: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return ``[R, D, F]``, of scores on the groups of `less`; NaN for divisions that are not those of the run."""
        number = int(self.of_run.max()) + 1
        scores_RDF = scores_RX.reshape(len(self.of_run), number, -1)
        mine_RD = self.of_run[:, None] == np.arange(number)
        return np.where(mine_RD[:, :, None], scores_RDF, np.nan)


def _numbered(folds_G: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return the folds, numbered in the order of their first group: what they are called does not count."""
    _, first, fold_G = np.unique(folds_G, return_index=True, return_inverse=True)
    return np.asarray(np.argsort(np.argsort(first))[fold_G])


def require_equal_divisions(arms: Mapping[str, Sequence[Predictions]]) -> None:
    """Raise DataError unless all runs are of the same images, and each arm has as many of each division into folds."""
    every = [run for runs in arms.values() for run in runs]
    require_runs(every)
    of_run = Divisions.of(every).of_run
    ends = np.cumsum([len(runs) for runs in arms.values()])
    for name, end in zip(arms, ends, strict=True):
        counts = np.bincount(of_run[end - len(arms[name]) : end], minlength=of_run.max() + 1)
        if len(set(counts.tolist())) > 1:
            raise DataError(
                f"{name}: the images are divided into folds in {len(counts)} ways, of which it has "
                f"{', '.join(map(str, counts))} runs; give each method as many runs of each"
            )


def variance(
    observed_R: NDArray[np.float64],
    without_RDF: NDArray[np.float64],
    arms: Sequence[NDArray[np.int64]],
    pool: Sequence[Sequence[int]] = (),
) -> tuple[float, float]:
    r"""Return the variance of the mean score of an arm, or of the difference of two, and its degrees of freedom.

    .. math:: p_{adf} = F \theta_{ad} - (F - 1) \theta_{ad, -f}, \qquad
              M = \frac{\sum_{aj} (p_{aj} - p_{a \cdot} - p_{\cdot j} + p_{\cdot \cdot})^2}{(A - 1)(J - 1)}, \qquad
              e^2 = 2 M \left(\frac{1}{F} + \frac{1}{F - 1}\right)

    with :math:`\theta_{ad}` the score on all images of arm a with division d into folds, mean over its seeds,
    :math:`\theta_{ad, -f}` that without fold f, and j one of the J = D F folds of all divisions. For one arm, the
    variance of its :math:`p_{aj}` takes the place of 2 M. 1 / J alone would be right for independent networks. Those of
    two folds share most of their training images, so that they say less about other training sets than independent
    ones: 1 / (F - 1), the ratio of test to training images, is added for that. Other divisions are of the same images:
    they make the variance better known, by J - 1 degrees of freedom, and are not taken to make it less.

    Parameters
    ----------
    observed_R, without_RDF
        Scores of R runs on all images, and on the images without each of the F folds of each of D divisions; NaN for
        divisions that a run does not have. Divisions of which an arm has no run are left out.
    arms
        Rows of the runs of one arm, or of the two that are compared; as many of each division.
    pool
        Rows of the runs of all arms, whose mean square M is taken; by default the two arms'.

    Notes
    -----
    It is the analysis of Obuchowski and Rockette with folds as readers, each of images of its own, and the correction
    of Nadeau and Bengio, by which a difference has to hold for other training sets of this size. Without it, two
    methods that are equal on average over data sets differ significantly in 10 to 13 % of comparisons with 250 images
    (``benchmarks/trained_fold_verdicts.py``). They derived it for differences of means over test images from fold to
    fold; that it serves pseudo-values and several methods together is inferred. For D divisions Bouckaert and Frank
    have 1 / J in place of 1 / F, with which 6 to 9 % of equal methods differ significantly where 1 / F has 3 to 5 %
    (the same benchmark, ``--repeats``); 1 / F is inferred from that.

    Source: Tukey, *Bias and confidence in not-quite large samples*, Annals of Mathematical Statistics 1958, for
    pseudo-values; Obuchowski, Rockette, Communications in Statistics 1995; Nadeau, Bengio, *Inference for the
    Generalization Error*, Machine Learning 2003; Bouckaert, Frank, *Evaluating the Replicability of Significance Tests
    for Comparing Learning Algorithms*, PAKDD 2004.
    """
    folds = without_RDF.shape[2]
    pseudo_RDF = folds * observed_R[:, None, None] - (folds - 1) * without_RDF
    several = [np.asarray(rows) for rows in pool] if pool and len(arms) == 2 else arms
    had_AD = np.stack([~np.isnan(pseudo_RDF[rows, :, 0]).all(axis=0) for rows in several])
    pseudo_RDF = pseudo_RDF[:, had_AD.all(axis=0)]
    if not pseudo_RDF.size:  # the images do not define the metric
        return np.nan, np.inf
    mean_AJ = np.stack([np.nanmean(pseudo_RDF[rows], axis=0).ravel() for rows in several])
    cells = mean_AJ.shape[1]
    share = 1 / folds + 1 / (folds - 1)
    if len(several) == 1:
        return float(np.var(mean_AJ, ddof=1)) * share, cells - 1
    rest_AJ = mean_AJ - mean_AJ.mean(axis=0) - mean_AJ.mean(axis=1, keepdims=True) + mean_AJ.mean()
    freedom = (len(several) - 1) * (cells - 1)
    return 2 * float((rest_AJ**2).sum()) / freedom * share, freedom
