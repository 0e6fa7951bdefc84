"""Find copies of one photograph: flipped, rotated, resized, re-encoded, tinted, slightly cropped or drawn upon.

Candidates are near in a small space of image layouts; each is then verified on fine structure, where two photographs of
one lesion differ and two copies of one photograph do not. Uncertain pairs are compared again at higher resolution.
"""

from __future__ import annotations

import math
import warnings
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
"""Two images of at least this similarity are copies. Chosen on planted copies: docs/how-to/audit-your-data.md."""

DOUBT = (0.3, 0.6)
"""A pair with a first similarity between these two is compared at higher resolution; below, it is no copy. Inferred."""

RADIUS = 0.5
"""Images further apart in layout are not candidates. 99.9 % of planted copies are nearer. Inferred."""

NEIGHBOURS = 8
"""Candidates of an image in each of eight turns; larger clusters are still connected through their members."""

_DIMENSIONS = 24
"""Principal components of layout that the search uses."""

_CELLS = 12
"""Number of the nearest cells in which copies of an image are searched, out of about sqrt(N). Inferred."""

_AT_ONCE, _CLOSELY_AT_ONCE = 500, 32
"""Pairs that one thread compares at a time, at low and at high resolution."""

_CLOSE_SIDE = 128
"""Side in pixels of the images at high resolution."""

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
        ``[P]`` in [-1, 1]: the `agreement` at 64 pixels; where that is in `DOUBT`, the one of the better half of the
        blocks at 128 pixels. Exactly 1 for equal files or pixels.
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

    Images are sorted into about sqrt(N) cells, and every image is searched, in its eight turns, in a few of them. So
    time grows with N^1.5, as long as the pairs of similar layout grow no faster. Of more than `NEIGHBOURS` copies of
    one image not every pair is returned, but `clusters` joins them all. Unreadable images and those without contrast
    have no copies. Where aspect ratios differ, centre squares are compared as well: a square crop of a photograph is a
    copy of it.
    """
    views = (prints,) if prints.centred is None else (prints, prints.centred)
    pairs = np.concatenate([*(_similar(view, progress) for view in views), _equal_pixels(prints)])
    pairs = pairs[pairs[:, 2] >= least]
    # Stable: of the turns of one pair the most similar stays, and the upright one where turns are equal.
    pairs = pairs[np.lexsort((pairs[:, 3], -pairs[:, 2]))]
    _, once = np.unique(pairs[:, :2], axis=0, return_index=True)
    pairs = pairs[np.sort(once)]
    rows = pairs[:, [0, 1, 3]].astype(np.int64)
    return Pairs(rows[:, 0], rows[:, 1], pairs[:, 2], rows[:, 2])


def _similar(prints: Fingerprints, progress: Progress | None) -> NDArray[np.float64]:
    """Return ``[P, 4]``, rows, similarity and turn, of pairs that are similar as a whole or in their centre squares."""
    usable = np.flatnonzero((np.array(prints.complaints) == "") & (prints.contrast > 0))
    candidates = _candidates(prints, usable, progress)
    likely = _in_pieces(partial(_verify, prints), candidates, _AT_ONCE, "candidates compared", progress)
    uncertain = likely[:, 2] < DOUBT[1]
    compared = _in_pieces(
        partial(_compare_closely, prints), likely[uncertain], _CLOSELY_AT_ONCE, "uncertain pairs compared", progress
    )
    return np.concatenate([likely[~uncertain], compared])


def clusters(first: NDArray[np.int64], second: NDArray[np.int64], count: int) -> NDArray[np.int64]:
    """Return ``[count]`` the number of each item's cluster: the connected components of the pairs."""
    ones = np.ones(len(first), dtype=np.int8)
    graph = sparse.coo_array((ones, (first, second)), shape=(count, count))
    cluster_N: NDArray[np.int32] = connected_components(graph, directed=False)[1]
    return cluster_N.astype(np.int64)


def _candidates(prints: Fingerprints, usable: NDArray[np.int64], progress: Progress | None) -> NDArray[np.int64]:
    """Return ``[C, 3]``: two rows, the first below the second, and the turn that brings the first onto the second."""
    if len(usable) < 2:
        return np.empty((0, 3), dtype=np.int64)
    layout = prints.layout[usable]
    flat = layout.reshape(len(usable), -1)
    _, directions = np.linalg.eigh(np.cov(flat.T))
    directions = directions[:, -_DIMENSIONS:].astype(np.float32)
    cells = _Cells(flat @ directions)
    candidates = []
    for turn in range(8):
        queries = rotated_layout(layout, turn).reshape(len(usable), -1)
        first, second = cells.near(queries @ directions)
        close = np.linalg.norm(queries[first] - flat[second], axis=1) <= RADIUS
        first, second = first[close], second[close]
        # The turn that brings the second onto the first is the inverse; all but the two quarter turns are their own.
        back = {5: 6, 6: 5}.get(turn, turn)
        candidates.append(np.stack([first, second, np.full_like(first, turn)], axis=1)[first < second])
        candidates.append(np.stack([second, first, np.full_like(first, back)], axis=1)[second < first])
        if progress is not None:
            progress("turns searched", turn + 1, 8)
    once = np.unique(np.concatenate(candidates), axis=0)
    once[:, :2] = usable[once[:, :2]]
    return once


