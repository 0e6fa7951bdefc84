"""What is asked of an uploaded file before it is decoded."""

from __future__ import annotations

import io

from fastapi import HTTPException
from PIL import Image

from dspkd.deploy.serve.limits import FORMATS, Limits


def check(data: bytes, limits: Limits) -> None:
    """Look at a file's header: 415 for what is no JPEG, PNG or WebP, 413 for too many pixels.

    No more than the header is read, so that a small file which claims to be huge costs nothing.
    """
    try:
        with Image.open(io.BytesIO(data), formats=FORMATS) as image:
            width, height = image.size
    except (Image.DecompressionBombError, Image.DecompressionBombWarning):  # Pillow's limits, which are higher
        raise HTTPException(413, f"more than the {limits.pixels:,} pixels that are accepted") from None
    except Exception:  # a stranger's bytes: Pillow's readers raise whatever a damaged header leads them to
        raise HTTPException(415, "no JPEG, PNG or WebP image") from None
    if width * height > limits.pixels:
        raise HTTPException(413, f"{width} x {height} pixels are more than the {limits.pixels:,} that are accepted")
