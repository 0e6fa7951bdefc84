"""A share of the training lesions or patients with labels, to measure how results depend on the number of labels."""

from __future__ import annotations

from typing import Literal

import numpy as np

from dspkd.data.assignment import assign, grouped
from dspkd.data.split import UNUSED, Split, require_training_images
from dspkd.data.table import Table
from dspkd.errors import DataError


def keep_labelled(
    table: Table, split: Split, share: float, *, seed: int = 0, by: Literal["group", "image"] = "group"
) -> Split:
    """Return the split with a share of its training set; the rest is in no part. Validation and test set stay.

    Lesions or patients stay whole, and every class keeps its share, by the rule of `dspkd.data.split.split`.

    Parameters
    ----------
    table, split
        The images, and the split of all of them.
    share
        Share of the training images, above 0 and below 1.
    seed, by
        As for `dspkd.data.split.split`; another seed keeps other lesions.

    Raises
    ------
    DataError
        The share is out of range, or a class keeps no training image.
    """
    if not 0 < share < 1:
        raise DataError(f"split: labelled must be above 0 and below 1, got {share}; leave it out to keep all labels")
    rows = split.rows("train")
    group_T, counts_GK = grouped(table.take(rows), by, seed, "labelled")
    left_out_G = assign(counts_GK, np.array([share, 1 - share])) == 1
    left_out_N = np.zeros(len(table), dtype=bool)
    left_out_N[rows] = left_out_G[group_T]
    kept = Split(np.where(left_out_N, UNUSED, split.parts))
    require_training_images(table, kept)
    return kept
