"""What a server counts, for Prometheus. Nothing of an image is in it, and no name of a file."""

from __future__ import annotations

import time
from collections.abc import Callable

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from starlette.types import ASGIApp, Message, Receive, Scope, Send

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
_SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60)


class Metrics:
    """Counters of one server, in a registry of its own.

    Parameters
    ----------
    inside
        Returns the number of requests that are being answered or wait for it.
    held
        Returns the bytes of uploads in memory.
    """

    def __init__(self, *, inside: Callable[[], int], held: Callable[[], int]) -> None:
        self._all = own = CollectorRegistry()
        self.requests = Counter("dspkd_requests", "Requests.", ["path", "status"], registry=own)
        self.request_seconds = Histogram(
            "dspkd_request_seconds", "From a request's head to its answer.", ["path"], buckets=_SECONDS, registry=own
        )
        self._images = Counter("dspkd_images", "Images answered.", ["top", "refer"], registry=own)
        self._image_seconds = Histogram(
            "dspkd_image_seconds", "Decoding and network, without waiting.", buckets=_SECONDS, registry=own
        )
        self._refused = Counter("dspkd_images_refused", "Files that could not be read as images.", registry=own)
        Gauge("dspkd_requests_inside", "Requests that hold a place.", registry=own).set_function(inside)
        Gauge("dspkd_upload_bytes_held", "Bytes of uploads in memory.", registry=own).set_function(held)

    def answered(self, top: str | None, *, refer: bool, seconds: float | None) -> None:
        """Count an image by its answer; None for one that had none."""
        if top is None or seconds is None:
            self._refused.inc()
            return
        self._images.labels(top, str(refer).lower()).inc()
        self._image_seconds.observe(seconds)

    def text(self) -> bytes:
        """Return all figures in Prometheus' text format."""
        return generate_latest(self._all)


class CountRequests:
    """Count every request under the path of its route, so that strange paths make no new counters."""

    def __init__(self, app: ASGIApp, metrics: Metrics) -> None:
        self._app, self._metrics = app, metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer as the application does, and count it."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        started, status = time.perf_counter(), 500

        async def noting_the_status(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        try:
            await self._app(scope, receive, noting_the_status)
        finally:
            path = getattr(scope.get("route"), "path", "other")
            self._metrics.requests.labels(path, str(status)).inc()
            self._metrics.request_seconds.labels(path).observe(time.perf_counter() - started)
