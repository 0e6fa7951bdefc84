"""Agreement of the fine structure of two images: high for copies of one photograph, low for two photographs."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy import fft

BLOCK = 16
"""Side of a block of fine structure, in pixels."""

_EMPTY = 5e3
"""A block with less than this sum of squares, in steps of `Fingerprints.detail`, is empty: 1 % of the usual."""

_LEAST_FILLED = 0.25
"""Share of the blocks of an image that must not be empty for a comparison."""


def agreement(
    a: NDArray[np.int8], b: NDArray[np.int8], *, reach: int, scales: Sequence[float], share: float = 1.0
) -> NDArray[np.float64]:
    r"""Compute the agreement ``[P]`` of P pairs of fine structure, ``[P, S, S]`` each, in [-1, 1].

    Each block of `a` is correlated with the same block of `b`, under the shift and scale that fit best over all blocks.
    The agreement is the mean of the best of these correlations. A crop shifts and scales; a hair or a ruler spoils some
    blocks only. S is a multiple of `BLOCK`.

    Parameters
    ----------
    a, b
        From `dspkd.data.audit.fingerprint.detail_of`.
    reach
        Largest shift of `b` in each direction, in pixels, the same for all blocks.
    scales
        Relative differences in size of `b`, such as 0.05.
    share
        Share of the non-empty blocks of `a` that is averaged, the best first; 1 is all of them.

    Returns
    -------
    NDArray[np.float64]
        NaN for pairs in which less than a quarter of an image's blocks is not empty.
    """
    blocks = a.shape[1] // BLOCK
    centre_I = (np.arange(blocks) - (blocks - 1) / 2) * BLOCK
    outward_ZI = np.rint(np.outer(scales, centre_I)).astype(np.int64)
    slack = int(np.abs(outward_ZI).max())
    fits_PIJmm, filled_PN = _correlations(a, b, reach + slack)
    moves = 2 * reach + 1
    best, agreed = np.full(len(a), -np.inf), np.zeros(len(a))
    for outward_I in outward_ZI:
        starts = list(enumerate(slack + outward_I))
        moved = [fits_PIJmm[:, i, j, y : y + moves, x : x + moves] for i, y in starts for j, x in starts]
        moved_PNM = np.stack(moved, axis=1).reshape(len(a), blocks**2, moves**2)
        total_PM = moved_PNM.sum(axis=1)
        at_P1 = total_PM.argmax(axis=1)[:, None]
        total = np.take_along_axis(total_PM, at_P1, axis=1)[:, 0]
        chosen_PN = np.take_along_axis(moved_PNM, at_P1[:, None], axis=2)[..., 0]
        agreed = np.where(total > best, _mean_of_best(chosen_PN, filled_PN, share), agreed)
        best = np.maximum(best, total)
    return agreed


def _correlations(
    a: NDArray[np.int8], b: NDArray[np.int8], reach: int
) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """Return ``[P, I, J, moves, moves]`` correlations of blocks, and ``[P, I * J]`` the mask of blocks to compare.

    An empty block of `a` has correlation 0; no block is compared of a pair in which an image has too few filled ones.
    """
    blocks, side, wide = a.shape[1] // BLOCK, 2 * reach + 1, BLOCK + 2 * reach
    a_PIJBB = a.astype(np.float32).reshape(-1, blocks, BLOCK, blocks, BLOCK).swapaxes(2, 3)
    b_Phw = np.pad(b.astype(np.float32), ((0, 0), (reach, reach), (reach, reach)))
    b_PIJww = np.lib.stride_tricks.sliding_window_view(b_Phw, (wide, wide), (1, 2))[:, ::BLOCK, ::BLOCK]
    spectrum = fft.rfft2(b_PIJww) * fft.rfft2(a_PIJBB, s=(wide, wide)).conj()
    products = fft.irfft2(spectrum, s=(wide, wide))[..., :side, :side]
    sums = np.pad((b_Phw.astype(np.float64) ** 2).cumsum(1).cumsum(2), ((0, 0), (1, 0), (1, 0)))
    b_energy = sums[:, BLOCK:, BLOCK:] - sums[:, :-BLOCK, BLOCK:] - sums[:, BLOCK:, :-BLOCK] + sums[:, :-BLOCK, :-BLOCK]
    b_energy = np.lib.stride_tricks.sliding_window_view(b_energy, (side, side), (1, 2))[:, ::BLOCK, ::BLOCK]
    a_energy = np.square(a_PIJBB).sum(axis=(3, 4))
    filled = a_energy > _EMPTY
    scale = np.sqrt(a_energy[..., None, None] * np.maximum(b_energy, _EMPTY))
    fits = np.where(filled[..., None, None], products / np.maximum(scale, 1), 0)
    b_filled = b_energy[..., reach, reach] > _EMPTY
    enough = np.minimum(filled.sum(axis=(1, 2)), b_filled.sum(axis=(1, 2))) >= _LEAST_FILLED * blocks**2
    return fits, (filled & enough[:, None, None]).reshape(len(a), -1)


def _mean_of_best(fits: NDArray[np.float64], valid: NDArray[np.bool_], share: float) -> NDArray[np.float64]:
    """Return ``[P]`` the mean of this share of the valid ``[P, N]`` fits, best first; NaN where none is valid."""
    count = np.ceil(share * valid.sum(axis=1)).astype(np.int64)
    downwards = np.sort(np.where(valid, fits, -2.0), axis=1)[:, ::-1]
    summed = np.pad(downwards.cumsum(axis=1), ((0, 0), (1, 0)))
    total = np.take_along_axis(summed, count[:, None], axis=1)[:, 0]
    return np.where(count > 0, total / np.maximum(count, 1), np.nan)
