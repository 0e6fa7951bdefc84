"""The images for making and evaluating a bundle, with the bundle's own preprocessing."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from dspkd.data.table import Table
from dspkd.deploy.bundle import preprocess
from dspkd.deploy.bundle.network import one_by_one, session
from dspkd.deploy.bundle.spec import Preprocessing
from dspkd.deploy.export.quantise import batches
from dspkd.evaluation.predictions import Predictions
from dspkd.runtime.seeds import seed_for


@dataclass(frozen=True, eq=False)
class ImageSet:
    """A table, and its preprocessed images in 8 bits: ``[N, 3, S, S]``, before the division by 255."""

    table: Table
    images: NDArray[np.uint8]

    def predict(self, model: bytes) -> Predictions:
        """Return the predictions of an ONNX file for these images, as a reader of the bundle computes them."""
        runtime, classes = session(model), len(self.table.classes)
        return self.predictions([one_by_one(runtime, batch, classes) for batch in batches(self.images)])

    def predictions(self, logits: list[NDArray[np.float32]]) -> Predictions:
        """Return the logits of all batches as predictions for these images."""
        table = self.table
        return Predictions(table.classes, table.ids, table.groups, table.labels, np.concatenate(logits))


def read(table: Table, steps: Preprocessing) -> ImageSet:
    """Decode and preprocess the images of a table.

    Raises
    ------
    DataError
        An image cannot be read.
    """
    images = np.empty((len(table), 3, steps.size, steps.size), np.uint8)
    for row, path in enumerate(table.paths):
        image = preprocess.apply(preprocess.decode(path), steps)
        images[row] = np.rint(image * 255)  # exact: k / 255 * 255 is within rounding of k
    return ImageSet(table, images)


def sample(table: Table, count: int) -> Table:
    """Draw up to `count` images of a table, as evenly over its classes as their numbers allow; deterministic."""
    rng = np.random.default_rng(seed_for(0, "calibration"))
    order_N = rng.permutation(len(table))
    rank_N = np.empty(len(table), np.int64)
    for number in range(len(table.classes)):
        mine = order_N[table.labels[order_N] == number]
        rank_N[mine] = np.arange(len(mine))
    kept = order_N[np.argsort(rank_N[order_N], kind="stable")][:count]
    return table.take(np.sort(kept))
