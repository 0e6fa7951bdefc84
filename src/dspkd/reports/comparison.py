"""Numbers over several runs: means and spreads over seeds, and how often two runs give the same answer."""

from __future__ import annotations

import tomllib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import combinations, product
from statistics import fmean, stdev
from typing import Any

import numpy as np

from dspkd.errors import RunError
from dspkd.evaluation.intervals import METRICS, Estimate, estimate, resample
from dspkd.evaluation.metrics import Summary, summarise
from dspkd.runs.run_folder import Run


@dataclass(frozen=True)
class MeanAndSd:
    """Mean and standard deviation (of a sample, so divided by n - 1) of a number; `sd` is None for a single run."""

    mean: float
    sd: float | None

    @classmethod
    def of(cls, values: Iterable[float]) -> MeanAndSd:
        """Return the spread of at least one value."""
        known = list(values)
        return cls(fmean(known), stdev(known) if len(known) > 1 else None)


@dataclass(frozen=True, eq=False)
class ArmRuns:
    """The runs of one name: one recipe with several seeds."""

    name: str
    runs: tuple[Run, ...]
    tests: tuple[Summary, ...]

    def spread(self, metric: str) -> MeanAndSd | None:
        """Return the spread over seeds of a number of `Summary`, such as ``"f1_macro"``; None where it is None."""
        values = [getattr(test, metric) for test in self.tests]  # of the same images: all None or none
        return None if None in values else MeanAndSd.of(values)

    def recall(self, number: int) -> MeanAndSd:
        """Return the spread over seeds of the recall of class `number`."""
        return MeanAndSd.of(test.per_class[number].recall for test in self.tests)

    @property
    def score(self) -> MeanAndSd:
        """The spread of balanced accuracy, by which contenders are ranked."""
        return MeanAndSd.of(test.balanced_accuracy for test in self.tests)


def contenders(runs: Sequence[Run]) -> list[ArmRuns]:
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
        ArmRuns(name, tuple(seeds.values()), tuple(summarise(run.test) for run in seeds.values()))
        for name, seeds in named.items()
    ]
    return sorted(grouped, key=lambda contender: (-contender.score.mean, contender.name))


def intervals(ranked: Sequence[ArmRuns]) -> list[dict[str, Estimate]]:
    """Return, for each contender, the mean over its seeds of each of `METRICS`, with its interval."""
    scores = resample([run.test for contender in ranked for run in contender.runs])
    rows = iter(range(len(scores[METRICS[0]].observed)))
    own = [[next(rows) for _ in contender.runs] for contender in ranked]
    return [{metric: estimate(scores[metric], mine) for metric in METRICS} for mine in own]


def differing(contender: ArmRuns) -> list[str]:
    """Return the settings, such as ``"data.layout"``, in which runs of one name differ though only the seed should."""
    settings = [_flat(tomllib.loads(run.recipe)) for run in contender.runs]
    keys = sorted({key for each in settings for key in each} - {"seed"})
    return [key for key in keys if any(each.get(key) != settings[0].get(key) for each in settings)]


def agreement(one: ArmRuns, other: ArmRuns) -> float | None:
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


def _flat(table: dict[str, Any], place: str = "") -> dict[str, Any]:
    """Return the settings of nested tables by their dotted places."""
    found: dict[str, Any] = {}
    for key, value in table.items():
        found |= _flat(value, f"{place}{key}.") if isinstance(value, dict) else {f"{place}{key}": value}
    return found


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
