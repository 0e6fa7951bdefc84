"""Images that a bundle does not predict: such as show nothing, and files of several images, of which it would see one.

A network has probabilities for anything, and those for a black image may be a mole's. ``static/image.js`` of the page
refuses the same.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from dspkd.data import dicom
from dspkd.errors import DataError

SHORTEST = 32
"""Pixels of the shorter side below which an image shows nothing (inferred)."""

NARROWEST = 8
"""Range of the network's input, of 255 in each colour, below which it shows nothing (inferred)."""

_REDUCED, _MASK, _SUBFILE_TYPE = 1, 4, 254
"""Of the pages of a TIFF file: thumbnails and masks, and the tag that says so."""


def check_file(image: Image.Image, place: str) -> None:
    """Check that a file, opened and not yet decoded, has one image, large enough to show something.

    The formats of phones and of the web may have several (MPO, HEIF, animated WebP and PNG): the first is meant.

    Raises
    ------
    DataError
        It is a DICOM or TIFF file of several, or an animated GIF; or its shorter side is below `SHORTEST`.
    """
    several = {"TIFF": _pages, "GIF": _frames}.get(image.format or "", _frames_of_dicom)
    if (count := several(image)) > 1:
        raise DataError(f"{place}: {count} frames; save each as an image")
    width, height = image.size
    if min(width, height) < SHORTEST:
        raise DataError(
            f"{place}: {width} x {height} pixels; the shorter side of an image must have {SHORTEST} or more"
        )


def check_input(image_3SS: NDArray[np.float32], place: str) -> None:
    """Check that what a network sees of an image is not of one colour.

    Parameters
    ----------
    image_3SS
        The network's input, in [0, 1].

    Raises
    ------
    DataError
        In each of red, green and blue its values are within less than `NARROWEST` of 255.
    """
    values = 255 * float((image_3SS.max(axis=(1, 2)) - image_3SS.min(axis=(1, 2))).max())
    if round(values) < NARROWEST:
        raise DataError(f"{place}: shows nothing: of one colour within {round(values)} of 255, as if black or white")


def _frames_of_dicom(image: Image.Image) -> int:
    return int(image.info.get(dicom.FRAMES, 1))


def _frames(image: Any) -> int:
    return int(image.n_frames) if image.is_animated else 1


def _pages(image: Any) -> int:
    """Return how many pages of a TIFF file are images of their own: no thumbnails, no masks."""
    width, height = image.size
    count = 0
    for page in range(image.n_frames):
        image.seek(page)
        reduced = int(image.tag_v2.get(_SUBFILE_TYPE, 0)) & (_REDUCED | _MASK)
        count += not reduced and 2 * image.width >= width and 2 * image.height >= height
    image.seek(0)
    return count
