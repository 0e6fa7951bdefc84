"""The golden cases of a bundle: images and the outputs expected for them, with which a reader is checked."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from dspkd.deploy.bundle.json_values import at, line, number, short
from dspkd.deploy.bundle.reader import Bundle
from dspkd.errors import BundleError

GOLDEN = "golden/golden.json"
MOST_IMAGES, MOST_SIDES = 16, 4
"""Limits: golden images, of which `dspkd export` writes five, and dimensions of an array."""

LARGEST_TOLERANCE = 0.5
"""Limit of the tolerance of a logit, as a share of the range of the golden ones: beyond it, any output would pass."""


def expected_logits(bundle: Bundle, precision: str) -> tuple[NDArray[np.float32], float]:
    """Return the golden logits ``[N, K]`` of a model, and how far another machine's may be from them.

    Raises
    ------
    BundleError
        The file with them is broken, or they may be so far off that they check nothing.
    """
    place = f"{GOLDEN}: answers.{precision}"
    golden = at(at(bundle.read_json(GOLDEN), "answers", dict, GOLDEN), precision, dict, f"{GOLDEN}: answers")
    golden_NK = array(bundle, golden)
    tolerance = number(golden, "tolerance", place, (0.0, 1e6))
    if not tolerance <= largest_tolerance(golden_NK):
        raise BundleError(f"{place}.tolerance: {tolerance:g}, with which any output would pass")
    return golden_NK, tolerance


def largest_tolerance(golden_NK: NDArray[np.float32]) -> float:
    """Return the limit of the tolerance of a logit, beside these golden ones."""
    return max(0.01, LARGEST_TOLERANCE * float(np.ptp(golden_NK)))


def array(bundle: Bundle, entry: Any) -> NDArray[np.float32]:
    """Return a float32 array that golden.json names; its shape must match its number of bytes.

    Raises
    ------
    BundleError
        It does not, or there is no such array.
    """
    name, shape = line(entry, "file", GOLDEN), at(entry, "shape", list, GOLDEN)
    if len(shape) > MOST_SIDES or not all(type(side) is int and side > 0 for side in shape):
        raise BundleError(f"{GOLDEN}: {name}: shape {short(shape)}; want positive whole numbers, at most {MOST_SIDES}")
    content = bundle.read(name)
    count = 1
    for side in shape:
        count *= side  # in whole numbers of any size, so that no product overflows
    if len(content) != 4 * count:
        raise BundleError(f"{GOLDEN}: {name} has {len(content):,} bytes, which are not {short(shape)} float32")
    return np.frombuffer(content, "<f4").astype(np.float32).reshape(shape)
