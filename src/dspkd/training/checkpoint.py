"""What is saved at the end of each epoch, so that a run can be killed at any moment and lose no more than one."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from dspkd.errors import RunError
from dspkd.runtime.distributed import SINGLE, World


@dataclass
class Progress:
    """Where a stage stands.

    Attributes
    ----------
    epochs
        Epochs finished.
    best_epoch, best_score
        The epoch that is kept and its student's score on validation: the highest, the first of several, or the last.
    best_student, best_terms
        That student's state, and by name that of the terms whose layers the next stage takes over.
    history
        A record for each epoch finished.
    """

    epochs: int = 0
    best_epoch: int = -1
    best_score: float = float("-inf")
    best_student: dict[str, Tensor] = field(default_factory=dict)
    best_terms: dict[str, dict[str, Tensor]] = field(default_factory=dict)
    history: list[dict[str, Any]] = field(default_factory=list)


def save(
    path: Path, digest: str, progress: Progress, distiller: torch.nn.Module, optimizer: torch.optim.Optimizer
) -> None:
    """Write all that a resumed stage needs; the file is whole or not there at all."""
    state = {
        "digest": digest,
        "progress": vars(progress),
        "distiller": distiller.state_dict(),
        "optimizer": optimizer.state_dict(),
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    unfinished = path.with_suffix(".unfinished")
    with unfinished.open("wb") as file:
        torch.save(state, file)
        file.flush()
        os.fsync(file.fileno())
    unfinished.replace(path)


def load(
    path: Path, digest: str, distiller: torch.nn.Module, optimizer: torch.optim.Optimizer, world: World = SINGLE
) -> Progress:
    """Restore what `save` wrote and return the progress; with no file, touch nothing and return a fresh one.

    Rank 0 alone needs to see the file.

    Raises
    ------
    RunError
        The file is of another recipe, or cannot be read.
    """
    state = world.on_rank_zero(lambda: _read(path, digest))
    if state is None:
        return Progress()
    distiller.load_state_dict(state["distiller"])
    optimizer.load_state_dict(state["optimizer"])
    return Progress(**state["progress"])


def _read(path: Path, digest: str) -> dict[str, Any] | None:
    if not path.exists():
        return None
    try:
        state: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:
        raise RunError(f"{path}: not a readable checkpoint; delete it to train this stage anew") from error
    if state["digest"] != digest:
        raise RunError(
            f"{path}: of recipe {state['digest']}, but this recipe is {digest}; choose another --out, "
            "or restore the recipe"
        )
    return state
