"""Checks of an uploaded file before it is decoded."""

from __future__ import annotations

import io
import re

from PIL import Image

from dspkd.deploy.serve.limits import FORMATS, Limits
from dspkd.errors import DataError

_START_OF_SCAN = b"\xff\xda"

_SEGMENT = re.compile(rb"\xff[\xc0-\xcf\xd9-\xfe]")
"""A marker with a length after it, or the end of the image (0xD9): those that have neither are within scans."""


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
    # Wherever these two bytes are, there are at least as many as scans: most files need no closer look.
    may_have_many = form in {"JPEG", "MPO"} and data.count(_START_OF_SCAN) > limits.scans
    if may_have_many and (scans := _scans(data)) > limits.scans:
        raise RefusedImageError(413, f"a JPEG of {scans:,} scans; {limits.scans} is the limit; save it again")


def _scans(jpeg: bytes) -> int:
    """Return the scans of a JPEG up to its end: not those of a thumbnail in a segment, nor what looks so after it."""
    count, position = 0, 2
    while (marker := _SEGMENT.search(jpeg, position)) and marker.group() != b"\xff\xd9":
        count += marker.group() == _START_OF_SCAN
        position = marker.end() + max(2, int.from_bytes(jpeg[marker.end() : marker.end() + 2], "big"))
    return count
