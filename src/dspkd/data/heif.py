"""Photographs in HEIF files, such as those of iPhones, read with pillow-heif: ``pip install 'dspkd[heic]'``."""

from __future__ import annotations

from pathlib import Path

from PIL import Image

_BRANDS = {b"heic", b"heix", b"hevc", b"hevx", b"heim", b"heis", b"mif1", b"msf1"}


def is_heif(path: Path) -> bool:
    """Return whether the content of a file is HEIF, whatever its name."""
    with path.open("rb") as file:
        head = file.read(12)
    return head[4:8] == b"ftyp" and head[8:] in _BRANDS


def opened(path: Path) -> Image.Image:
    """Return the image in a HEIF file; ValueError where pillow-heif is missing, OSError for a damaged file."""
    try:
        from pillow_heif import register_heif_opener
    except ImportError:
        raise ValueError("reading HEIC needs pillow-heif: pip install 'dspkd[heic]'") from None
    register_heif_opener()
    return Image.open(path, formats=["HEIF"])
