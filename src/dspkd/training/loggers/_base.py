"""What a logger of training metrics is."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar


class Sink(ABC):
    """Writes the record of each epoch in one format.

    A record has the keys ``stage``, ``epoch`` (from 1 in each stage), ``lr``, ``train`` (losses by name), ``val``
    (metrics by name), ``best``, ``clipped`` (the share of steps whose gradient was clipped), ``seconds`` and
    ``cpu_seconds``. With a moving average of weights also ``ema``, its decay at the last step. Where terms keep a share
    of the gradient also ``share``: their ``weight`` at the end of the epoch, and their share of the ``gradient`` by
    running averages.
    """

    packages: ClassVar[tuple[str, ...]] = ()
    """What must be importable; installed by the extra of the logger's name."""
    required: ClassVar[bool] = False
    """Whether training stops when writing fails; else the logger is switched off and training continues."""

    @abstractmethod
    def open(self, folder: Path, run: str, settings: Mapping[str, Any]) -> None:
        """Start to log the run called `run`, with these recipe settings, in the run folder `folder`.

        A resumed run opens its loggers again, and they receive all epochs from the first: what an earlier process
        wrote must be replaced or skipped, so that each epoch is logged once.
        """

    @abstractmethod
    def epoch(self, record: Mapping[str, Any], number: int) -> None:
        """Write the record of epoch `number`, counted from 1 over all stages."""

    @abstractmethod
    def close(self) -> None:
        """Finish writing, whether training ended or failed."""


def metrics(record: Mapping[str, Any]) -> dict[str, float]:
    """Return the figures of a record: ``train/NAME``, ``val/NAME``, ``lr``, ``clipped``, ``ema`` and ``share``."""
    return flat({key: record[key] for key in ("train", "val", "lr", "clipped", "ema", "share") if key in record}, "/")


def flat(nested: Mapping[str, Any], separator: str) -> dict[str, Any]:
    """Return nested mappings and sequences as one mapping.

    >>> flat({"name": "kd", "stages": [{"epochs": 2}]}, ".")
    {'name': 'kd', 'stages.0.epochs': 2}
    """
    values: dict[str, Any] = {}
    for key, value in nested.items():
        inner: Any = dict(enumerate(value)) if isinstance(value, list | tuple) else value
        if isinstance(inner, Mapping):
            values |= {f"{key}{separator}{rest}": leaf for rest, leaf in flat(inner, separator).items()}
        else:
            values[key] = value
    return values
