"""Which part of a split each lesion or patient gets: every class has its share in every part."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from dspkd.data.table import Table
from dspkd.errors import DataError, suggest
from dspkd.runtime.seeds import seed_for


def grouped(table: Table, by: str, seed: int, purpose: str) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return the number of each image's group ``[N]``, in an order given by hashes, and ``[G, K]`` counts of images."""
    if by not in ("group", "image"):
        raise DataError(f"split: unknown by = {by!r}; {suggest(by, ('group', 'image'))}")
    keys = table.groups if by == "group" else table.ids
    names = sorted(set(keys), key=lambda name: (seed_for(seed, purpose, name), name))
    number = {name: g for g, name in enumerate(names)}
    group_N = np.array([number[key] for key in keys], dtype=np.int64)
    counts_GK = np.zeros((len(names), len(table.classes)), dtype=np.int64)
    np.add.at(counts_GK, (group_N, table.labels), 1)
    return group_N, counts_GK


def assign(counts_GK: NDArray[np.int64], share_P: NDArray[np.float64]) -> NDArray[np.int64]:
    """Return ``[G]`` the part of each group, in the order given; rule and bound are in `dspkd.data.split.split`."""
    part_G = np.zeros(len(counts_GK), dtype=np.int64)
    lacks_PK = np.zeros((len(share_P), counts_GK.shape[1]))
    mixes_G = (counts_GK > 0).sum(axis=1) > 1
    weight_K = 1 / np.maximum((counts_GK[mixes_G] ** 2).sum(axis=0), 1)
    for g in np.flatnonzero(mixes_G):
        lacks_PK += np.outer(share_P, counts_GK[g])
        part_G[g] = np.argmax(lacks_PK @ (weight_K * counts_GK[g]))
        lacks_PK[part_G[g]] -= counts_GK[g]
    # Unlike mixed groups, these count towards every part's share from the start: each part then ends near its share.
    lacks_PK += np.outer(share_P, counts_GK[~mixes_G].sum(axis=0))
    class_G, size_G = counts_GK.argmax(axis=1), counts_GK.max(axis=1, initial=0)
    for g in np.flatnonzero(~mixes_G):
        part_G[g] = np.argmax(lacks_PK[:, class_G[g]])
        lacks_PK[part_G[g], class_G[g]] -= size_G[g]
    return part_G
