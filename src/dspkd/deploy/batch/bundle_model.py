"""A bundle as a classifier of batches; needs no torch."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from dspkd.deploy.bundle import preprocess
from dspkd.deploy.bundle.predictor import Predictor
from dspkd.deploy.bundle.preprocess import Pixels
from dspkd.deploy.bundle.spec import Preprocessing
from dspkd.errors import DataError

_BATCH = 32
"""Images in a batch for ONNX Runtime. Inferred."""


class BundleClassifier:
    """A bundle as a `dspkd.deploy.batch.engines.BatchClassifier`; probabilities are calibrated by its temperature.

    Parameters
    ----------
    bundle, precision, threads
        See `Predictor`, also for the errors.
    """

    def __init__(self, bundle: Path, precision: str | None = None, threads: int = 1) -> None:
        self._predictor = Predictor(bundle, precision, threads)
        self.classes = tuple(each.id for each in self._predictor.classes)
        self.key = f"{self._predictor.bundle.digest} {self._predictor.precision}"
        self.rule = self._predictor.rule
        self.batch_size = _BATCH
        self.on_gpu = False
        self.preprocess = partial(_pixels, steps=self._predictor.bundle.spec.preprocessing)

    def answer(self, pixels: NDArray[np.float32]) -> NDArray[np.float64]:
        """Return ``[N, K]`` probabilities of images ``[N, 3, S, S]``; NaN for one whose logits are not finite."""
        try:
            return self._predictor.probabilities(pixels)
        except DataError:
            if len(pixels) == 1:
                return np.full((1, len(self.classes)), np.nan)
            return np.concatenate([self.answer(image[None]) for image in pixels])


def _pixels(path: Path, *, steps: Preprocessing) -> Pixels:
    return preprocess.of_photograph(path, steps)[0]
