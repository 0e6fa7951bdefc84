"""Sampling: the images of an epoch, their order, and the view of each."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from dspkd.runtime.seeds import seed_for


def epoch_order(
    labels: NDArray[np.int64], *, seed: int, epoch: int, balance: float = 0.0, views: int | None = None
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    r"""Return the images of one epoch, as positions in `labels`, and the view of each, both ``[N]``.

    An epoch draws N images in all, class c in proportion to

    .. math:: N_c^{1-\beta}, \qquad \beta = \mathtt{balance},

    so 0 draws each image once and 1 all classes equally often. A class that needs more draws than it has images goes
    through all of them before it repeats one. A repeated image is drawn in another view, so that no view occurs
    twice: pass p of epoch e draws view :math:`eP + p`, where P is the largest number of passes of any class. Where
    there are only V = `views` of each image, it goes through them in turn: view :math:`(eP_c + p) \bmod V`, with
    :math:`P_c` the passes of its own class. That is view :math:`e \bmod V` for a class that is not repeated; **a
    repeated class reuses its views** :math:`P_c` **times sooner**.

    A pure function of its arguments; `epoch` counts over all stages of a run, so that runs with equal numbers of epochs
    train on the same images however the epochs are divided into stages.
    """
    draw = np.random.default_rng(seed_for(seed, "order", epoch))
    counts = np.bincount(labels)
    quotas = class_draws(counts, balance=balance)
    present = np.flatnonzero(counts)
    passes = int(np.max(-(-quotas[present] // counts[present])))
    rows, row_views = [], []
    for c in present:
        members = np.flatnonzero(labels == c)
        own_passes = -(-int(quotas[c]) // len(members))
        for number in range(own_passes):
            drawn = draw.permutation(members)[: int(quotas[c]) - number * len(members)]
            rows.append(drawn)
            view = epoch * passes + number if views is None else (epoch * own_passes + number) % views
            row_views.append(np.full(len(drawn), view))
    shuffled = draw.permutation(len(labels))
    return np.concatenate(rows)[shuffled], np.concatenate(row_views)[shuffled]


def in_passes(
    images: int, count: int, *, seed: int, epoch: int, views: int | None = None
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return `count` images of one epoch, numbers below `images`, and the view of each, both ``[count]``.

    Epochs continue each other: all images are drawn, in random order, before one is drawn again. Pass p over them
    draws view p, or p mod V where there are only V = `views` of each. A pure function of its arguments, with random
    numbers of its own, so that the order of the labelled images does not depend on it.
    """
    drawn = np.arange(epoch * count, (epoch + 1) * count)
    passes, place = np.divmod(drawn, images)
    order = {
        int(p): np.random.default_rng(seed_for(seed, "unlabelled", int(p))).permutation(images) for p in set(passes)
    }
    rows = np.array([order[int(p)][n] for p, n in zip(passes, place, strict=True)], dtype=np.int64)
    return rows, passes if views is None else passes % views


def class_draws(counts: NDArray[np.int64], *, balance: float) -> NDArray[np.int64]:
    r"""Return the number of draws of each class in an epoch, ``[K]``, for `counts` images of each.

    Their sum is the number of images; in proportion to :math:`N_c^{1-\mathtt{balance}}`, rounded; at least one for a
    class with images, none for a class without.
    """
    draws = np.zeros_like(counts)
    present = np.flatnonzero(counts)
    weights = counts[present] ** (1.0 - balance)
    draws[present] = _whole_shares(counts.sum() * weights / weights.sum())
    return draws


def _whole_shares(shares: NDArray[np.float64]) -> NDArray[np.int64]:
    """Round `shares` to whole numbers of the same sum, largest remainders up; none of them to 0."""
    whole = np.floor(shares).astype(np.int64)
    whole[np.argsort(whole - shares, kind="stable")[: round(shares.sum()) - whole.sum()]] += 1
    while (whole == 0).any():
        whole[np.argmin(whole)] += 1
        whole[np.argmax(whole)] -= 1
    return whole
