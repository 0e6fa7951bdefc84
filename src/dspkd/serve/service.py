"""What the routes of one server share."""

from __future__ import annotations

from dataclasses import dataclass

from dspkd.deploy.bundle import Bundle
from dspkd.serve.gate import Gate
from dspkd.serve.metrics import Metrics
from dspkd.serve.workers import Workers


@dataclass(frozen=True)
class Service:
    """A bundle, who is let in, who computes, and what is counted."""

    bundle: Bundle
    gate: Gate
    crew: Workers
    metrics: Metrics
