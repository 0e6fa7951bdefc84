"""What the routes of one server share."""

from __future__ import annotations

from dataclasses import dataclass

from dspkd.deploy.bundle.reader import Bundle
from dspkd.deploy.serve.admission import Gate
from dspkd.deploy.serve.metrics import Metrics
from dspkd.deploy.serve.workers import Workers


@dataclass(frozen=True)
class Service:
    """A bundle, who is let in, who computes, and what is counted."""

    bundle: Bundle
    gate: Gate
    crew: Workers
    metrics: Metrics
