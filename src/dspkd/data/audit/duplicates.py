"""Copies of one photograph: flipped, rotated, resized, re-encoded, tinted, a little cropped or drawn upon.

Candidates are near in a small space of image layouts; each is then verified on fine structure, where two
photographs of one lesion differ and two copies of one photograph do not. Where that leaves a doubt, both files are
looked at once more, and closer.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import sparse
from scipy.cluster.vq import kmeans2
from scipy.sparse.csgraph import connected_components

from dspkd.data.audit.fingerprint import Fingerprints, detail_of, rotated, rotated_layout, thumbnail
from dspkd.data.audit.similarity import agreement
from dspkd.data.decode import decode
from dspkd.runtime.progress import Progress

SIMILARITY = 0.45
"""Two images of at least this similarity are copies. Chosen on planted copies, see docs/how-to/audit-your-data.md."""

DOUBT = (0.3, 0.6)
"""At a first similarity between these two, both images are looked at closer; below they are none. Inferred."""

RADIUS = 0.5
"""Images further apart in layout are no candidates. Of planted copies 99.9 % are nearer. Inferred."""

NEIGHBOURS = 8
"""Candidates of an image in each of eight turns; a larger cluster hangs together all the same."""

_DIMENSIONS = 24
"""Principal directions of layout that the search sees."""

_CELLS = 12
"""In so many of the cells nearest to an image its copies are looked for; there are the root of N cells. Inferred."""

_AT_ONCE, _CLOSELY_AT_ONCE = 500, 32
"""Pairs that one thread compares at a time, at first and closer."""

_CLOSE_SIDE = 128
"""Side in pixels of the images of a closer look."""

_agreement = partial(agreement, reach=3, scales=(-0.05, 0.0, 0.05))
_close_agreement = partial(agreement, reach=6, scales=(-0.06, -0.04, -0.02, 0.0, 0.02, 0.04, 0.06), share=0.5)


@dataclass(frozen=True, eq=False)
class Pairs:
    """P pairs of images that are copies of each other, most similar first.

    Attributes
    ----------
    first, second
        ``[P]`` int64 rows, the first below the second.
    similarity
        ``[P]`` in [-1, 1]: the `agreement` at 64 pixels; where that is in `DOUBT`, of the better half of the blocks at
        128 pixels. Exactly 1 for equal bytes or pixels.
    turn
        ``[P]`` int64, the turn that brings the first onto the second, as in `dspkd.data.audit.fingerprint.rotated`.
    """

    first: NDArray[np.int64]
    second: NDArray[np.int64]
    similarity: NDArray[np.float64]
    turn: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.first)

    def take(self, chosen: NDArray[np.bool_]) -> Pairs:
        """Return some of the pairs, in the same order."""
        return Pairs(self.first[chosen], self.second[chosen], self.similarity[chosen], self.turn[chosen])


def find(prints: Fingerprints, progress: Progress | None = None, *, least: float = SIMILARITY) -> Pairs:
    """Return the pairs of copies among N images.

    Every image is looked up, in its eight turns, in a few of the root of N cells into which all are sorted, so time
    grows with N^1.5, as long as the pairs that are alike in layout grow no faster. Of more than `NEIGHBOURS` copies of
    one image not every pair is returned, but `clusters` joins them all. Unreadable images and those without
    contrast have no copies.
    """
    seen = np.flatnonzero((np.array(prints.complaints) == "") & (prints.contrast > 0))
    candidates = _candidates(prints, seen, progress)
    likely = _in_pieces(partial(_verified, prints), candidates, _AT_ONCE, "candidates compared", progress)
    doubtful = likely[:, 2] < DOUBT[1]
    second = _in_pieces(
        partial(_looked_closer, prints), likely[doubtful], _CLOSELY_AT_ONCE, "doubts resolved", progress
    )
    found = np.concatenate([likely[~doubtful], second, _alike(prints)])
    found = found[found[:, 2] >= least]
    # Stable: of the turns of one pair the most similar stays, and the upright one where turns are equal.
    found = found[np.lexsort((found[:, 3], -found[:, 2]))]
    _, once = np.unique(found[:, :2], axis=0, return_index=True)
    found = found[np.sort(once)]
    rows = found[:, [0, 1, 3]].astype(np.int64)
    return Pairs(rows[:, 0], rows[:, 1], found[:, 2], rows[:, 2])


def clusters(first: NDArray[np.int64], second: NDArray[np.int64], count: int) -> NDArray[np.int64]:
    """Return ``[count]`` the cluster of each of so many things; those that a chain of pairs joins are in one."""
    ones = np.ones(len(first), dtype=np.int8)
    graph = sparse.coo_array((ones, (first, second)), shape=(count, count))
    cluster_N: NDArray[np.int32] = connected_components(graph, directed=False)[1]
    return cluster_N.astype(np.int64)


def _candidates(prints: Fingerprints, seen: NDArray[np.int64], progress: Progress | None) -> NDArray[np.int64]:
    """Return ``[C, 3]``: two rows, the first below the second, and the turn that brings the first onto the second."""
    if len(seen) < 2:
        return np.empty((0, 3), dtype=np.int64)
    layout = prints.layout[seen]
    flat = layout.reshape(len(seen), -1)
    _, directions = np.linalg.eigh(np.cov(flat.T))
    directions = directions[:, -_DIMENSIONS:].astype(np.float32)
    cells = _Cells(flat @ directions)
    found = []
    for turn in range(8):
        asked = rotated_layout(layout, turn).reshape(len(seen), -1)
        first, second = cells.near(asked @ directions)
        close = np.linalg.norm(asked[first] - flat[second], axis=1) <= RADIUS
        first, second = first[close], second[close]
        # The turn that brings the second onto the first is the inverse: only the two quarter turns are not their own.
        back = {5: 6, 6: 5}.get(turn, turn)
        found.append(np.stack([first, second, np.full_like(first, turn)], axis=1)[first < second])
        found.append(np.stack([second, first, np.full_like(first, back)], axis=1)[second < first])
        if progress is not None:
            progress("turns searched", turn + 1, 8)
    once = np.unique(np.concatenate(found), axis=0)
    once[:, :2] = seen[once[:, :2]]
    return once


class _Cells:
    """Points ``[N, D]`` in about the root of N cells, so that those near another point lie in a few of them."""

    def __init__(self, points: NDArray[np.float32]) -> None:
        self._points = points
        count = max(1, math.isqrt(len(points)))
        self._centres, cell_N = kmeans2(points, count, iter=5, minit="points", rng=0)
        order = np.argsort(cell_N, kind="stable")
        self._members = np.split(order, np.searchsorted(cell_N[order], np.arange(1, count)))

    def near(self, asked: NDArray[np.float32]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Return rows of `asked` and rows of the points within `RADIUS` of them, `NEIGHBOURS` + 1 of a cell at most.

        One more than wanted, for an upright image finds itself.
        """
        looked = min(_CELLS, len(self._centres))
        cells_NL = np.argpartition(_distances(asked, self._centres), looked - 1, axis=1)[:, :looked]
        found = [np.empty((2, 0), dtype=np.int64)]
        for cell, members in enumerate(self._members):
            asking = np.flatnonzero((cells_NL == cell).any(axis=1))
            if not len(asking) or not len(members):
                continue
            apart = _distances(asked[asking], self._points[members])
            most = min(NEIGHBOURS + 1, len(members))
            nearest = np.argpartition(apart, most - 1, axis=1)[:, :most]
            row, at = np.nonzero(np.take_along_axis(apart, nearest, axis=1) <= RADIUS**2)
            found.append(np.stack([asking[row], members[nearest[row, at]]]))
        first, second = np.concatenate(found, axis=1)
        return first, second


