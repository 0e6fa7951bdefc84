"""What the tables of trained methods share: the grid's figures, the paper's, and cells of the two side by side."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from dspkd.evaluation.intervals import Scores, estimate, percentiles
from dspkd.evaluation.predictions import Predictions
from dspkd.evaluation.significance import Verdict
from dspkd.experiments.paper import reasons, training_grid
from dspkd.experiments.paper.claims.read import PAPER, read
from dspkd.experiments.paper.datasets import PaperImages, paper_data
from dspkd.experiments.paper.reasons import Reasons
from dspkd.experiments.paper.scale import Scale
from dspkd.experiments.paper.side_by_side import OurFigure, TableCell, TableRow
from dspkd.experiments.paper.training_grid import PLAIN, AblationStep
from dspkd.reports.comparison import MeanAndSd
from dspkd.reports.comparison_results import ArmFigures, Figure, Results, RunFigures


class TableSetup:
    """A table that is being set.

    Parameters
    ----------
    table
        Of the paper.
    scale
        That was trained.
    dataset
        On which.
    results
        What `dspkd.experiments.compare.compare` says of the grid.

    Attributes
    ----------
    arms
        Of the grid, by name.
    paper
        The paper's rows about this data set.
    reasons
        Collected so far.
    """

    def __init__(self, table: int, scale: Scale, dataset: PaperImages, results: Results) -> None:
        self.table, self.scale, self.dataset, self.results = table, scale, dataset, results
        self.arms = {arm.name: arm for arm in results.arms}
        self.paper = [row for row in read(PAPER) if row.data == paper_data(table)]
        self.reasons = Reasons()
        self._always = reasons.of_training(scale, dataset, paper_data(table))

    @property
    def teachers(self) -> tuple[str, ...]:
        """Return the paper's names of the teachers that were trained."""
        return training_grid.teachers(self.table, self.scale.networks)

    def arm(self, step: AblationStep | str, teacher: str) -> str:
        """Return the name of a step's arm under a teacher."""
        name = step if isinstance(step, str) else step.arm
        return PLAIN if name == PLAIN else f"{name}+{self.scale.networks.teachers[teacher]}"

    def teacher(self, name: str) -> RunFigures | None:
        """Return the run of a teacher, by the paper's name; None where it failed."""
        network = self.scale.networks.teachers[name]
        return next((run for run in self.results.teachers if Path(run.folder).name == network), None)

    def line(
        self, name: str, cells: Sequence[TableCell], teachers: Sequence[str], doubts: Sequence[str] = ()
    ) -> TableRow:
        """Return a row; one that the paper has and we have gets the numbers of the reasons why they do not compare."""
        made = TableRow(name, tuple(cells))
        if not (made.printed and made.measured):
            return made
        networks = [reason for teacher in teachers for reason in reasons.of_networks(self.scale, teacher)]
        told = [reason for reason in (*self._always, *networks, *doubts) if reason]
        return TableRow(name, made.cells, self.reasons.number(told))


def of_arm(arm: ArmFigures | None, metric: str) -> OurFigure | None:
    """Return a figure of an arm, in percent."""
    return None if arm is None else _percent(arm.figures[metric], len(arm.runs))


def of_run(scores: Scores) -> OurFigure:
    """Return a score of one run, with its interval over lesions."""
    low, high = percentiles(scores)
    return OurFigure(100 * float(scores.observed[0]), None, 100 * low, 100 * high)


def of_runs(scores: Scores) -> OurFigure:
    """Return a score of several seeds of one recipe, with its interval over lesions and seeds."""
    spread = MeanAndSd.of(map(float, scores.observed))
    runs = len(scores.observed)
    known = estimate(scores, range(runs))
    return _percent(Figure(spread.mean, spread.sd, max(0.0, known.low), min(1.0, known.high)), runs)


def of_difference(verdict: Verdict) -> OurFigure:
    """Return the difference of two arms, in points, with its interval."""
    known = verdict.difference
    return OurFigure(100 * known.value, None, 100 * known.low, 100 * known.high)


def word(verdict: Verdict) -> str:
    """Return a verdict; where it is inconclusive, with the minimum detectable difference."""
    detectable = verdict.minimum_detectable_difference
    if verdict.p is None or detectable is None:
        return "inconclusive: one run each"
    return verdict.word if verdict.word != "inconclusive" else f"inconclusive (detectable: {100 * detectable:.1f})"


def predictions(run: RunFigures) -> Predictions:
    """Return what a run answered about the test images."""
    return Predictions.load(Path(run.folder) / "predictions" / "test.csv")


def _percent(figure: Figure, runs: int) -> OurFigure:
    sd = None if figure.sd is None else 100 * figure.sd
    return OurFigure(100 * figure.mean, sd, 100 * figure.low, 100 * figure.high, runs)
