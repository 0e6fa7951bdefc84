"""The fastest settings of this machine, as ``dspkd plan --fastest`` measured them; recipes that leave it open use them.

They are kept in one file for all recipes of a user, by processor or GPU, number of cores, version of torch, network,
size of images, and batch size: other recipes of the same training step use them too.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path

import torch
from filelock import FileLock

from dspkd.errors import RunError
from dspkd.recipes.schema import Recipe
from dspkd.runtime.cores import available_cores, processor
from dspkd.runtime.files import user_cache, write_json


@dataclass(frozen=True)
class Fastest:
    """The fastest settings for a training step.

    Attributes
    ----------
    threads
        CPU threads of a run that has the machine to itself.
    jobs
        Runs that, trained at the same time with their share of the cores, train on the most images a second in all.
    step
        Seconds of a step with `threads`, without loading images.
    compiled_step
        The same of the compiled network; None where it cannot be compiled.
    compiling
        Seconds that the first compiled step takes longer than the others.
    measured
        The day, such as ``2026-12-01``.
    """

    threads: int
    jobs: int
    step: float
    compiled_step: float | None
    compiling: float
    measured: str

    def saved_by_compiling(self, steps: int, stages: int) -> float:
        """Return by how many seconds a run of so many steps is shorter if each of its stages is compiled."""
        if self.compiled_step is None:
            return 0.0
        return steps * (self.step - self.compiled_step) - stages * self.compiling


def file() -> Path:
    """Return the file of what was measured; it may be deleted at any time."""
    return user_cache() / "fastest.json"


def of(recipe: Recipe) -> Fastest | None:
    """Return what was measured for the recipe's training step on this machine, None if nothing was."""
    found = _read().get(_step(recipe))
    try:
        return Fastest(**found) if isinstance(found, dict) else None
    except TypeError:  # written by another version
        return None


def keep(recipe: Recipe, measured: Fastest) -> None:
    """Record what was measured for the recipe's training step on this machine.

    Raises
    ------
    RunError
        The file cannot be written.
    """
    try:
        file().parent.mkdir(parents=True, exist_ok=True)
        with FileLock(file().with_suffix(".lock")):
            write_json(file(), _read() | {_step(recipe): asdict(measured)})
    except (OSError, RuntimeError) as error:
        raise RunError(
            f"the fastest settings cannot be kept: {error}; set XDG_CACHE_HOME to a folder that can be written, or "
            f"write them into your recipes: machine.threads = {measured.threads}"
        ) from error


def _read() -> dict[str, object]:
    try:
        found = json.loads(file().read_text(encoding="utf-8"))
    except (OSError, ValueError, RuntimeError):  # missing, damaged, or there is no home folder: nothing is measured
        return {}
    return found if isinstance(found, dict) else {}


def _step(recipe: Recipe) -> str:
    """Return the training step and the machine, by which it is found again."""
    on = _gpu(recipe.machine.device) or processor()
    network = f"{recipe.model.name}, {recipe.images.size} px, batches of {recipe.train.batch_size}"
    return f"{on}, {available_cores()} cores, torch {torch.__version__}: {network}, {recipe.train.precision}"


def _gpu(device: str) -> str:
    """Return the name of the GPU that this setting means, "" for a CPU."""
    if device == "cpu" or (device == "auto" and not torch.cuda.is_available()):
        return ""
    number = torch.device("cuda" if device == "auto" else device).index or 0
    return torch.cuda.get_device_name(number) if number < torch.cuda.device_count() else device
