"""Numbers over several runs: means and spreads over seeds, and how often two runs give the same answer."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import combinations, product
from statistics import fmean, stdev

import numpy as np

from dspkd.errors import RunError
from dspkd.evaluate.metrics import Summary, summarise
from dspkd.report.sources import Run


@dataclass(frozen=True)
class Spread:
    """Mean and standard deviation (of a sample, so divided by n - 1) of a number; `sd` is None for a single run."""

    mean: float
    sd: float | None

    @classmethod
    def of(cls, values: Iterable[float]) -> Spread:
        """Return the spread of at least one value."""
        known = list(values)
        return cls(fmean(known), stdev(known) if len(known) > 1 else None)


@dataclass(frozen=True, eq=False)
class Contender:
    """The runs of one name: one recipe with several seeds."""

    name: str
    runs: tuple[Run, ...]
    tests: tuple[Summary, ...]

    def spread(self, metric: str) -> Spread | None:
        """Return the spread over seeds of a number of `Summary`, such as ``"f1_macro"``; None where it is None."""
        values = [getattr(test, metric) for test in self.tests]  # of the same images: all None or none
        return None if None in values else Spread.of(values)

    def recall(self, number: int) -> Spread:
        """Return the spread over seeds of the recall of class `number`."""
        return Spread.of(test.per_class[number].recall for test in self.tests)

    @property
    def score(self) -> Spread:
        """The spread of balanced accuracy, by which contenders are ranked."""
        return Spread.of(test.balanced_accuracy for test in self.tests)


def contenders(runs: Sequence[Run]) -> list[Contender]:
    """Group runs by name, best mean balanced accuracy first.

    Raises
    ------
    RunError
        Where there is no run, runs were not tested on the same images, or two have the same name and seed.
    """
    if not runs:
        raise RunError("no run to compare; name at least one run folder")
    for run in runs[1:]:
        _require_same_test(runs[0], run)
    named: dict[str, dict[int, Run]] = {}
    for run in runs:
        seeds = named.setdefault(run.result.name, {})
        if run.result.seed in seeds:
            raise RunError(
                f"{seeds[run.result.seed].folder} and {run.folder} are both named {run.result.name!r} with seed "
                f"{run.result.seed}; leave one out, or give different recipes different names"
            )
        seeds[run.result.seed] = run
    grouped = [
        Contender(name, tuple(seeds.values()), tuple(summarise(run.test) for run in seeds.values()))
        for name, seeds in named.items()
    ]
    return sorted(grouped, key=lambda contender: (-contender.score.mean, contender.name))


def agreement(one: Contender, other: Contender) -> float | None:
    """Return the share of test images to which a run of each gives the same answer, the mean over pairs of runs.

    Of a contender with itself: over pairs of its seeds, None where it has a single run.
    """
    pairs = combinations(one.runs, 2) if one is other else product(one.runs, other.runs)
    shares = [float(np.mean(left.test.predicted == right.test.predicted)) for left, right in pairs]
    return fmean(shares) if shares else None


def unanimity(runs: Sequence[Run]) -> dict[str, float]:
    """Return the shares of test images that every run, some run but not every one, and no run answers rightly."""
    right = np.mean([run.test.predicted == run.test.labels for run in runs], axis=0)
    every, none = float(np.mean(right == 1)), float(np.mean(right == 0))
    return {"every": every, "some": 1 - every - none, "none": none}


def _require_same_test(first: Run, run: Run) -> None:
    """Refuse runs whose numbers do not speak about the same images."""
    pairs = {
        "split": (first.data.split_digest, run.data.split_digest),
        "classes": (", ".join(first.result.classes), ", ".join(run.result.classes)),
    }
    for what, (ours, theirs) in pairs.items():
        if ours != theirs:
            raise RunError(
                f"{run.folder}: {what} {theirs}, but {first.folder} has {ours}; only tests on the same images compare"
            )
    if run.test.ids != first.test.ids:
        raise RunError(f"{run.folder}: predictions/test.csv lists other images than that of {first.folder}")
