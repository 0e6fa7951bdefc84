"""Cells of the tables of trained methods: figures of the grid beside those of the paper."""

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
from dspkd.reports import wording
from dspkd.reports.comparison import MeanAndSd
from dspkd.reports.comparison_results import ArmFigures, Figure, Results, RunFigures
from dspkd.runs.run_folder import Run


class TableSetup:
    """The inputs of a table: what was trained, its results, and the paper's rows.

    Parameters
    ----------
    table
        Number of the table in the paper.
    scale
        The scale that was trained.
    dataset
        The images that it was trained on.
    results
        Results of the grid, from `dspkd.experiments.compare.compare`.

    Attributes
    ----------
    arms
        Figures of the grid's methods, by name.
    paper
        The paper's rows about this data set.
    reasons
        Reasons collected so far why figures are not comparable.
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
        """Return the name of a step's method in the grid, with this teacher."""
        name = step if isinstance(step, str) else step.arm
        return PLAIN if name == PLAIN else f"{name}+{self.scale.networks.teachers[teacher]}"

    def teacher(self, name: str) -> RunFigures | None:
        """Return the run of a teacher, by the paper's name; None if it failed."""
        network = self.scale.networks.teachers[name]
        return next((run for run in self.results.teachers if Path(run.folder).name == network), None)

    def line(
        self, name: str, cells: Sequence[TableCell], teachers: Sequence[str], doubts: Sequence[str] = ()
    ) -> TableRow:
        """Return a row; one with figures of both the paper and ours gets the reasons why they are not comparable."""
        row = TableRow(name, tuple(cells))
        if not (row.printed and row.measured):
            return row
        networks = [reason for teacher in teachers for reason in reasons.of_networks(self.scale, teacher)]
        listed = [reason for reason in (*self._always, *networks, *doubts) if reason]
        return TableRow(name, row.cells, self.reasons.number(listed))


def of_arm(arm: ArmFigures | None, metric: str) -> OurFigure | None:
    """Return a metric of a method, in percent."""
    return None if arm is None else _percent(arm.figures[metric], len(arm.runs))


def of_run(scores: Scores) -> OurFigure:
    """Return a score of one run, with its interval over lesions."""
    low, high = percentiles(scores)
    return OurFigure(100 * float(scores.observed[0]), None, 100 * low, 100 * high)


def of_runs(scores: Scores) -> OurFigure:
    """Return a score of several seeds of one recipe, with its interval over lesions and seeds."""
    spread = MeanAndSd.of(map(float, scores.observed))
    runs = len(scores.observed)
    interval = estimate(scores, range(runs)).of_score("f1_macro")
    return _percent(Figure(spread.mean, spread.sd, interval.low, interval.high), runs)


def of_difference(verdict: Verdict) -> OurFigure:
    """Return the difference of two methods, in percentage points, with its interval."""
    difference = verdict.difference
    return OurFigure(100 * difference.value, None, 100 * difference.low, 100 * difference.high)


def word(verdict: Verdict) -> str:
    """Return the result of a comparison; if inconclusive, with the minimum detectable difference (80 % power)."""
    if verdict.p is None:
        return "inconclusive: one run each"
    if verdict.word in ("better", "worse"):
        return verdict.word
    smallest = wording.detectable(verdict.minimum_detectable_difference, verdict.metric)
    return f"{wording.result(verdict)} (detectable: {smallest})"


def predictions(run: RunFigures) -> Predictions:
    """Return a run's predictions for the test set."""
    return Run(run.folder).predictions("test")


def _percent(figure: Figure, runs: int) -> OurFigure:
    sd = None if figure.sd is None else 100 * figure.sd
    return OurFigure(100 * figure.mean, sd, 100 * figure.low, 100 * figure.high, runs)