class _Cells:
    """Points ``[N, D]`` in about sqrt(N) cells, so that the neighbours of a point lie in a few of them."""

    def __init__(self, points: NDArray[np.float32]) -> None:
        self._points = points
        count = max(1, math.isqrt(len(points)))
        with warnings.catch_warnings():  # an empty cell, as where many images are equal, does no harm
            warnings.filterwarnings("ignore", "One of the clusters is empty", UserWarning)
            self._centres, cell_N = kmeans2(points, count, iter=5, minit="points", rng=0)
        order = np.argsort(cell_N, kind="stable")
        self._members = np.split(order, np.searchsorted(cell_N[order], np.arange(1, count)))

    def near(self, queries: NDArray[np.float32]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Return rows of `queries` and rows of the points within `RADIUS` of them, at most `NEIGHBOURS` + 1 of a cell.

        One more than needed, because an upright image finds itself.
        """
        searched = min(_CELLS, len(self._centres))
        cells_NL = np.argpartition(_distances(queries, self._centres), searched - 1, axis=1)[:, :searched]
        matches = [np.empty((2, 0), dtype=np.int64)]
        for cell, members in enumerate(self._members):
            rows = np.flatnonzero((cells_NL == cell).any(axis=1))
            if not len(rows) or not len(members):
                continue
            apart = _distances(queries[rows], self._points[members])
            most = min(NEIGHBOURS + 1, len(members))
            nearest = np.argpartition(apart, most - 1, axis=1)[:, :most]
            row, at = np.nonzero(np.take_along_axis(apart, nearest, axis=1) <= RADIUS**2)
            matches.append(np.stack([rows[row], members[nearest[row, at]]]))
        first, second = np.concatenate(matches, axis=1)
        return first, second


def _distances(a_MD: NDArray[np.float32], b_ND: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return ``[M, N]`` squared Euclidean distances between the rows of `a_MD` and `b_ND`."""
    apart: NDArray[np.float32] = (a_MD**2).sum(axis=1)[:, None] + (b_ND**2).sum(axis=1) - 2 * a_MD @ b_ND.T
    return apart


def _in_pieces(
    work: Callable[[NDArray[Any]], NDArray[np.float64]],
    pairs: NDArray[Any],
    at_once: int,
    what: str,
    progress: Progress | None,
) -> NDArray[np.float64]:
    """Return ``[P, 4]`` the results of `work` on the pairs, in threads, `at_once` pairs per call."""
    pieces = [pairs[start : start + at_once] for start in range(0, len(pairs), at_once)]
    done = [np.empty((0, 4))]
    with ThreadPoolExecutor() as pool:
        for number, piece in enumerate(pool.map(work, pieces), start=1):
            done.append(piece)
            if progress is not None:
                progress(what, min(number * at_once, len(pairs)), len(pairs))
    return np.concatenate(done)


def _verify(prints: Fingerprints, candidates: NDArray[np.int64]) -> NDArray[np.float64]:
    """Return ``[P, 4]``, rows, similarity and turn, of the candidates that may be copies."""
    first, second, turn = candidates.T
    similarity = _agreement(_rotate_each(prints.detail[first], turn), prints.detail[second])
    kept = similarity >= DOUBT[0]
    return np.stack([first, second, np.minimum(similarity, 1), turn], axis=1)[kept]


def _compare_closely(prints: Fingerprints, pairs: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return ``[P, 4]`` the same pairs with their similarity at high resolution.

    A small or blurred image may have no structure at twice the size; the pair then keeps its similarity.
    """
    rows = pairs[:, [0, 1]].astype(np.int64)
    images, at = np.unique(rows, return_inverse=True)
    detail = detail_of(
        np.stack(
            [
                thumbnail(decode(prints.paths[row], short_side=_CLOSE_SIDE), _CLOSE_SIDE, centred=prints.cropped)
                for row in images
            ]
        )
    )
    first, second = at.reshape(rows.shape).T
    closer = _close_agreement(_rotate_each(detail[first], pairs[:, 3]), detail[second])
    return np.column_stack([rows, np.where(np.isnan(closer), pairs[:, 2], np.minimum(closer, 1)), pairs[:, 3]])


def _rotate_each(images: NDArray[np.int8], turns: NDArray[Any]) -> NDArray[np.int8]:
    """Return the images ``[P, S, S]``, each under its own turn."""
    result = images.copy()
    for turn in np.unique(turns):
        result[turns == turn] = rotated(images[turns == turn], int(turn))
    return result


def _equal_pixels(prints: Fingerprints) -> NDArray[np.float64]:
    """Return ``[P, 4]`` the pairs of equal pixels, which includes equal files, each image with the previous one."""
    last: dict[str, int] = {}
    pairs = []
    for row, digest in enumerate(prints.of_pixels):
        if digest in last:
            pairs.append((last[digest], row, 1.0, 0))
        if digest:
            last[digest] = row
    return np.array(pairs, dtype=np.float64).reshape(-1, 4)
