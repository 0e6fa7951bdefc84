"""Weights & Biases: a run of a project, kept in ``wandb/`` of the run folder until it is synchronised."""

from __future__ import annotations

import os
import secrets
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar

from dspkd.training.loggers._base import Sink, metrics


class WandB(Sink):
    """Logs to a W&B run, offline unless ``WANDB_MODE`` is set; the project is ``WANDB_PROJECT``, else ``dspkd``.

    Offline, nothing leaves this machine; ``wandb sync`` uploads the run later.
    """

    packages: ClassVar[tuple[str, ...]] = ("wandb",)

    def open(self, folder: Path, run: str, settings: Mapping[str, Any]) -> None:
        """Start a run; a resumed run gets the same ID, under which a server ignores the epochs that it has."""
        os.environ.setdefault("WANDB_ERROR_REPORTING", "false")  # sends crash reports, offline too
        import wandb

        kept = folder / "wandb" / "run-id"
        run_id = kept.read_text(encoding="utf-8") if kept.exists() else secrets.token_hex(4)
        shutil.rmtree(folder / "wandb", ignore_errors=True)
        kept.parent.mkdir()
        kept.write_text(run_id, encoding="utf-8")
        mode: Any = os.environ.get("WANDB_MODE", "offline")
        self._run: Any = wandb.init(
            project=os.environ.get("WANDB_PROJECT", "dspkd"),
            name=run,
            id=run_id,
            resume="allow",
            dir=folder,
            config=dict(settings),
            mode=mode,
            reinit="create_new",
            settings=wandb.Settings(silent=True, console="off"),
        )

    def epoch(self, record: Mapping[str, Any], number: int) -> None:
        """Log the figures at step `number`."""
        self._run.log(metrics(record), step=number)

    def close(self) -> None:
        """End the run."""
        self._run.finish()
