"""Checkpoints, saved after each epoch: a run that is killed loses at most the epoch that it was in."""

from __future__ import annotations

import os
from contextlib import nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from dspkd.errors import RunError
from dspkd.runtime.distributed import SINGLE, World
from dspkd.runtime.manifest import Manifest


@dataclass
class Progress:
    """The progress of a stage.

    Attributes
    ----------
    epochs
        Epochs finished.
    best_epoch, best_score
        The epoch that is kept, and its student's score on the validation set: the first of the best, or the last.
    best_student, best_terms
        State of that student, and by name of the terms whose layers the next stage continues with.
    average
        The moving average of the student's state; empty where nothing is averaged.
    history
        The record of each finished epoch.
    """

    epochs: int = 0
    best_epoch: int = 0
    best_score: float = float("-inf")
    best_student: dict[str, Tensor] = field(default_factory=dict)
    best_terms: dict[str, dict[str, Tensor]] = field(default_factory=dict)
    average: dict[str, Tensor] = field(default_factory=dict)
    history: list[dict[str, Any]] = field(default_factory=list)


def save(
    path: Path,
    digest: str,
    progress: Progress,
    distiller: torch.nn.Module,
    optimizer: torch.optim.Optimizer,
    manifest: Manifest | None = None,
) -> None:
    """Save all that a stage needs to resume; the file is replaced only once it is complete, and recorded.

    Raises
    ------
    OSError
        The file cannot be written; the one of the epoch before stays.
    """
    state = {
        "digest": digest,
        "progress": vars(progress),
        "distiller": distiller.state_dict(),
        "optimizer": optimizer.state_dict(),
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    unfinished = path.with_suffix(".unfinished")
    try:
        with unfinished.open("wb") as file:
            torch.save(state, file)
            file.flush()
            os.fsync(file.fileno())
    except (OSError, RuntimeError) as error:
        unfinished.unlink(missing_ok=True)  # it takes the room that is lacking
        refused = error if isinstance(error, OSError) else error.__context__  # torch raises another in its place
        if isinstance(refused, OSError):
            raise OSError(refused.errno, refused.strerror, str(path)) from None
        raise
    with manifest.recording(path) if manifest else nullcontext():
        unfinished.replace(path)


def load(
    path: Path, digest: str, distiller: torch.nn.Module, optimizer: torch.optim.Optimizer, world: World = SINGLE
) -> Progress:
    """Restore what `save` wrote and return the progress; without a file, change nothing and return a fresh one.

    Only rank 0 needs access to the file.

    Raises
    ------
    RunError
        The file belongs to another recipe or to networks with other layers, or cannot be read.
    """
    state = world.on_rank_zero(lambda: _read(path, digest))
    if state is None:
        return Progress()
    try:
        distiller.load_state_dict(state["distiller"])
        optimizer.load_state_dict(state["optimizer"])
    except (RuntimeError, ValueError) as error:
        raise RunError(f"{path}: of networks with other layers than these; choose another folder (--out)") from error
    return Progress(**state["progress"])


def _read(path: Path, digest: str) -> dict[str, Any] | None:
    if not path.exists():
        return None
    try:
        state: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:
        raise RunError(
            f"{path}: not a readable checkpoint; delete it to train this stage again from its start"
        ) from error
    if state["digest"] != digest:
        raise RunError(
            f"{path}: of recipe {state['digest']}, but this recipe is {digest}; choose another folder (--out), "
            "or restore the recipe"
        )
    return state
