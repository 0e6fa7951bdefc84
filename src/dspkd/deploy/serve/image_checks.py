"""Checks of an uploaded file before it is decoded."""

from __future__ import annotations

import io

from PIL import Image

from dspkd.deploy.serve.limits import FORMATS, Limits
from dspkd.errors import DataError

_START_OF_SCAN = b"\xff\xda"


class RefusedImageError(DataError):
    """A file that the server does not decode.

    Attributes
    ----------
    status
        The status of the response: 413 or 415.
    """

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status

    def __reduce__(self) -> tuple[type[RefusedImageError], tuple[int, str]]:
        return RefusedImageError, (self.status, str(self))


def check(data: bytes, limits: Limits) -> None:
    """Check a file's header, so that a small file with a huge size in its header costs nothing.

    Raises
    ------
    RefusedImageError
        415: it is not a JPEG, PNG or WebP image. 413: it has too many pixels, or a JPEG has too many scans.
    """
    try:
        with Image.open(io.BytesIO(data), formats=FORMATS) as image:
            (width, height), form = image.size, image.format
    except (Image.DecompressionBombError, Image.DecompressionBombWarning):  # Pillow's limits, which are higher
        raise RefusedImageError(413, f"more than {limits.pixels:,} pixels, which is the limit") from None
    except Exception:  # untrusted bytes: Pillow's readers raise many kinds of errors
        raise RefusedImageError(415, "not a JPEG, PNG or WebP image") from None
    if width * height > limits.pixels:
        raise RefusedImageError(413, f"{width} x {height} pixels are more than {limits.pixels:,}, which is the limit")
    # The marker is nowhere within a scan. A thumbnail and another image in the file have scans of their own.
    if form in {"JPEG", "MPO"} and (scans := data.count(_START_OF_SCAN)) > limits.scans:
        raise RefusedImageError(413, f"a JPEG of {scans:,} scans; {limits.scans} is the limit; save it anew")
