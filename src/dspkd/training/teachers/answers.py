"""A teacher that is a table of answers: logits, and maybe an embedding, for each image."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray

from dspkd.errors import DataError
from dspkd.types import Batch, NetworkSpec, Output


class AnswersTeacher:
    """A teacher whose output for an image does not depend on the view of it.

    Parameters
    ----------
    name
        Its name in messages.
    ids
        N names of the images, in the order of the table.
    logits
        ``[N, K]`` float32; NaN for an image without an answer.
    pooled
        ``[N, D]`` float32, an embedding of each image, which methods may read as its pooled vector; None where there
        is none.
    class_prior
        Class shares that the logits reflect; empty where they are unknown.

    Attributes
    ----------
    spec
        Its shape: no maps, and no pooled vector where there are no embeddings.
    parameters
        0: nothing is computed.
    """

    by_row = True
    parameters = 0

    def __init__(
        self,
        name: str,
        ids: Sequence[str],
        logits: NDArray[np.float32],
        *,
        pooled: NDArray[np.float32] | None = None,
        class_prior: tuple[float, ...] = (),
    ) -> None:
        self.name, self._ids = name, ids
        self._logits_NK = torch.from_numpy(logits)
        self._pooled_ND = torch.from_numpy(np.empty((len(ids), 0), np.float32) if pooled is None else pooled)
        self.spec = NetworkSpec(logits.shape[1], self._pooled_ND.shape[1], {}, class_prior=class_prior)

    def answer(self, batch: Batch) -> Output:
        """Return the answers for the batch's images, whatever their views, on its device.

        Raises
        ------
        DataError
            There is no answer for an image.
        """
        logits_BK = self._logits_NK[batch.index]
        for row in batch.index[~logits_BK.isfinite().all(dim=1)].tolist()[:1]:
            raise DataError(f"{self.name}: no answer for image {self._ids[row]!r}")
        device = batch.images.device
        return Output(logits_BK.to(device), self._pooled_ND[batch.index].to(device))

    def covers(self, rows: NDArray[np.int64]) -> bool:
        """Return whether there is an answer for each of these images."""
        return bool(self._logits_NK[rows].isfinite().all())

    def compiled(self) -> AnswersTeacher:
        """Return itself: nothing is computed."""
        return self

    def digest(self) -> str:
        """Return SHA-256 of all answers, in hex."""
        hashed = hashlib.sha256()
        for values in (self._logits_NK, self._pooled_ND):
            hashed.update(np.ascontiguousarray(values.numpy()).data)
        return hashed.hexdigest()
