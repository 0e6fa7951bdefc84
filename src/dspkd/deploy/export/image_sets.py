"""The images by which a bundle is made and judged, through the bundle's own preprocessing."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from dspkd.data.table import Table
from dspkd.deploy.bundle import preprocess
from dspkd.deploy.bundle.predictor import INPUT, OUTPUT, session
from dspkd.deploy.bundle.spec import Preprocessing
from dspkd.deploy.export.quantise import batches
from dspkd.evaluation.predictions import Predictions
from dspkd.runtime.seeds import seed_for


@dataclass(frozen=True, eq=False)
class ImageSet:
    """Images with labels, and their images in 8 bits: ``[N, 3, S, S]``, before the division by 255."""

    table: Table
    images: NDArray[np.uint8]

    def ask(self, model: bytes) -> Predictions:
        """Return what an ONNX file answers about these images."""
        answering = session(model)
        return self.predictions([answering.run([OUTPUT], {INPUT: batch})[0] for batch in batches(self.images)])

    def predictions(self, logits: list[NDArray[np.float32]]) -> Predictions:
        """Return the logits of all batches as predictions about these images."""
        shown = self.table
        return Predictions(shown.classes, shown.ids, shown.groups, shown.labels, np.concatenate(logits))


def read(table: Table, steps: Preprocessing) -> ImageSet:
    """Return the images of a table's images.

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


def drawn(table: Table, count: int) -> Table:
    """Return up to `count` of a table's images, as evenly over its classes as there are images, the same each time."""
    rng = np.random.default_rng(seed_for(0, "calibration"))
    order_N = rng.permutation(len(table))
    rank_N = np.empty(len(table), np.int64)
    for number in range(len(table.classes)):
        mine = order_N[table.labels[order_N] == number]
        rank_N[mine] = np.arange(len(mine))
    kept = order_N[np.argsort(rank_N[order_N], kind="stable")][:count]
    return table.take(np.sort(kept))
