"""TensorBoard: curves in ``tensorboard/`` of the run folder."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar

from dspkd.training.loggers._base import Sink, metrics


class TensorBoard(Sink):
    """Writes an event file that ``tensorboard --logdir RUN_FOLDER`` reads."""

    packages: ClassVar[tuple[str, ...]] = ("tensorboard",)

    def open(self, folder: Path, run: str, settings: Mapping[str, Any]) -> None:  # noqa: ARG002
        """Begin an empty event file."""
        from torch.utils.tensorboard import SummaryWriter

        shutil.rmtree(folder / "tensorboard", ignore_errors=True)
        self._writer: Any = SummaryWriter(str(folder / "tensorboard"))

    def epoch(self, record: Mapping[str, Any], number: int) -> None:
        """Write each figure as a scalar."""
        for name, value in metrics(record).items():
            self._writer.add_scalar(name, value, number)

    def close(self) -> None:
        """Close the event file."""
        self._writer.close()
