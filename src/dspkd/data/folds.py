"""The split of one fold of a cross-validation over lesions or patients."""

from __future__ import annotations

from typing import Literal

import numpy as np

from dspkd.data.assignment import assign, grouped
from dspkd.data.split import PARTS, Split, require_training_images, sizes
from dspkd.data.table import Table
from dspkd.errors import DataError


def fold_split(
    table: Table,
    *,
    folds: int,
    fold: int,
    val: float = 0.15,
    seed: int = 0,
    by: Literal["group", "image"] = "group",
) -> Split:
    """Return the split of one fold of a grouped cross-validation: its test set is part `fold` of `folds`.

    Groups are assigned to the folds, and those outside of the test set to training and validation set, by the rule of
    `split`: every class has its share in every part. The test sets of all folds together are every image once.

    Parameters
    ----------
    folds, fold
        How many folds, at least 2, and which of them, from 0.
    val
        Share of all images in the validation set, above 0.
    seed, by
        As for `split`. The folds depend on them alone, and the validation set on `fold` too.

    Raises
    ------
    DataError
        A number is out of range, a fold would be empty, as with fewer groups than folds, or a class has no training
        image.
    """
    if folds < 2 or not 0 <= fold < folds:
        raise DataError(f"split: folds must be at least 2 and fold in 0 to folds - 1, got fold {fold} of {folds}")
    if not 0 < val < 1 - 1 / folds:
        raise DataError(f"split: with {folds} folds, val must be above 0 and below {1 - 1 / folds:.3g}, got {val}")
    group_N, counts_GK = grouped(table, by, seed, "split")
    fold_G = assign(counts_GK, np.full(folds, 1 / folds))
    if len(empty := sorted(set(range(folds)) - set(fold_G.tolist()))):
        raise DataError(
            f"{table.root}: {folds} folds leave fold {empty[0]} empty: its {len(fold_G)} lesions or "
            f"patients have {sizes(table)} images; use fewer folds"
        )
    parts = np.where(fold_G[group_N] == fold, "test", "train")
    rest = np.flatnonzero(parts != "test")
    share = val / (1 - 1 / folds)
    group_R, counts_GK = grouped(table.take(rest), by, seed, f"validation of fold {fold}")
    parts[rest] = np.array(PARTS)[assign(counts_GK, np.array([1 - share, share]))[group_R]]
    assigned = Split(parts)
    require_training_images(table, assigned)
    return assigned
