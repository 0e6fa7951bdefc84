"""Train a recipe and write the report of the run."""

from __future__ import annotations

from pathlib import Path

from dspkd import reports
from dspkd.experiments import latency
from dspkd.recipes.schema import Recipe
from dspkd.runs import train as runs
from dspkd.runtime.distributed import SINGLE, World
from dspkd.training.progress import ProgressListener


def train(recipe: Recipe, out: Path, listener: ProgressListener | None = None, world: World = SINGLE) -> Path:
    """Train as `dspkd.runs.train.train` does, time the networks, write the report of the run, and return its path."""
    runs.train(recipe, out, listener, world)

    def report() -> Path:
        latency.record(out)
        return reports.write(out)

    return world.on_rank_zero(report)
