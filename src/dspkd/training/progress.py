"""What a run reports while it prepares and trains, and to whom."""

from __future__ import annotations

from typing import Any, Protocol

from dspkd.runtime.progress import Counts


class ProgressListener(Protocol):
    """Receives the progress of a run, to display or record it."""

    def data(self, counts: Counts) -> None:
        """Receive the counts per set and class, before training starts."""
        ...

    def run(self, name: str, epochs: int) -> None:
        """Receive the run's name and the epochs of all its stages, before the first."""
        ...

    def note(self, text: str) -> None:
        """Receive a line that the user should see."""
        ...

    def prepare(self, what: str, done: int, of: int | None) -> None:
        """Receive the progress of work before training: `done` of `of` items; None where the total is unknown."""
        ...

    def step(self, stage: str, epoch: int, done: int, steps: int) -> None:
        """Receive the progress of an epoch, which counts from 1 in its stage: `done` of its `steps`."""
        ...

    def epoch(self, record: dict[str, Any]) -> None:
        """Receive the record of a finished epoch; a resumed stage first repeats those of its earlier epochs."""
        ...


class NullProgress:
    """A listener that ignores everything."""

    def data(self, counts: Counts) -> None:
        """Ignore it."""

    def run(self, name: str, epochs: int) -> None:
        """Ignore it."""

    def note(self, text: str) -> None:
        """Ignore it."""

    def prepare(self, what: str, done: int, of: int | None) -> None:
        """Ignore it."""

    def step(self, stage: str, epoch: int, done: int, steps: int) -> None:
        """Ignore it."""

    def epoch(self, record: dict[str, Any]) -> None:
        """Ignore it."""
