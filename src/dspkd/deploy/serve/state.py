"""What the routes of one server share."""

from __future__ import annotations

from dataclasses import dataclass

from dspkd.deploy.bundle.reader import Bundle
from dspkd.deploy.serve.admission import Admission
from dspkd.deploy.serve.metrics import Metrics
from dspkd.deploy.serve.workers import Workers


@dataclass(frozen=True)
class ServerState:
    """A bundle, who is let in, who computes, and what is counted."""

    bundle: Bundle
    gate: Admission
    crew: Workers
    metrics: Metrics
