"""Which part of an image an answer rests on: cover one part after the other, and see how far its probability falls.

It needs no gradient and no look inside the network, so that a server, a browser and a phone compute the same map from
the same bundle. ``static/occlusion.js`` is the same in JavaScript.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

CELLS = 8
"""Cells of the map along each side. Inferred: our choice."""

COVER = 2
"""Cells that are covered at once along each side, a quarter of the image. Inferred: our choice."""

_AT_ONCE = 7

Floats = NDArray[np.float32]


def heat_map(probabilities: Callable[[Floats], NDArray[np.float64]], image_3SS: Floats, answer: int) -> Floats:
    r"""Return how much of an answer's probability each cell of an image carries.

    .. math:: h_c = \frac{1}{|W_c|} \sum_{w \in W_c} \big(p(x) - p(x \text{ with } w \text{ covered})\big)

    where :math:`W_c` are the windows of ``COVER`` x ``COVER`` cells that lie over cell c. They move by one cell, so
    that one in the middle is covered four times, one in a corner once. What is covered shows the mean colour of the
    image.

    Parameters
    ----------
    probabilities
        Answers a batch ``[N, 3, S, S]`` in [0, 1] with ``[N, K]``.
    image_3SS
        The image as the network gets it, ``[3, S, S]`` float32 in [0, 1], S at least ``CELLS``.
    answer
        Index of the class asked about, 0 to K - 1.

    Returns
    -------
    Floats
        ``[CELLS, CELLS]``, differences of probabilities: above 0 where covering lowers the answer's probability, which
        means that the cell speaks for it. Whether the network is right about it, a map cannot say.

    Notes
    -----
    1 + 49 passes of the network. Source: Zeiler and Fergus, *Visualizing and Understanding Convolutional Networks*,
    2014, section 4.2, with a grey square; the mean colour in its place is inferred.
    """
    edges = np.arange(CELLS + 1) * image_3SS.shape[-1] // CELLS
    colour_311 = image_3SS.mean(axis=(1, 2), dtype=np.float64).astype(np.float32)[:, None, None]
    corners = [(row, column) for row in range(CELLS - COVER + 1) for column in range(CELLS - COVER + 1)]
    whole = float(probabilities(image_3SS[None])[0, answer])
    falls, windows = np.zeros((CELLS, CELLS)), np.zeros((CELLS, CELLS))
    for start in range(0, len(corners), _AT_ONCE):
        some = corners[start : start + _AT_ONCE]
        batch_N3SS = np.repeat(image_3SS[None], len(some), axis=0)
        for covered_3SS, (row, column) in zip(batch_N3SS, some, strict=True):
            covered_3SS[:, edges[row] : edges[row + COVER], edges[column] : edges[column + COVER]] = colour_311
        for p, (row, column) in zip(probabilities(batch_N3SS)[:, answer], some, strict=True):
            falls[row : row + COVER, column : column + COVER] += whole - float(p)
            windows[row : row + COVER, column : column + COVER] += 1
    return (falls / windows).astype(np.float32)
