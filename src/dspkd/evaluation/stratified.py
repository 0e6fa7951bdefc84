"""Recall within cells of images, such as one class of one subgroup, observed and on bootstrap resamples of lesions."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from dspkd.errors import DataError
from dspkd.evaluation.cross_validation import Divisions
from dspkd.evaluation.intervals import Scores, draws
from dspkd.evaluation.predictions import Predictions
from dspkd.evaluation.scoring import require_same_images

FEW = 10
"""Lesions below which no figure of a cell is reported (inferred): a bootstrap of g lesions has (g - 1) / g of the
variance, and with nine or fewer the interval of a share spans more than half of the scale."""


@dataclass(frozen=True, eq=False)
class Strata:
    """Counts of C cells, a cell being any set of images; cells do not overlap.

    Attributes
    ----------
    lesions
        ``[C]``, lesions or patients of each.
    images
        ``[1 + S + D F, C]``, images of each: as they are, then on each of S resamples of the lesions, then without each
        of the folds of `divisions`.
    right
        ``[1 + S + D F, R, C]``, those of them that each of R runs predicts rightly.
    divisions
        D divisions of the lesions into F folds.
    """

    lesions: NDArray[np.int64]
    images: NDArray[np.float32]
    right: NDArray[np.float32]
    divisions: Divisions

    def large_enough(self, cells: Sequence[int]) -> list[int]:
        """Return those of the cells that have at least `FEW` lesions."""
        return [cell for cell in cells if self.lesions[cell] >= FEW]

    def share(self, cells: Sequence[int]) -> Scores:
        """Return the share of right predictions among the images of these cells together."""
        images_S1 = self.images[:, None, cells].sum(axis=2).astype(np.float64)
        return self._scores(self.right[:, :, cells].sum(axis=2) / np.maximum(images_S1, 1))

    def mean(self, cells: Sequence[int]) -> Scores:
        """Return the mean over these cells of the share of right predictions, without cells missing from a resample."""
        images_S1C = self.images[:, None, cells].astype(np.float64)
        share_SRC = self.right[:, :, cells] / np.maximum(images_S1C, 1)
        return self._scores(share_SRC.sum(axis=2) / np.maximum((images_S1C > 0).sum(axis=2), 1))

    def _scores(self, share_SR: NDArray[np.float64]) -> Scores:
        end = len(share_SR) - len(self.divisions.less)
        return Scores(share_SR[0], share_SR[1:end].T, self.divisions.own(share_SR[end:].T))


def cells(
    runs: Sequence[Predictions], cell_N: NDArray[np.int64], number: int, *, resamples: int = 10_000, seed: int = 0
) -> Strata:
    """Count images and right predictions per cell for several runs, on the same resamples as `resample`.

    Parameters
    ----------
    runs
        R predictions of the same N images.
    cell_N
        The cell of each image; -1 for images of none.
    number
        C, the number of cells.
    resamples, seed
        S, and their random seed.

    Raises
    ------
    DataError
        Where there is no run, or they are not about the same images.
    """
    if not runs:
        raise DataError("nothing to resample; give the predictions of at least one run")
    for run in runs[1:]:
        require_same_images(runs[0], run, folds=False)
    names, group_N = np.unique(np.array(runs[0].groups), return_inverse=True)
    groups, in_cell_N = len(names), cell_N >= 0

    def count(rows_N: NDArray[np.bool_]) -> NDArray[np.float32]:
        places = group_N[rows_N] * number + cell_N[rows_N]
        return np.bincount(places, minlength=groups * number).reshape(groups, number).astype(np.float32)

    images_GC = count(in_cell_N)
    right_GX = np.concatenate([count(in_cell_N & (run.predicted == run.labels)) for run in runs], axis=1)
    both_GX = np.concatenate([images_GC, right_GX], axis=1)
    observed_1X = both_GX.sum(axis=0, keepdims=True)
    divisions = Divisions.of(runs)
    weights = [*draws(groups, resamples, seed=seed), divisions.less]
    drawn_SX = np.concatenate([observed_1X, *(times_SG @ both_GX for times_SG in weights)])
    right_SRC = drawn_SX[:, number:].reshape(-1, len(runs), number)
    return Strata((images_GC > 0).sum(axis=0), drawn_SX[:, :number], right_SRC, divisions)


def less(one: Scores, other: Scores) -> Scores:
    """Return the difference of two scores, run by run, resample by resample and fold by fold."""
    return Scores(one.observed - other.observed, one.drawn - other.drawn, one.without - other.without)
