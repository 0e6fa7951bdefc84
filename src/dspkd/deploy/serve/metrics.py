"""Counters of a server for Prometheus. They contain nothing of an image, and no file name."""

from __future__ import annotations

import time
from collections.abc import Callable

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from starlette.types import ASGIApp, Message, Receive, Scope, Send

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
_SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60)


class Metrics:
    """Counters of one server, in their own registry.

    Parameters
    ----------
    in_flight
        Returns the number of requests that are running or waiting.
    bytes_in_flight
        Returns the bytes of uploads in memory.
    """

    def __init__(self, *, in_flight: Callable[[], int], bytes_in_flight: Callable[[], int]) -> None:
        self._registry = own = CollectorRegistry()
        self.requests = Counter("dspkd_requests", "Requests.", ["path", "status"], registry=own)
        self.request_seconds = Histogram(
            "dspkd_request_seconds",
            "Time from a request's header to its response.",
            ["path"],
            buckets=_SECONDS,
            registry=own,
        )
        self._images = Counter("dspkd_images", "Images predicted.", ["top", "refer"], registry=own)
        self._image_seconds = Histogram(
            "dspkd_image_seconds", "Decoding and network, without waiting.", buckets=_SECONDS, registry=own
        )
        self._refused = Counter("dspkd_images_refused", "Files that could not be read as images.", registry=own)
        Gauge("dspkd_requests_inside", "Requests that are running or waiting.", registry=own).set_function(in_flight)
        Gauge("dspkd_upload_bytes_held", "Bytes of uploads in memory.", registry=own).set_function(bytes_in_flight)

    def count_image(self, top: str | None, *, refer: bool, seconds: float | None) -> None:
        """Count an image by its predicted class; None for an image that was refused."""
        if top is None or seconds is None:
            self._refused.inc()
            return
        self._images.labels(top, str(refer).lower()).inc()
        self._image_seconds.observe(seconds)

    def text(self) -> bytes:
        """Return all metrics in Prometheus' text format."""
        return generate_latest(self._registry)


class CountRequests:
    """Middleware that counts every request under the path of its route, so that unknown paths add no counters."""

    def __init__(self, app: ASGIApp, metrics: Metrics) -> None:
        self._app, self._metrics = app, metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request to the application, and count it."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        started, status = time.perf_counter(), 500

        async def send_and_note_status(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        try:
            await self._app(scope, receive, send_and_note_status)
        finally:
            path = getattr(scope.get("route"), "path", "other")
            self._metrics.requests.labels(path, str(status)).inc()
            self._metrics.request_seconds.labels(path).observe(time.perf_counter() - started)
