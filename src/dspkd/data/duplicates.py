"""Copies of one photograph: flipped, turned, resized, re-encoded, tinted, a little cropped or drawn upon.

Candidates are near in a small space of picture layouts; each is then verified on fine structure, where two
photographs of one lesion differ and two copies of one photograph do not.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import fft, sparse
from scipy.sparse.csgraph import connected_components
from scipy.spatial import KDTree

from dspkd.data.fingerprint import SIDE, Fingerprints, Progress, turned, turned_layout

SIMILARITY = 0.45
"""Two pictures of at least this similarity are copies. Chosen on planted copies, see docs/how-to/audit-your-data.md."""

RADIUS = 0.5
"""Pictures further apart in layout are no candidates. Of planted copies 99.9 % are nearer. Inferred."""

NEIGHBOURS = 8
"""Candidates of a picture in each of eight turns; a larger cluster hangs together all the same."""

_DIMENSIONS = 24
"""Principal directions of layout that the search sees."""

_BLOCK, _REACH, _SLACK = 16, 3, 1
"""Side of a block of fine structure, and the pixels that it may be moved with all blocks, and by scale."""

_AT_ONCE = 500
_EMPTY = 5e3
"""A block with less than this sum of squares, in steps of `Fingerprints.detail`, shows nothing: 1 % of the usual."""

_FEWEST_BLOCKS = 4


@dataclass(frozen=True, eq=False)
class Pairs:
    """P pairs of pictures that are copies of each other, most similar first.

    Attributes
    ----------
    first, second
        ``[P]`` int64 rows, the first below the second.
    similarity
        ``[P]`` in [-1, 1], see `similarities`; exactly 1 for equal bytes or pixels.
    turn
        ``[P]`` int64, the turn that brings the first onto the second, as in `dspkd.data.fingerprint.turned`.
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
    """Return the pairs of copies among N pictures.

    Every picture is looked up in its eight turns in a k-d tree, so time grows a little faster than N, and nowhere
    with its square. Of more than `NEIGHBOURS` copies of one picture not every pair is returned, but `clusters` joins
    them all. Unreadable pictures and those without contrast have no copies.
    """
    seen = np.flatnonzero((np.array(prints.complaints) == "") & (prints.contrast > 0))
    candidates = _candidates(prints, seen, progress)
    pieces = [candidates[start : start + _AT_ONCE] for start in range(0, len(candidates), _AT_ONCE)]
    kept = [np.empty((0, 4))]
    with ThreadPoolExecutor() as pool:
        judged = pool.map(lambda piece: _verified(prints, piece, least), pieces)
        for number, piece in enumerate(judged, start=1):
            kept.append(piece)
            if progress is not None:
                progress("candidates compared", min(number * _AT_ONCE, len(candidates)), len(candidates))
    found = np.concatenate([*kept, _alike(prints)])
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


def similarities(a: NDArray[np.int8], b: NDArray[np.int8]) -> NDArray[np.float64]:
    r"""Return ``[P]`` the similarity of P pairs of fine structure, ``[P, S, S]`` each, in [-1, 1].

    The mean, over the blocks of `a` that show anything, of the correlation with the same block of `b`, moved by up
    to 3 pixels in each direction, all blocks alike, and scaled by -5, 0 or 5 %, whichever fits best. A crop moves and
    scales; a hair or a ruler spoils some blocks only.
    """
    reach = _REACH + _SLACK
    side, blocks = 2 * reach + 1, SIDE // _BLOCK
    wide = _BLOCK + 2 * reach
    a_PIJBB = a.astype(np.float32).reshape(-1, blocks, _BLOCK, blocks, _BLOCK).swapaxes(2, 3)
    b_Phw = np.pad(b.astype(np.float32), ((0, 0), (reach, reach), (reach, reach)))
    b_PIJww = np.lib.stride_tricks.sliding_window_view(b_Phw, (wide, wide), (1, 2))[:, ::_BLOCK, ::_BLOCK]
    spectrum = fft.rfft2(b_PIJww) * fft.rfft2(a_PIJBB, s=(wide, wide)).conj()
    products = fft.irfft2(spectrum, s=(wide, wide))[..., :side, :side]
    sums = np.pad((b_Phw.astype(np.float64) ** 2).cumsum(1).cumsum(2), ((0, 0), (1, 0), (1, 0)))
    b_energy = (
        sums[:, _BLOCK:, _BLOCK:]
        - sums[:, :-_BLOCK, _BLOCK:]
        - sums[:, _BLOCK:, :-_BLOCK]
        + sums[:, :-_BLOCK, :-_BLOCK]
    )
    b_energy = np.lib.stride_tricks.sliding_window_view(b_energy, (side, side), (1, 2))[:, ::_BLOCK, ::_BLOCK]
    a_energy = np.square(a_PIJBB).sum(axis=(3, 4))
    shown = a_energy > _EMPTY
    scale = np.sqrt(a_energy[..., None, None] * np.maximum(b_energy, _EMPTY))
    fits = np.where(shown[..., None, None], products / np.maximum(scale, 1), 0)
    count = shown.sum(axis=(1, 2))
    total = _best_move(fits)
    return np.where(count >= _FEWEST_BLOCKS, total / np.maximum(count, 1), 0.0)


def _best_move(fits: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return ``[P]`` the sum over blocks of ``[P, I, J, moves, moves]`` fits under the best common move and scale."""
    blocks, moves = fits.shape[1], fits.shape[-1] - 2 * _SLACK
    # Five per cent move the centres of the outer blocks by 1.2 pixels and those of the inner ones by 0.4.
    outward = np.zeros(blocks, dtype=np.int64)
    outward[[0, -1]] = -_SLACK, _SLACK
    best = np.full(len(fits), -np.inf)
    for scaling in (-1, 0, 1):
        total = np.zeros((len(fits), moves, moves))
        for i, y in enumerate(_SLACK + scaling * outward):
            for j, x in enumerate(_SLACK + scaling * outward):
                total += fits[:, i, j, y : y + moves, x : x + moves]
        best = np.maximum(best, total.max(axis=(1, 2)))
    return best


def _candidates(prints: Fingerprints, seen: NDArray[np.int64], progress: Progress | None) -> NDArray[np.int64]:
    """Return ``[C, 3]``: two rows, the first below the second, and the turn that brings the first onto the second."""
    if len(seen) < 2:
        return np.empty((0, 3), dtype=np.int64)
    layout = prints.layout[seen]
    flat = layout.reshape(len(seen), -1)
    _, directions = np.linalg.eigh(np.cov(flat.T))
    directions = directions[:, -_DIMENSIONS:].astype(np.float32)
    tree = KDTree(flat @ directions)
    found = []
    for turn in range(8):
        asked = turned_layout(layout, turn).reshape(len(seen), -1)
        # One more than wanted, for an upright picture finds itself.
        near = tree.query(asked @ directions, min(NEIGHBOURS + 1, len(seen)), distance_upper_bound=RADIUS, workers=-1)
        first, at = np.nonzero(np.isfinite(near[0]))
        second = near[1][first, at]
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


def _verified(prints: Fingerprints, candidates: NDArray[np.int64], least: float) -> NDArray[np.float64]:
    """Return ``[P, 4]``, rows, similarity and turn, of the candidates that are copies."""
    first, second, turn = candidates.T
    moved = prints.detail[first]
    for number in np.unique(turn):
        moved[turn == number] = turned(moved[turn == number], number)
    similarity = similarities(moved, prints.detail[second])
    kept = similarity >= least
    return np.stack([first, second, np.minimum(similarity, 1), turn], axis=1)[kept]


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
