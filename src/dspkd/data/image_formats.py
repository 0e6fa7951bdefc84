"""The formats in which images are opened: no others, whatever the name of a file says.

Pillow reads more, some of it by other programs (Ghostscript for EPS), which no file of unknown origin may start.
"""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import IO

from PIL import Image, UnidentifiedImageError

from dspkd.data import dicom

FORMATS = ("JPEG", "MPO", "PNG", "WEBP", "GIF", "BMP", "TIFF", "AVIF")
"""Pillow's names of the formats that are always opened, AVIF where this Pillow reads it."""

_BITS, _PHOTOMETRIC, _PLANES = 258, 262, 284
"""Tags of TIFF: the bits of each colour, whether 0 is white, and whether each colour has a plane of its own."""

_HEIF_BRANDS = {b"heic", b"heix", b"hevc", b"hevx", b"heim", b"heis", b"mif1", b"msf1"}


def open_image(file: Path | IO[bytes]) -> Image.Image:
    """Return the image in a file of one of the `FORMATS`, not yet decoded.

    Raises
    ------
    Exception
        Of any kind: decoders raise many for damaged files. `reason` has it in words.
    """
    image = Image.open(file, formats=_readable())
    image.filename = ""  # by a name Pillow maps an uncompressed TIFF with its sides as turned, which scrambles it
    if _is_misread(image):
        image.close()
        raise ValueError("a TIFF of 16 bits with a plane for each colour, uncompressed; save it as PNG")
    return image


def open_photograph(file: Path | IO[bytes]) -> Image.Image:
    """Return an image as `open_image` does, or a photograph in DICOM (a path that ends in ``.dcm``) or in HEIF.

    Raises
    ------
    Exception
        As `open_image` does; ValueError, with the command that installs it, where pydicom or pillow-heif is missing.
    """
    if isinstance(file, Path) and str(file).lower().endswith(".dcm"):
        return dicom.photograph(file)
    try:
        return open_image(file)
    except UnidentifiedImageError:
        if not _is_heif(file):
            raise
        return _open_heif(file)


def has_white_at_zero(image: Image.Image) -> bool:
    """Return whether 0 is white in an image, not yet decoded, whose values Pillow gives as they are: in 16 bits."""
    return image.mode.startswith("I") and getattr(image, "tag_v2", {}).get(_PHOTOMETRIC) == 0


def reason(error: Exception) -> str:
    """Return in words why an image cannot be read, from what its decoder raised."""
    if isinstance(error, MemoryError):
        return "decoding it needs more memory than there is"
    if isinstance(error, IsADirectoryError):
        return "it is a folder, or one that cannot be listed"
    return " ".join(str(error).split()) or type(error).__name__


def _is_misread(image: Image.Image) -> bool:
    """Return whether Pillow takes each half of 16 bits for a pixel."""
    tags = getattr(image, "tag_v2", {})
    planes = tags.get(_PLANES) == 2 and max(tags.get(_BITS, (1,))) > 8
    return planes and any(codec == "raw" for codec, *_ in getattr(image, "tile", ()))


def _is_heif(file: Path | IO[bytes]) -> bool:
    """Return whether the content of a file is HEIF, whatever its name."""
    if isinstance(file, Path):
        with file.open("rb") as content:
            head = content.read(12)
    else:
        file.seek(0)
        head = file.read(12)
    return head[4:8] == b"ftyp" and head[8:] in _HEIF_BRANDS


def _open_heif(file: Path | IO[bytes]) -> Image.Image:
    try:
        from pillow_heif import register_heif_opener
    except ImportError:
        raise ValueError("reading HEIC needs pillow-heif: pip install 'dspkd[heic]'") from None
    register_heif_opener()
    return Image.open(file, formats=["HEIF"])


@cache
def _readable() -> list[str]:
    Image.init()
    return [name for name in FORMATS if name in Image.OPEN]
