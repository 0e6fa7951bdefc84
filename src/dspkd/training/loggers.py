"""Writes down what training says of each epoch."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from dspkd.errors import RecipeError
from dspkd.training.loop import EpochListener


class MetricsLogger:
    """A listener that writes each epoch to ``metrics.jsonl``, and to TensorBoard if asked, and passes all on.

    A resumed run tells its earlier epochs again, so both are written anew and hold each epoch once.

    Parameters
    ----------
    folder
        The run's.
    listener
        To pass everything on to.
    tensorboard
        Also write ``folder/tensorboard``.
    """

    def __init__(self, folder: Path, listener: EpochListener, *, tensorboard: bool = False) -> None:
        self._board = _board(folder / "tensorboard") if tensorboard else None
        self._file = (folder / "metrics.jsonl").open("w", encoding="utf-8")
        self._watcher = listener
        self._epochs = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._file.close()
        if self._board:
            self._board.close()

    def step(self, stage: str, epoch: int, done: int, steps: int) -> None:
        """Pass it on."""
        self._watcher.step(stage, epoch, done, steps)

    def epoch(self, record: dict[str, Any]) -> None:
        """Write the record and pass it on."""
        print(json.dumps(record), file=self._file, flush=True)
        if self._board:
            for part in ("train", "val"):
                for name, value in record[part].items():
                    self._board.add_scalar(f"{part}/{name}", value, self._epochs)
            self._board.add_scalar("lr", record["lr"], self._epochs)
        self._epochs += 1
        self._watcher.epoch(record)


def _board(folder: Path) -> Any:
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError as error:
        raise RecipeError(
            "machine.tensorboard = true: TensorBoard is not installed; pip install 'dspkd[tensorboard]'"
        ) from error
    shutil.rmtree(folder, ignore_errors=True)
    return SummaryWriter(str(folder))
