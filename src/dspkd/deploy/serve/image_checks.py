"""Checks of an uploaded file before it is decoded."""

from __future__ import annotations

import io

from fastapi import HTTPException
from PIL import Image

from dspkd.deploy.serve.limits import FORMATS, Limits


def check(data: bytes, limits: Limits) -> None:
    """Check a file's header: 415 if it is not a JPEG, PNG or WebP image, 413 for too many pixels.

    Only the header is read, so that a small file with a huge size in its header costs nothing.
    """
    try:
        with Image.open(io.BytesIO(data), formats=FORMATS) as image:
            width, height = image.size
    except (Image.DecompressionBombError, Image.DecompressionBombWarning):  # Pillow's limits, which are higher
        raise HTTPException(413, f"more than {limits.pixels:,} pixels, which is the limit") from None
    except Exception:  # untrusted bytes: Pillow's readers raise many kinds of errors
        raise HTTPException(415, "not a JPEG, PNG or WebP image") from None
    if width * height > limits.pixels:
        raise HTTPException(413, f"{width} x {height} pixels are more than {limits.pixels:,}, which is the limit")
