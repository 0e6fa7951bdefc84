"""From an image in any form to the input of a bundle's network, exactly as docs/bundle-format.md specifies.

Images are decoded in full size, without the scaled decoding by which training reads large JPEGs: other platforms cannot
repeat that, and the same bundle would give other predictions there.
"""

from __future__ import annotations

import io
import os
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError
from PIL.ImageFile import ImageFile

from dspkd.data.artefacts import removed
from dspkd.data.decode import LONGEST, upright_rgb
from dspkd.data.image_formats import FORMATS, open_photograph, reason
from dspkd.deploy.bundle import refusals
from dspkd.deploy.bundle.spec import Preprocessing
from dspkd.errors import DataError

Pixels = NDArray[np.float32]
AnyImage = str | os.PathLike[str] | bytes | bytearray | memoryview | Image.Image | NDArray[np.uint8]
"""A file, its bytes, a Pillow image, or ``[H, W, 3]`` uint8 RGB."""


def decode(image: AnyImage) -> Image.Image:
    """Return an image in its full size, upright, in 8-bit RGB.

    Parameters
    ----------
    image
        See `AnyImage`. Of a Pillow image the current frame is used, and the image is not changed; of a file with
        several frames, the first. A ``.dcm`` file needs pydicom, and one in HEIF, as iPhones write it, pillow-heif.

    Raises
    ------
    DataError
        It is none of these, missing, damaged, truncated, in no format that is read here, of unknown range, larger than
        ``PIL.Image.MAX_IMAGE_PIXELS``, or more than `LONGEST` times as long as wide.
    """
    return _decoded(image)


def of_photograph(image: AnyImage, steps: Preprocessing) -> tuple[Pixels, dict[str, float]]:
    """Return the network's input for an image to be predicted, and the seconds that decoding and resizing took.

    Raises
    ------
    DataError
        As `decode` does; or it shows nothing, or is a file of several images: see `dspkd.deploy.bundle.refusals`.
    """
    started = time.perf_counter()
    rgb = _decoded(image, to_predict=True)
    decoded = time.perf_counter()
    image_3SS = apply(rgb, steps)
    refusals.check_input(image_3SS, _place(image))
    return image_3SS, {"decode": decoded - started, "resize": time.perf_counter() - decoded}


def apply(rgb: Image.Image, steps: Preprocessing) -> Pixels:
    """Resize, crop and scale a decoded image: ``[3, size, size]`` float32, RGB in [0, 1], contiguous."""
    width, height = resized_to(rgb.width, rgb.height, steps.short_side)
    # One pass at a time: of an image more than twice as high as wide, some Pillows resize the columns first.
    across = rgb.resize((width, rgb.height), Image.Resampling.BILINEAR)
    small = across.resize((width, height), Image.Resampling.BILINEAR)
    left, top, size = (width - steps.size) // 2, (height - steps.size) // 2, steps.size
    if steps.artefacts:
        clean_HW3 = removed(np.array(small), steps.artefacts)
        kept_HW3 = clean_HW3[top : top + size, left : left + size]
    else:
        kept_HW3 = np.asarray(small.crop((left, top, left + size, top + size)))
    image_3HW = np.empty((3, size, size), np.float32)
    np.divide(kept_HW3.transpose(2, 0, 1), np.float32(255), out=image_3HW, dtype=np.float32)
    return image_3HW


def resized_to(width: int, height: int, short_side: int) -> tuple[int, int]:
    """Return width and height after resizing: the shorter becomes `short_side`, the longer is rounded half up."""
    short, long = min(width, height), max(width, height)
    other = (2 * long * short_side + short) // (2 * short)
    return (short_side, other) if width <= height else (other, short_side)


def _place(image: AnyImage) -> str:
    if isinstance(image, np.ndarray):
        return "an array"
    return str(Path(image)) if isinstance(image, str | os.PathLike) else "an image"


def _decoded(image: AnyImage, *, to_predict: bool = False) -> Image.Image:
    place = _place(image)
    try:
        with _opener(image)() as opened:
            _check_aspect(opened, place)
            if to_predict:
                refusals.check_file(opened, place)
            return upright_rgb(opened)
    except DataError:
        raise
    except FileNotFoundError:
        raise DataError(f"{place}: there is no such file") from None
    except UnidentifiedImageError:
        raise DataError(f"{place}: not an image of a known format; known: {', '.join(FORMATS)}") from None
    except Exception as error:  # of the decoder: damaged files raise errors of many kinds
        raise DataError(f"{place}: not a readable image: {reason(error)}") from None


def _opener(image: AnyImage) -> Callable[[], Image.Image]:
    if isinstance(image, np.ndarray):
        if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3 or not image.size:
            raise DataError(f"an array: {image.dtype} {list(image.shape)}; want uint8 [H, W, 3], RGB")
        return partial(Image.fromarray, image)
    if isinstance(image, Image.Image):
        return partial(_copied, image)
    if isinstance(image, bytes | bytearray | memoryview):
        return partial(open_photograph, io.BytesIO(image))
    if not isinstance(image, str | os.PathLike):
        what = "several images are for predict_many" if isinstance(image, list | tuple) else "want a file or an image"
        raise DataError(f"an image: {type(image).__name__}; {what}")
    return partial(open_photograph, Path(image))


def _copied(image: Image.Image) -> Image.Image:
    """Return a copy; by its file's name Pillow would map an uncompressed TIFF with its sides as turned, scrambled."""
    if not isinstance(image, ImageFile):
        return image.copy()
    name, image.filename = image.filename, ""
    try:
        return image.copy()
    finally:
        image.filename = name


def _check_aspect(image: Image.Image, place: str) -> None:
    width, height = image.size
    if max(width, height) > LONGEST * min(width, height):
        raise DataError(f"{place}: {width} x {height} pixels; an image may be {LONGEST} times as long as wide, no more")
