"""Limits of a server. Requests beyond them are refused before they cost memory or time."""

from __future__ import annotations

from dataclasses import dataclass

FORMATS = ("JPEG", "PNG", "WEBP")
"""Pillow's names of the accepted formats. Its JPEG reader also reads MPO, which many phones write."""


@dataclass(frozen=True, kw_only=True)
class Limits:
    """Limits of a server; the defaults suit photographs, and a machine with 1 GB of free memory for each worker.

    Parameters
    ----------
    upload_bytes
        Bytes of one request: all its files and their framing together. Counted while they arrive.
    files
        Images in one request.
    pixels
        Width times height of an image, from its header, before anything is decoded.
    requests
        Requests in flight: running or waiting. One more is refused with 503.
    requests_per_client
        Requests in flight of one client address. One more is refused with 429.
    bytes_in_flight
        Bytes of all uploads in memory together. A request that would exceed it is refused with 503.
    upload_seconds
        Time for an upload to arrive. A slower one is refused with 408.
    scans
        Scans of a JPEG; one that cameras write has up to twelve, and each costs as much as the image.
    decoding_seconds, decoding_bytes
        Processor time, and memory beyond that of the program, for decoding an image. The process that takes more is
        killed, and another one takes its place.
    header_seconds
        Time for the header of a request to arrive, from the first byte of it or the start of the connection.
    connections, connections_per_client
        Open connections, and those of one client address. One more closes the one that has been idle for longest.
    prediction_seconds
        Time for the prediction after the upload, waiting included. A later one is given up with 503.
    stop_seconds
        Time for running requests to finish after the server receives a signal to stop.
    """

    upload_bytes: int = 20 * 2**20
    files: int = 8
    pixels: int = 50_000_000
    requests: int = 128
    requests_per_client: int = 64
    bytes_in_flight: int = 256 * 2**20
    scans: int = 200
    decoding_seconds: float = 10.0
    decoding_bytes: int = 2**30
    header_seconds: float = 10.0
    connections: int = 1024
    connections_per_client: int = 256
    upload_seconds: float = 30.0
    prediction_seconds: float = 60.0
    stop_seconds: int = 60
