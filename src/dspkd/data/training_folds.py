"""Folds of the training set, for teachers that answer only about lesions that they never saw."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from dspkd.data.assignment import assign
from dspkd.data.split import UNUSED, Split
from dspkd.data.table import Table, count_of
from dspkd.errors import DataError
from dspkd.runtime.seeds import seed_for


def training_folds(table: Table, split: Split, count: int) -> NDArray[np.int64]:
    """Divide the training set into folds: no lesion or patient in two, every class in proportion.

    Parameters
    ----------
    table, split
        The images, and their training set.
    count
        Number of folds, at least 2.

    Returns
    -------
    NDArray[np.int64]
        ``[N]`` the fold of each row of the table; -1 outside the training set. It depends on the names of
        the training set's lesions and on the classes of their images, not on the order of rows.

    Raises
    ------
    DataError
        There are fewer lesions than folds, or a class lies in one fold, whose teacher would not know it.
    """
    rows = split.rows("train")
    names = sorted({table.groups[row] for row in rows}, key=lambda name: (seed_for("training folds", name), name))
    number = {name: g for g, name in enumerate(names)}
    group_T = np.array([number[table.groups[row]] for row in rows])
    counts_GK = np.zeros((len(names), len(table.classes)), dtype=np.int64)
    np.add.at(counts_GK, (group_T, table.labels[rows]), 1)
    fold_N = np.full(len(table), -1, dtype=np.int64)
    fold_N[rows] = assign(counts_GK, np.full(count, 1 / count))[group_T]
    _require_every_class(table, split, fold_N, count)
    return fold_N


def without_fold(split: Split, fold_N: NDArray[np.int64], fold: int) -> Split:
    """Return the split for the teacher of a fold: its images are the test set, and the student's test set is unused."""
    parts = np.where(split.parts == "test", UNUSED, split.parts)
    return Split(np.where(fold_N == fold, "test", parts))


def _require_every_class(table: Table, split: Split, fold_N: NDArray[np.int64], count: int) -> None:
    place = f"{table.root}: teacher.cross_fit = {count}"
    groups = {table.groups[row] for row in split.rows("train")}
    if len(groups) < count:
        raise DataError(f"{place}: the training set has {count_of(groups)}; choose at most as many folds")
    for k, name in enumerate(table.classes):
        for fold in range(count):
            if not ((table.labels == k) & (fold_N >= 0) & (fold_N != fold)).any():
                raise DataError(
                    f"{place}: all training images of class {name!r} are in one fold, and the teacher without it "
                    'would not know the class; merge or drop the class (data.classes = "FILE"), or leave out cross_fit'
                )
