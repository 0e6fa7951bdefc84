"""Admission control: limits on requests in flight and on the memory of their uploads."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager

from fastapi import HTTPException

from dspkd.deploy.serve.limits import Limits

RETRY_AFTER = {"Retry-After": "1"}


def busy(reason: str) -> HTTPException:
    """Return the error 503: try again in a second."""
    return HTTPException(503, f"{reason}; try again in a second", headers=RETRY_AFTER)


class Slot:
    """An admitted request, and the bytes of its upload that are in memory."""

    def __init__(self, admission: Admission) -> None:
        self._admission = admission
        self.bytes = 0

    def add_bytes(self, count: int) -> None:
        """Count `count` more bytes; 413 if this request has too many, 503 if all together have."""
        self.bytes += count
        self._admission.bytes_in_flight += count
        limits = self._admission.limits
        if self.bytes > limits.upload_bytes:
            raise HTTPException(413, f"the upload has more than {limits.upload_bytes:,} bytes, which is the limit")
        if self._admission.bytes_in_flight > limits.bytes_in_flight:
            raise busy("too many uploads at once")


class Admission:
    """Admits requests within the limits. All of it runs on the event loop's thread, so that it needs no lock.

    Parameters
    ----------
    limits
        Limits on requests and memory, of one client address and of all together.

    Attributes
    ----------
    in_flight
        Requests that are running or waiting.
    bytes_in_flight
        Bytes of their uploads in memory.
    """

    def __init__(self, limits: Limits) -> None:
        self.limits = limits
        self.in_flight = 0
        self.bytes_in_flight = 0
        self._of_client: Counter[str] = Counter()

    @contextmanager
    def admit(self, client: str) -> Iterator[Slot]:
        """Admit a request of this client address; 503 if the server is full, 429 if the client has its share."""
        if self.in_flight >= self.limits.requests:
            raise busy(f"{self.in_flight} requests are in flight, which is the limit")
        if self._of_client[client] >= self.limits.requests_per_client:
            reason = f"{self.limits.requests_per_client} requests of this address are in flight, which is its limit"
            raise HTTPException(429, f"{reason}; try again in a second", headers=RETRY_AFTER)
        slot = Slot(self)
        self.in_flight += 1
        self._of_client[client] += 1
        try:
            yield slot
        finally:
            self.in_flight -= 1
            self.bytes_in_flight -= slot.bytes
            self._of_client[client] -= 1
            if not self._of_client[client]:
                del self._of_client[client]  # else every client address would be kept
