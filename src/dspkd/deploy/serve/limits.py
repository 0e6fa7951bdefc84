"""What a server accepts at most. Whatever is above is refused before it costs memory or time."""

from __future__ import annotations

from dataclasses import dataclass

FORMATS = ("JPEG", "PNG", "WEBP")
"""Pillow's names of the formats that are read. Its reader of JPEG reads MPO too, as many phones write it."""


@dataclass(frozen=True, kw_only=True)
class Limits:
    """What a server accepts at most; the defaults suit photographs and a machine with 2 GB to spare.

    Parameters
    ----------
    upload_bytes
        Of one request, all its files and their framing together. Counted while they arrive.
    files
        Images in one request.
    pixels
        Width times height of an image, as its header says, before anything is decoded.
    places
        Requests that are being answered or wait for it. One more is refused with 503.
    share
        Of these places, those that one client address may hold. One more is refused with 429.
    held_bytes
        Of all uploads in memory together. A request that would exceed it is refused with 503.
    upload_seconds
        For an upload to arrive. A slower one is refused with 408.
    answer_seconds
        For the answer once the upload is there, waiting included. A later one is given up with 503.
    stop_seconds
        For what is running to finish after the server is told to stop.
    """

    upload_bytes: int = 20 * 2**20
    files: int = 8
    pixels: int = 50_000_000
    places: int = 128
    share: int = 64
    held_bytes: int = 256 * 2**20
    upload_seconds: float = 30.0
    answer_seconds: float = 60.0
    stop_seconds: int = 60
