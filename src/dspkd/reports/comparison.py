"""Statistics over several runs: means and standard deviations over seeds, and agreement between runs."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from itertools import combinations, product
from statistics import fmean, stdev
from typing import Any

import numpy as np

from dspkd.errors import RunError
from dspkd.evaluation.cross_validation import require_equal_divisions
from dspkd.evaluation.intervals import Estimate, Scores, estimate, resample
from dspkd.evaluation.metrics import Summary, summarise
from dspkd.evaluation.scoring import LOWER_IS_BETTER, METRICS
from dspkd.evaluation.significance import Verdict, of_all_scores, rows_of
from dspkd.runs.run_folder import Run


@dataclass(frozen=True)
class MeanAndSd:
    """Mean and standard deviation (of a sample, so divided by n - 1) of a number; `sd` is None for a single run."""

    mean: float
    sd: float | None

    @classmethod
    def of(cls, values: Iterable[float]) -> MeanAndSd:
        """Compute mean and standard deviation of at least one value."""
        numbers = list(values)
        return cls(fmean(numbers), stdev(numbers) if len(numbers) > 1 else None)


@dataclass(frozen=True, eq=False)
class ArmRuns:
    """The runs of one name: one recipe with several seeds, and with folds also with several divisions into them."""

    name: str
    runs: tuple[Run, ...]
    tests: tuple[Summary, ...]
    metric: str = METRICS[0]
    """The one that decides, and by which arms are ranked."""

    def spread(self, metric: str) -> MeanAndSd | None:
        """Return mean and sd over runs of a metric of `Summary`, such as ``"f1_macro"``; None where it is None.

        Of a single run with folds, the sd is that over folds, each scored on its own images.
        """
        values = [getattr(test, metric) for test in self.tests]  # of the same images: all None or none
        if None in values:
            return None
        parts = self.runs[0].parts
        if len(self.runs) > 1 or len(parts) == 1:
            return MeanAndSd.of(values)
        own = [value for run in parts if (value := getattr(run.test, metric)) is not None]
        return MeanAndSd(values[0], stdev(own) if len(own) > 1 else None)

    def recall(self, number: int) -> MeanAndSd:
        """Return mean and sd over seeds of the recall of class `number`."""
        return MeanAndSd.of(test.per_class[number].recall for test in self.tests)

    @property
    def score(self) -> MeanAndSd:
        """Mean and sd of the metric that decides."""
        spread = self.spread(self.metric)
        assert spread, "`arms` chooses a metric that the images define"
        return spread

    @property
    def folds(self) -> int:
        """Number of folds of a cross-validation; 0 where one network predicted all test images."""
        return _folds(self.runs[0])

    @property
    def repeats(self) -> int:
        """In how many ways the images are divided into folds; 1 without folds."""
        return len({run.recipe.split.seed for run in self.runs}) if self.folds else 1


def arms(runs: Sequence[Run], decide_by: str = METRICS[0]) -> list[ArmRuns]:
    """Group runs by name, the best mean of the metric that decides first.

    Balanced accuracy decides where the test images do not define `decide_by`: AUROC, where all have one class.

    Raises
    ------
    RunError
        Where there is no run, runs were not tested on the same images, or two have the same name and seed, and with
        folds the same division.
    """
    if not runs:
        raise RunError("no run to compare; name at least one run folder")
    of_division: dict[int, Run] = {}
    for run in runs:
        _, division = repetition(run)
        _require_same_test(runs[0], of_division.setdefault(division, run), run)
    named: dict[str, dict[tuple[int, int], Run]] = {}
    for run in runs:
        own = named.setdefault(run.result.name, {})
        if earlier := own.get(repetition(run)):
            raise RunError(
                f"{earlier.folder} and {run.folder} are both named {run.result.name!r} with seed "
                f"{run.result.seed}; leave one out, or give different recipes different names"
            )
        own[repetition(run)] = run
    tests = {name: tuple(summarise(run.predictions("test")) for run in own.values()) for name, own in named.items()}
    defined = all(getattr(test, decide_by) is not None for several in tests.values() for test in several)
    metric = decide_by if defined else "balanced_accuracy"
    grouped = [ArmRuns(name, tuple(own.values()), tests[name], metric) for name, own in named.items()]
    sign = 1 if metric in LOWER_IS_BETTER else -1
    return sorted(grouped, key=lambda arm: (sign * arm.score.mean, arm.name))


@dataclass(frozen=True, eq=False)
class ResampledArms:
    """Scores of all runs on resamples of the lesions, by metric, and the rows of each arm's runs in them."""

    scores: dict[str, Scores]
    rows: dict[str, range]

    @classmethod
    def of(cls, ranked: Sequence[ArmRuns]) -> ResampledArms:
        """Resample the lesions once for all arms: intervals and verdicts come from the same resamples."""
        predictions = {arm.name: [run.predictions("test") for run in arm.runs] for arm in ranked}
        require_equal_divisions(predictions)
        return cls(resample([run for runs in predictions.values() for run in runs]), rows_of(predictions))

    def intervals(self) -> list[dict[str, Estimate]]:
        """Return, for each arm, the mean over its runs of each of `METRICS`, with its interval."""
        return [
            {metric: estimate(self.scores[metric], mine).of_score(metric) for metric in METRICS}
            for mine in self.rows.values()
        ]

    def verdicts(self, pairs: Sequence[tuple[str, str]] | None = None) -> list[Verdict]:
        """Compare these pairs of arms, by default each with each; see `dspkd.evaluation.significance.verdicts`."""
        return of_all_scores(self.scores, self.rows, list(combinations(self.rows, 2)) if pairs is None else pairs)


