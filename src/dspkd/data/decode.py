"""From an image file to pixels."""

from __future__ import annotations

import struct
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import ExifTags, Image, ImageOps

from dspkd.data import dicom
from dspkd.data.artefacts import removed
from dspkd.data.table import Table
from dspkd.errors import DataError

DAMAGED = (OSError, SyntaxError, ValueError, EOFError, struct.error, Image.DecompressionBombError, Warning)
"""What Pillow raises for a damaged file; a warning is among it where the caller made warnings errors."""

_TURNED_A_QUARTER = {5, 6, 7, 8}
"""EXIF orientations of which width and height change places."""


def decode(path: Path, *, short_side: int | None = None, artefacts: Sequence[str] = ()) -> NDArray[np.uint8]:
    """Decode an image file.

    Parameters
    ----------
    path
        A file in any format that Pillow reads, or a photograph in DICOM (``.dcm``); of several frames, the first.
    short_side
        Resize so that the shorter side has exactly this many pixels and the longer one keeps the aspect, rounded;
        bilinear with antialiasing, larger too where the image is smaller. A JPEG at least four times larger is
        decoded at a fraction of its size, never less than twice `short_side`. None keeps the size.
    artefacts
        What to take out of the resized image, in this order: names of `dspkd.data.artefacts.REMOVERS`.

    Returns
    -------
    NDArray[np.uint8]
        ``[H, W, 3]`` RGB, upright as EXIF says. Transparent pixels show black behind them; 16-bit grey becomes
        8-bit by division by 257, other grey, palette and CMYK become RGB as Pillow converts them.

    Raises
    ------
    DataError
        The file is missing, damaged or cut short, its pixels are of an unknown range, or there are more of them
        than ``PIL.Image.MAX_IMAGE_PIXELS``; or there is no such artefact.
    """
    try:
        with dicom.photograph(path) if str(path).lower().endswith(".dcm") else Image.open(path) as image:
            pixels = np.array(upright_rgb(image, short_side))  # a copy, since Pillow lends its memory read-only
    except DAMAGED as e:
        raise DataError(f"{path}: not a readable image: {e}") from None
    return removed(pixels, artefacts)


def centre(image: NDArray[np.uint8], size: int) -> NDArray[np.uint8]:
    """Return the middle ``[size, size, 3]`` of an image."""
    top, left = (image.shape[0] - size) // 2, (image.shape[1] - size) // 2
    return image[top : top + size, left : left + size]


def judged(path: Path, *, size: int, short_side: int, artefacts: Sequence[str] = ()) -> NDArray[np.uint8]:
    """Return what a network is judged by, ``[size, size, 3]``: the middle of an image; raises as `decode` does."""
    return np.ascontiguousarray(centre(decode(path, short_side=short_side, artefacts=artefacts), size))


def upright_rgb(image: Image.Image, short_side: int | None = None) -> Image.Image:
    """Return the image turned upright, in RGB, and resized as `decode` does it; it may be changed itself.

    Raises
    ------
    One of `DAMAGED`.
    """
    width, height = image.size
    # Pillow itself only warns between this number and its double, and who hears the warning depends on the caller.
    if Image.MAX_IMAGE_PIXELS is not None and width * height > Image.MAX_IMAGE_PIXELS:
        raise ValueError(f"{width} x {height} pixels are more than {Image.MAX_IMAGE_PIXELS}; make it smaller")
    if image.getexif().get(ExifTags.Base.Orientation) in _TURNED_A_QUARTER:
        width, height = height, width
    if short_side is not None:
        scale = short_side / min(width, height)
        # Decoding to twice the size leaves the antialiasing to the resize below.
        image.draft(None, (round(2 * scale * image.width), round(2 * scale * image.height)))
    ImageOps.exif_transpose(image, in_place=True)
    rgb = _rgb(image)
    if short_side is not None:
        rgb = rgb.resize((round(width * scale), round(height * scale)), Image.Resampling.BILINEAR)
    return rgb


def _rgb(image: Image.Image) -> Image.Image:
    """Return the image in RGB."""
    if image.mode == "F":
        raise ValueError("floating-point pixels have no known range; save the image with 8 or 16 bits")
    if image.mode.startswith("I"):
        grey = np.asarray(image)
        if grey.min() < 0 or grey.max() > 65535:
            raise ValueError(f"grey values {grey.min()} to {grey.max()} are not 16-bit; save with 8 or 16 bits")
        return Image.fromarray(np.rint(grey / 257).astype(np.uint8)).convert("RGB")
    if image.has_transparency_data:
        black = Image.new("RGBA", image.size, (0, 0, 0, 255))
        return Image.alpha_composite(black, image.convert("RGBA")).convert("RGB")
    return image.convert("RGB")


def check(table: Table, log: Callable[[str], None] | None = None) -> None:
    """Decode every image of a table once, so that no damaged one stops a run hours later.

    Parameters
    ----------
    table
        Its images are decoded in full: a file that was cut short shows it nowhere else.
    log
        Is told at the end how many images were decoded.

    Raises
    ------
    DataError
        Some do not decode; the message has their number and the first three.
    """
    with ThreadPoolExecutor() as pool:
        bad = [complaint for complaint in pool.map(_complaint, table.paths) if complaint]
    if bad:
        raise damaged(table, bad)
    if log is not None:
        log(f"{len(table):,} images decoded, none damaged")


def damaged(table: Table, complaints: Sequence[str]) -> DataError:
    """Return the error that says how many images of a table do not decode, and what is wrong with the first three."""
    listed = "\n  ".join(complaints[:3])
    return DataError(
        f"{table.root}: {len(complaints)} of {len(table)} images do not decode; mend or remove them:\n  {listed}"
        + ("\n  ..." if len(complaints) > 3 else "")
    )


def _complaint(path: Path) -> str:
    """Return what is wrong with an image, "" if nothing."""
    try:
        decode(path)
    except DataError as e:
        return str(e)
    return ""
