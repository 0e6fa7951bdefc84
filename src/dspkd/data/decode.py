"""Decode image files to pixels."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from dspkd.data.artefacts import removed
from dspkd.data.image_formats import has_white_at_zero, open_photograph, reason
from dspkd.data.orientation import orientation, upright
from dspkd.data.table import Table
from dspkd.errors import DamagedImagesError, DataError

LONGEST = 32
"""How many times as long as wide an image may be: resized, a longer one could fill the memory (inferred)."""

_HIGHEST_OF_12 = round(4095 / 257)

_SWAPS_SIDES = {5, 6, 7, 8}
"""EXIF orientations that swap width and height."""


def decode(path: Path, *, short_side: int | None = None, artefacts: Sequence[str] = ()) -> NDArray[np.uint8]:
    """Decode an image file.

    Parameters
    ----------
    path
        A file in one of `dspkd.data.image_formats.FORMATS`, a photograph in DICOM (``.dcm``), or in HEIF where
        `pillow-heif` is installed. Of several frames, the first; an animated GIF is refused.
    short_side
        Resize, up or down, so that the shorter side has exactly this many pixels and the longer one keeps the aspect
        ratio, rounded; bilinear with antialiasing. A JPEG at least four times larger is decoded at a fraction of its
        size, never less than twice `short_side`. None keeps the size.
    artefacts
        What to remove from the resized image, in this order: names of `dspkd.data.artefacts.REMOVERS`.

    Returns
    -------
    NDArray[np.uint8]
        ``[H, W, 3]`` RGB, upright by its EXIF orientation. Transparent pixels are laid over black; 16-bit grey becomes
        8-bit by division by 257; other grey, palette and CMYK become RGB as Pillow converts them.

    Raises
    ------
    DataError
        The file is missing, damaged or cut short, its pixels have an unknown range, or there are more of them than
        ``PIL.Image.MAX_IMAGE_PIXELS``; it is more than `LONGEST` times as long as wide, or nearly black in 16 bits, as
        one of 12 bits is; or an artefact's name is unknown.
    """
    try:
        with _opened(path) as image:
            pixels = np.array(upright_rgb(image, short_side))  # a copy, since Pillow lends its memory read-only
    except Exception as error:  # of the decoder: damaged files raise errors of many kinds
        raise DataError(f"{path}: not a readable image: {reason(error)}") from None
    return removed(pixels, artefacts)


def _opened(path: Path) -> Image.Image:
    """Return the image in a file, not yet decoded."""
    image = open_photograph(path)
    if image.format == "GIF" and getattr(image, "is_animated", False):
        image.close()
        raise ValueError("an animated GIF; save the frame to be used as an image of its own")
    return image


def centre(image: NDArray[np.uint8], size: int) -> NDArray[np.uint8]:
    """Return the centre crop ``[size, size, 3]`` of an image."""
    top, left = (image.shape[0] - size) // 2, (image.shape[1] - size) // 2
    return image[top : top + size, left : left + size]


def evaluation_crop(path: Path, *, size: int, short_side: int, artefacts: Sequence[str] = ()) -> NDArray[np.uint8]:
    """Return the input of a network in evaluation, ``[size, size, 3]``: the centre crop; raises as `decode` does."""
    return np.ascontiguousarray(centre(decode(path, short_side=short_side, artefacts=artefacts), size))


def upright_rgb(image: Image.Image, short_side: int | None = None) -> Image.Image:
    """Return the image upright, in RGB, and resized as `decode` does it; `image` itself may change.

    Raises
    ------
    Exception
        Of any kind, where it is damaged.
    """
    width, height = image.size
    # Pillow itself only warns between this number and its double, and the warning may be ignored.
    if Image.MAX_IMAGE_PIXELS is not None and width * height > Image.MAX_IMAGE_PIXELS:
        raise ValueError(f"{width} x {height} pixels are more than {Image.MAX_IMAGE_PIXELS}; make it smaller")
    if max(width, height) > LONGEST * min(width, height):
        raise ValueError(f"{width} x {height} pixels; an image may be {LONGEST} times as long as wide, no more")
    has_16_bits = image.mode.startswith("I") or any(";16" in str(tile[3]) for tile in getattr(image, "tile", ()))
    if orientation(image) in _SWAPS_SIDES:
        width, height = height, width
    if short_side is not None:
        scale = short_side / min(width, height)
        # Decoding at twice the size leaves the antialiasing to the resize below.
        image.draft(None, (round(2 * scale * image.width), round(2 * scale * image.height)))
    inverted = has_white_at_zero(image)
    rgb = _rgb(upright(image), inverted=inverted)
    if has_16_bits and 0 < max(np.ravel(rgb.getextrema())) <= _HIGHEST_OF_12:
        raise ValueError("nearly black, perhaps 12 bits in 16; scale it to 0 to 65535, or save it with 8 bits")
    if short_side is not None:
        rgb = rgb.resize((round(width * scale), round(height * scale)), Image.Resampling.BILINEAR)
    return rgb


def _rgb(image: Image.Image, *, inverted: bool) -> Image.Image:
    """Return the image in RGB; `inverted` is whether 0 is white in 16-bit grey."""
    if image.mode == "F":
        raise ValueError("floating-point pixels have no known range; save the image with 8 or 16 bits")
    if image.mode.startswith("I"):
        grey = np.asarray(image)
        if grey.min() < 0 or grey.max() > 65535:
            raise ValueError(f"grey values {grey.min()} to {grey.max()} are not 16-bit; save with 8 or 16 bits")
        nearest = np.rint(np.arange(65536) / 257).astype(np.uint8)
        nearest = nearest[::-1] if inverted else nearest
        rows = [nearest[row] for row in grey]  # row by row, since all at once takes twenty times the image
        return Image.fromarray(np.stack(rows)).convert("RGB")
    if image.has_transparency_data:
        black = Image.new("RGBA", image.size, (0, 0, 0, 255))
        return Image.alpha_composite(black, image.convert("RGBA")).convert("RGB")
    return image.convert("RGB")


def check(table: Table, rows: Iterable[int] | None = None, log: Callable[[str], None] | None = None) -> None:
    """Decode every image of a table once, so that a damaged file does not stop a run hours later.

    Parameters
    ----------
    table
        Its images are decoded in full: only so is a file found that was cut short.
    rows
        Rows to decode; by default all.
    log
        Called at the end with the number of images decoded.

    Raises
    ------
    DamagedImagesError
        Some do not decode; the message has their number and the first three.
    """
    chosen = [int(row) for row in (range(len(table)) if rows is None else rows)]
    with ThreadPoolExecutor() as pool:
        found = pool.map(_problem, [table.paths[row] for row in chosen])
        problems = {row: problem for row, problem in zip(chosen, found, strict=True) if problem}
    if problems:
        raise damaged(table, problems)
    if log is not None:
        log(f"{len(chosen):,} images decoded, none damaged")


def damaged(
    table: Table, problems: Mapping[int, str], *, remedy: str = "fix or remove them", shown: int | None = 3
) -> DamagedImagesError:
    """Return the error for the images in these rows of a table, which do not decode: their number, the first `shown`.

    None shows all.
    """
    listed = "\n  ".join([problems[row] for row in sorted(problems)][:shown])
    return DamagedImagesError(
        f"{table.root}: {len(problems)} of {len(table)} images do not decode; {remedy}:\n  {listed}"
        + ("\n  ..." if shown is not None and len(problems) > shown else ""),
        problems,
    )


def _problem(path: Path) -> str:
    """Return why an image does not decode, "" if it does."""
    try:
        decode(path)
    except DataError as e:
        return str(e)
    return ""
