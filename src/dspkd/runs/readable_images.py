"""Predict for the images that decode, and list the others."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from dspkd.data import decode
from dspkd.data.table import Table
from dspkd.errors import DamagedImagesError, DataError
from dspkd.evaluation.inference import predict
from dspkd.evaluation.predictions import Predictions
from dspkd.models.tapped import Tapped
from dspkd.recipes.schema import Recipe
from dspkd.runs import build, hardware
from dspkd.training.progress import ProgressListener


def predict_readable(
    network: Tapped,
    recipe: Recipe,
    table: Table,
    rows: NDArray[np.int64],
    listener: ProgressListener | None,
    *,
    skip_damaged: bool,
) -> tuple[Predictions, NDArray[np.int64], tuple[str, ...]]:
    """Return predictions for the images that decode, their rows, and path and reason of each of the others.

    Raises
    ------
    DamagedImagesError
        Images do not decode, and they are not to be skipped; the message lists all.
    DataError
        No image decodes.
    """
    try:
        if hardware.cache_folder(recipe.machine) is None:
            decode.check(table, rows)
        return _predict(network, recipe, table, rows, listener), rows, ()
    except DamagedImagesError as error:
        problems = error.problems
    if not skip_damaged:
        remedy = "fix or remove them, or leave them out by --skip-damaged"
        raise decode.damaged(table, problems, remedy=remedy, shown=None)
    left = np.array([row for row in rows if int(row) not in problems], dtype=np.int64)
    if not len(left):
        raise DataError(f"{table.root}: no image decodes")
    return _predict(network, recipe, table, left, listener), left, tuple(sorted(problems.values()))


def _predict(
    network: Tapped, recipe: Recipe, table: Table, rows: NDArray[np.int64], listener: ProgressListener | None
) -> Predictions:
    device = hardware.device(recipe.machine)
    loader = build.eval_loader(recipe, table, rows, device, listener=listener)
    bf16 = hardware.bf16(recipe.train, device)
    return predict(hardware.placed(network, device), table, loader, device=device, bf16=bf16)
