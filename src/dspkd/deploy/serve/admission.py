"""Who is let in: places for requests, memory for uploads, and what is said to those for whom there is none."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager

from fastapi import HTTPException

from dspkd.deploy.serve.limits import Limits

RETRY_AFTER = {"Retry-After": "1"}


def busy(why: str) -> HTTPException:
    """Return the refusal that says: come again in a second."""
    return HTTPException(503, f"{why}; try again in a second", headers=RETRY_AFTER)


class Slot:
    """The place of one request, and the bytes of its upload that are in memory."""

    def __init__(self, gate: Admission) -> None:
        self._gate = gate
        self.held = 0

    def hold(self, count: int) -> None:
        """Count `count` more bytes; 413 where this request has too many, 503 where all together have."""
        self.held += count
        self._gate.held += count
        limits = self._gate.limits
        if self.held > limits.upload_bytes:
            raise HTTPException(413, f"the upload has more than the {limits.upload_bytes:,} bytes that are accepted")
        if self._gate.held > limits.held_bytes:
            raise busy("too many uploads at once")


class Admission:
    """Places for requests. All of it runs on the event loop's thread, so that nothing needs a lock.

    Parameters
    ----------
    limits
        How many places there are, and how many of them and how much memory one client and all of them may hold.
    """

    def __init__(self, limits: Limits) -> None:
        self.limits = limits
        self.inside = 0
        self.held = 0
        self._of_client: Counter[str] = Counter()

    @contextmanager
    def place(self, client: str) -> Iterator[Slot]:
        """Give a place to a request of this client address; 503 where all are taken, 429 where it has its share."""
        if self.inside >= self.limits.places:
            raise busy(f"{self.inside} requests are being answered, which is the limit")
        if self._of_client[client] >= self.limits.share:
            text = f"{self.limits.share} requests of this address are being answered, which is the limit for one"
            raise HTTPException(429, f"{text}; try again in a second", headers=RETRY_AFTER)
        place = Slot(self)
        self.inside += 1
        self._of_client[client] += 1
        try:
            yield place
        finally:
            self.inside -= 1
            self.held -= place.held
            self._of_client[client] -= 1
            if not self._of_client[client]:
                del self._of_client[client]  # else every address ever seen would stay
