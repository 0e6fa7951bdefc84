"""A recipe becomes a run folder and its report."""

from __future__ import annotations

from pathlib import Path

from dspkd import reports
from dspkd.recipes.schema import Recipe
from dspkd.runs import train as runs
from dspkd.runs.context import Watcher
from dspkd.runtime.distributed import ALONE, Ranks


def train(recipe: Recipe, out: Path, watcher: Watcher | None = None, ranks: Ranks = ALONE) -> Path:
    """Train as `dspkd.runs.train.train` does, and return the report of the run, ``report.html`` in its folder."""
    runs.train(recipe, out, watcher, ranks)
    return ranks.first(lambda: reports.write(out))
