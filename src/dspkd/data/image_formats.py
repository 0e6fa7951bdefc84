"""The formats in which images are opened: no others, whatever the name of a file says.

Pillow reads more, some of it by other programs (Ghostscript for EPS), which no file of unknown origin may start.
"""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import IO

from PIL import Image, UnidentifiedImageError

from dspkd.data import dicom, heif

FORMATS = ("JPEG", "MPO", "PNG", "WEBP", "GIF", "BMP", "TIFF", "AVIF")
"""Pillow's names of the formats that are always opened, AVIF where this Pillow reads it."""


def open_image(file: Path | IO[bytes]) -> Image.Image:
    """Return the image in a file of one of the `FORMATS`, not yet decoded.

    Raises
    ------
    Exception
        Of any kind: decoders raise many for damaged files. `reason` has it in words.
    """
    return Image.open(file, formats=_readable())


def open_photograph(path: Path) -> Image.Image:
    """Return an image as `open_image` does, or a photograph in DICOM (``.dcm``) or HEIF; raises as it does."""
    if str(path).lower().endswith(".dcm"):
        return dicom.photograph(path)
    try:
        return open_image(path)
    except UnidentifiedImageError:
        if not heif.is_heif(path):
            raise
        return heif.opened(path)


def reason(error: Exception) -> str:
    """Return in words why an image cannot be read, from what its decoder raised."""
    if isinstance(error, MemoryError):
        return "decoding it needs more memory than there is"
    if isinstance(error, IsADirectoryError):
        return "it is a folder, or one that cannot be listed"
    return " ".join(str(error).split()) or type(error).__name__


@cache
def _readable() -> list[str]:
    Image.init()
    return [name for name in FORMATS if name in Image.OPEN]
