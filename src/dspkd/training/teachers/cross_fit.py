"""Fold teachers: each answers only about the lesions that it was trained without."""

from __future__ import annotations

import copy
import hashlib
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import torch
from numpy.typing import NDArray

from dspkd.errors import DataError
from dspkd.training.teachers.ensemble import EnsembleTeacher, mean_prior
from dspkd.training.teachers.frozen import FrozenTeacher
from dspkd.types import Batch, Output


class CrossFitTeacher:
    """Logits from the fold teacher that never saw an image's lesion; maps and pooled vectors of one other teacher.

    Parameters
    ----------
    folds
        The teacher of each fold, trained without its images.
    fold_N
        ``[N]`` int64, for each row of the table the fold that it is in; -1 for an image outside the folds.
    whole
        The teacher of all images. Its maps and pooled vectors are used, and its shape is this teacher's: the features
        of networks that were trained apart have no common axes, so that one student cannot imitate them all.

    Notes
    -----
    Its class prior is the mean of the fold teachers' (inferred). A batch costs one forward pass of the fold teachers,
    divided among them, and one of `whole`, see `without_features`.

    Source: Dao et al., *Knowledge Distillation as Semiparametric Inference*, ICLR 2021, without its loss correction.
    """

    def __init__(
        self,
        folds: Sequence[FrozenTeacher | EnsembleTeacher],
        fold_N: NDArray[np.int64],
        whole: FrozenTeacher | EnsembleTeacher,
    ) -> None:
        self.folds, self.whole, self._fold_N = tuple(folds), whole, fold_N
        self.spec = replace(whole.spec, class_prior=mean_prior([fold.spec for fold in self.folds]))
        self.name = f"{whole.name} in {len(self.folds)} folds"
        self._features = True

    @property
    def parameters(self) -> int:
        """Return the number of weights of all fold teachers together."""
        return sum(fold.parameters for fold in self.folds)

    def answer(self, batch: Batch) -> Output:
        """Return the output for these images, without a gradient.

        Raises
        ------
        DataError
            An image is outside the folds.
        """
        fold_B = self._fold_N[batch.index.numpy()]
        if (fold_B < 0).any():
            raise DataError("teacher.cross_fit: fold teachers answer only about training images")
        logits_BK = batch.images.new_empty(len(batch), self.spec.classes, dtype=torch.float32)
        for fold in np.unique(fold_B).tolist():
            places = torch.from_numpy(np.flatnonzero(fold_B == fold))
            logits_BK[places] = self.folds[fold].answer(batch.take(places)).logits.float()
        if not self._features:
            return Output(logits_BK, batch.images.new_empty(len(batch), 0))
        return replace(self.whole.answer(batch), logits=logits_BK)

    def without_features(self) -> CrossFitTeacher:
        """Return the same teacher without maps and pooled vectors, which saves the pass of `whole`."""
        teacher = copy.copy(self)
        teacher._features = False
        return teacher

    def averaging(self, views: int) -> CrossFitTeacher:
        """Return the same teacher with so many views of each image."""
        return self._with([fold.averaging(views) for fold in self.folds], self.whole.averaging(views))

    def compiled(self) -> CrossFitTeacher:
        """Return the same teacher with its networks compiled."""
        return self._with([fold.compiled() for fold in self.folds], self.whole.compiled())

    def digest(self) -> str:
        """Return SHA-256 over the weights of all teachers and the fold of each image, in hex."""
        hashed = hashlib.sha256("".join(each.digest() for each in (*self.folds, self.whole)).encode())
        hashed.update(self._fold_N.tobytes())
        return hashed.hexdigest()

    def _with(
        self, folds: Sequence[FrozenTeacher | EnsembleTeacher], whole: FrozenTeacher | EnsembleTeacher
    ) -> CrossFitTeacher:
        teacher = copy.copy(self)
        teacher.folds, teacher.whole = tuple(folds), whole
        return teacher
