"""Occlusion maps: cover one part of an image after the other, and measure how far the probability of a class falls.

This needs no gradient and no intermediate output of the network, so that a server, a browser and a phone compute the
same map from the same bundle. ``static/occlusion.js`` is the same in JavaScript.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

CELLS = 8
"""Cells of the map along each side. Inferred: our choice."""

COVER = 2
"""Cells covered together along each side, a quarter of the image. Inferred: our choice."""

_BATCH = 7

Floats = NDArray[np.float32]


def heat_map(probabilities: Callable[[Floats], NDArray[np.float64]], image_3SS: Floats, target: int) -> Floats:
    r"""Compute how much of a class's probability depends on each cell of an image.

    .. math:: h_c = \frac{1}{|W_c|} \sum_{w \in W_c} \big(p(x) - p(x \text{ with } w \text{ covered})\big)

    where :math:`W_c` are the windows of ``COVER`` x ``COVER`` cells that lie over cell c. They move by one cell, so
    that one in the middle is covered four times, one in a corner once. Covered cells have the mean colour of the image.

    Parameters
    ----------
    probabilities
        Maps a batch ``[N, 3, S, S]`` in [0, 1] to ``[N, K]``.
    image_3SS
        The input of the network, ``[3, S, S]`` float32 in [0, 1], S at least ``CELLS``.
    target
        Index of the class, 0 to K - 1.

    Returns
    -------
    Floats
        ``[CELLS, CELLS]``, differences of probabilities: above 0 where covering the cell lowers the probability, which
        means that the cell supports the class. The map does not show whether the prediction is correct.

    Notes
    -----
    1 + 49 passes of the network. Source: Zeiler and Fergus, *Visualizing and Understanding Convolutional Networks*,
    2014, section 4.2, with a grey square; the mean colour in its place is inferred.
    """
    edges = np.arange(CELLS + 1) * image_3SS.shape[-1] // CELLS
    colour_311 = image_3SS.mean(axis=(1, 2), dtype=np.float64).astype(np.float32)[:, None, None]
    corners = [(row, column) for row in range(CELLS - COVER + 1) for column in range(CELLS - COVER + 1)]
    whole = float(probabilities(image_3SS[None])[0, target])
    falls, windows = np.zeros((CELLS, CELLS)), np.zeros((CELLS, CELLS))
    for start in range(0, len(corners), _BATCH):
        some = corners[start : start + _BATCH]
        batch_N3SS = np.repeat(image_3SS[None], len(some), axis=0)
        for covered_3SS, (row, column) in zip(batch_N3SS, some, strict=True):
            covered_3SS[:, edges[row] : edges[row + COVER], edges[column] : edges[column + COVER]] = colour_311
        for p, (row, column) in zip(probabilities(batch_N3SS)[:, target], some, strict=True):
            falls[row : row + COVER, column : column + COVER] += whole - float(p)
            windows[row : row + COVER, column : column + COVER] += 1
    return (falls / windows).astype(np.float32)