def differing(arm: ArmRuns) -> list[str]:
    """Return the settings, such as ``"data.layout"``, in which runs of one name differ though only the seed should.

    With another division into folds, the teacher is another, too.
    """
    settings = [_flat(asdict(run.recipe)) for run in arm.runs]
    expected = {"seed"} if arm.repeats == 1 else {"seed", "split.seed", "teacher.run", "teacher.answers"}
    keys = sorted({key for each in settings for key in each} - expected)
    return [key for key in keys if any(each.get(key) != settings[0].get(key) for each in settings)]


def agreement(one: ArmRuns, other: ArmRuns) -> float | None:
    """Compute the share of test images that two runs predict as the same class, the mean over pairs of runs.

    For an arm with itself: over pairs of its runs, None where it has a single run.
    """
    pairs = combinations(one.runs, 2) if one is other else product(one.runs, other.runs)
    predicted = [[run.predictions("test").predicted for run in pair] for pair in pairs]
    shares = [float(np.mean(left == right)) for left, right in predicted]
    return fmean(shares) if shares else None


def unanimity(runs: Sequence[Run]) -> dict[str, float]:
    """Compute the shares of test images that all runs, some but not all runs, and no run predict rightly."""
    right = np.mean([run.predictions("test").predicted == run.predictions("test").labels for run in runs], axis=0)
    shares = {"every": right == 1, "some": (right > 0) & (right < 1), "none": right == 0}
    return {name: float(np.mean(share)) for name, share in shares.items()}


def repetition(run: Run) -> tuple[int, int]:
    """Return what differs between the runs of one name: the seed, and with folds that of the division into them."""
    return run.result.seed, run.recipe.split.seed if _folds(run) else 0


def _folds(run: Run) -> int:
    return run.recipe.split.folds or 0 if len(run.parts) > 1 else 0


def _flat(table: dict[str, Any], place: str = "") -> dict[str, Any]:
    """Return the settings of nested tables by their dotted places."""
    settings: dict[str, Any] = {}
    for key, value in table.items():
        settings |= _flat(value, f"{place}{key}.") if isinstance(value, dict) else {f"{place}{key}": value}
    return settings


def _require_same_test(first: Run, of_division: Run, run: Run) -> None:
    """Raise RunError where a run was not tested on the images of the first, or not with the split of its division."""
    pairs = {
        "split": (of_division, of_division.data.split_digest, run.data.split_digest),
        "classes": (first, ", ".join(first.result.classes), ", ".join(run.result.classes)),
    }
    for what, (other, ours, theirs) in pairs.items():
        if ours != theirs:
            raise RunError(
                f"{run.folder}: {what} {theirs}, but {other.folder} has {ours}; compare runs tested on the same images"
            )
    if run.predictions("test").ids != first.predictions("test").ids:
        raise RunError(f"{run.folder}: predictions/test.csv lists other images than that of {first.folder}")
