"""Which images an epoch shows, in which order, and which view of each."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from dspkd.runtime.seeds import seed_for


def epoch_order(
    labels: NDArray[np.int64], *, seed: int, epoch: int, balance: float = 0.0, views: int | None = None
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    r"""Return the positions in `labels` to show in one epoch, and the view of each, both ``[N]``.

    An epoch shows as many images as there are images, class c in proportion to

    .. math:: N_c^{1-\beta}, \qquad \beta = \mathtt{balance},

    so 0 shows each image once and 1 all classes equally often. A class that needs more images than it has images
    goes through all of them before it repeats one. A repeated image is shown in another view, so that no
    image is ever seen twice: pass p of epoch e shows view :math:`eP + p`, where P is the most passes any
    class needs. Where there are only V = `views` of each image, it goes through them in turn: view
    :math:`(eP_c + p) \bmod V`, with :math:`P_c` the passes of its own class. That is view :math:`e \bmod V` for a class
    that is not repeated; **one that is comes back to its views so many times sooner**.

    A pure function of its arguments; `epoch` counts over all stages of a run, so that runs with equal numbers
    of epochs see the same images however these are divided into stages.
    """
    draw = np.random.default_rng(seed_for(seed, "order", epoch))
    counts = np.bincount(labels)
    quotas = class_draws(counts, balance=balance)
    present = np.flatnonzero(counts)
    passes = int(np.max(-(-quotas[present] // counts[present])))
    rows, shown_views = [], []
    for c in present:
        members = np.flatnonzero(labels == c)
        own_passes = -(-int(quotas[c]) // len(members))
        for number in range(own_passes):
            shown = draw.permutation(members)[: int(quotas[c]) - number * len(members)]
            rows.append(shown)
            view = epoch * passes + number if views is None else (epoch * own_passes + number) % views
            shown_views.append(np.full(len(shown), view))
    shuffled = draw.permutation(len(labels))
    return np.concatenate(rows)[shuffled], np.concatenate(shown_views)[shuffled]


def class_draws(counts: NDArray[np.int64], *, balance: float) -> NDArray[np.int64]:
    r"""Return how many images of each class an epoch shows, ``[K]``, where there are `counts` images of each.

    As many in all as there are images, in proportion to :math:`N_c^{1-\mathtt{balance}}`, rounded; at least one of each
    class that has an image, none of a class that has none.
    """
    draws = np.zeros_like(counts)
    present = np.flatnonzero(counts)
    wanted = counts[present] ** (1.0 - balance)
    draws[present] = _whole_shares(counts.sum() * wanted / wanted.sum())
    return draws


def _whole_shares(shares: NDArray[np.float64]) -> NDArray[np.int64]:
    """Round `shares` to whole numbers of the same sum, largest remainders up; none of them to 0."""
    whole = np.floor(shares).astype(np.int64)
    whole[np.argsort(whole - shares, kind="stable")[: round(shares.sum()) - whole.sum()]] += 1
    while (whole == 0).any():
        whole[np.argmin(whole)] += 1
        whole[np.argmax(whole)] -= 1
    return whole
