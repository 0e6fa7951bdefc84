"""The state that the routes of one server share."""

from __future__ import annotations

from dataclasses import dataclass

from dspkd.deploy.bundle.reader import Bundle
from dspkd.deploy.serve.admission import Admission
from dspkd.deploy.serve.metrics import Metrics
from dspkd.deploy.serve.workers import Workers


@dataclass(frozen=True)
class ServerState:
    """The bundle, the admission of requests, the threads that compute, and the metrics."""

    bundle: Bundle
    admission: Admission
    workers: Workers
    metrics: Metrics