def _distances(a_MD: NDArray[np.float32], b_ND: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return ``[M, N]`` the squared distances of each of these from each of those."""
    apart: NDArray[np.float32] = (a_MD**2).sum(axis=1)[:, None] + (b_ND**2).sum(axis=1) - 2 * a_MD @ b_ND.T
    return apart


def _in_pieces(
    work: Callable[[NDArray[Any]], NDArray[np.float64]],
    pairs: NDArray[Any],
    at_once: int,
    what: str,
    progress: Progress | None,
) -> NDArray[np.float64]:
    """Return ``[P, 4]`` what `work` makes of the pairs, in threads, so many at once."""
    pieces = [pairs[start : start + at_once] for start in range(0, len(pairs), at_once)]
    done = [np.empty((0, 4))]
    with ThreadPoolExecutor() as pool:
        for number, piece in enumerate(pool.map(work, pieces), start=1):
            done.append(piece)
            if progress is not None:
                progress(what, min(number * at_once, len(pairs)), len(pairs))
    return np.concatenate(done)


def _verified(prints: Fingerprints, candidates: NDArray[np.int64]) -> NDArray[np.float64]:
    """Return ``[P, 4]``, rows, similarity and turn, of the candidates that are copies or may be."""
    first, second, turn = candidates.T
    similarity = _agreement(_turned_each(prints.detail[first], turn), prints.detail[second])
    kept = similarity >= DOUBT[0]
    return np.stack([first, second, np.minimum(similarity, 1), turn], axis=1)[kept]


def _looked_closer(prints: Fingerprints, pairs: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return ``[P, 4]`` the same pairs with the similarity that a closer look gives.

    An image that was small, or is blurred, may show nothing at twice the size; the pair then keeps its similarity.
    """
    rows = pairs[:, [0, 1]].astype(np.int64)
    shown, at = np.unique(rows, return_inverse=True)
    detail = detail_of(
        np.stack([thumbnail(decode(prints.paths[row], short_side=_CLOSE_SIDE), _CLOSE_SIDE) for row in shown])
    )
    first, second = at.reshape(rows.shape).T
    closer = _close_agreement(_turned_each(detail[first], pairs[:, 3]), detail[second])
    return np.column_stack([rows, np.where(np.isnan(closer), pairs[:, 2], np.minimum(closer, 1)), pairs[:, 3]])


def _turned_each(images: NDArray[np.int8], turns: NDArray[Any]) -> NDArray[np.int8]:
    """Return the images ``[P, S, S]``, each under its own turn."""
    moved = images.copy()
    for turn in np.unique(turns):
        moved[turns == turn] = rotated(images[turns == turn], int(turn))
    return moved


def _alike(prints: Fingerprints) -> NDArray[np.float64]:
    """Return ``[P, 4]`` the pairs of equal pixels, and so of equal bytes too, each with the one before it."""
    last: dict[str, int] = {}
    pairs = []
    for row, digest in enumerate(prints.of_pixels):
        if digest in last:
            pairs.append((last[digest], row, 1.0, 0))
        if digest:
            last[digest] = row
    return np.array(pairs, dtype=np.float64).reshape(-1, 4)
