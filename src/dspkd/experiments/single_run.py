"""A recipe becomes a run folder and its report."""

from __future__ import annotations

from pathlib import Path

from dspkd import reports
from dspkd.recipes.schema import Recipe
from dspkd.runs import train as runs
from dspkd.runtime.distributed import SINGLE, World
from dspkd.training.progress import ProgressListener


def train(recipe: Recipe, out: Path, listener: ProgressListener | None = None, world: World = SINGLE) -> Path:
    """Train as `dspkd.runs.train.train` does, and return the report of the run, ``report.html`` in its folder."""
    runs.train(recipe, out, listener, world)
    return world.on_rank_zero(lambda: reports.write(out))
