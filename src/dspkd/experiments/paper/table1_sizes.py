"""Table 1: parameters and multiply-accumulates of the networks; scores only of finished runs that are given."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from dspkd.data.table import named
from dspkd.evaluation.intervals import percentiles, resample
from dspkd.evaluation.metrics import Summary
from dspkd.experiments.paper.claims.read import PAPER, read
from dspkd.experiments.paper.claims.rows import ClaimRow
from dspkd.experiments.paper.datasets import paper_classes
from dspkd.experiments.paper.reasons import Reasons
from dspkd.experiments.paper.side_by_side import OurFigure, SideBySide, TableCell, TableRow
from dspkd.models import zoo
from dspkd.reports.wording import of_lesions
from dspkd.runs.run_folder import Run
from dspkd.runs.run_folder import read as read_run

METRICS = ("accuracy", "precision", "specificity", "f1")
_OURS = {
    "accuracy": ("accuracy",),
    "precision": ("precision_macro", "precision_weighted"),
    "specificity": ("specificity_macro", "specificity_weighted"),
    "f1": ("f1_macro", "f1_weighted"),
}
_INTERVALS = {"accuracy": "accuracy", "f1": "f1_macro"}

_COUNTED = (
    "Parameters: with the classifier, for the number of classes that reproduces the paper's figure, given in the row. "
    "GMACs: what the paper calls FLOPs, by the rule that reproduces all its figures (inferred): without the "
    "classifier, with 2 for each element of a batch normalisation. dspkd models --table has both ways of counting."
)
_SCORES = (
    "Precision, specificity and F1 are macro / weighted by images: the paper does not state which, and its "
    "specificity cannot be macro (dspkd claims paper)."
)


def build(runs: Sequence[Path] = ()) -> SideBySide:
    """Return table 1 with the scores of these runs, each of one of its networks.

    Raises
    ------
    RunError, DataError
        A run is unfinished or broken.
    """
    sources = [read_run(folder) for folder in runs]
    sizes = {row.name: row for row in zoo.describe()}
    paper = [row for row in read(PAPER) if row.table == "table 1"]
    places = {"ISIC2019": tuple(paper_classes(2)), "PSD": tuple(paper_classes(3))}
    columns = ["parameters, M", "GMACs"] + [f"{metric}, {data}" for metric in METRICS for data in places]
    reasons = Reasons()
    lines = []
    for network in dict.fromkeys(row.network for row in paper):
        both = {row.data: row for row in paper if row.network == network}
        size = sizes[network]
        assert size.paper_classes is not None, "the paper prints the sizes of all networks of table 1"
        first = both["ISIC2019"]
        cells = [
            TableCell(str(first.figures["parameters"]), OurFigure(size.parameters[size.paper_classes] / 1e6, digits=3)),
            TableCell(str(first.figures["gmacs"]), OurFigure(size.macs.backbone / 1e9, digits=3)),
        ]
        of_network = [run for run in sources if run.result.model == network]
        chosen = {data: _newest(of_network, classes, data) for data, classes in places.items()}
        cells += _scores(both, chosen)
        why = [reason for data, tested in chosen.items() if tested for reason in _why(tested.run, data)]
        name = f"{first.model} ({size.paper_classes} classes)"
        lines.append(TableRow(name, tuple(cells), reasons.number(why)))
    given = (
        f" Scores of ours: from {len(sources)} runs." if sources else " Scores of ours: none, since no run was given."
    )
    unlisted = [
        f"{run.folder}: {run.result.model} is none of the networks of table 1"
        for run in sources
        if not any(run.result.model == row.network for row in paper)
    ]
    return SideBySide(
        number=1,
        title="Candidate teacher and student networks",
        caption=f"Ours: counted on the networks as built here, nothing trained.{given}",
        columns=tuple(columns),
        lines=tuple(lines),
        reasons=tuple(reasons.listed),
        notes=(_COUNTED, *([_SCORES] if sources else []), *unlisted),
        synthetic=any(run.data.synthetic for run in sources),
    )


@dataclass(frozen=True)
class _Tested:
    run: Run
    summary: Summary


def _newest(runs: Sequence[Run], classes: tuple[str, ...], data: str) -> _Tested | None:
    """Return the last of the runs with the classes of this data set; for PSD, else the last with other classes."""
    fitting = [run for run in runs if set(run.result.classes) == set(classes)]
    if data == "PSD":
        isic = set(paper_classes(2))
        fitting = fitting or [run for run in runs if set(run.result.classes) != isic]
    return _Tested(fitting[-1], fitting[-1].test) if fitting else None


def _scores(paper: Mapping[str, ClaimRow], chosen: Mapping[str, _Tested | None]) -> list[TableCell]:
    cells = []
    for metric in METRICS:
        for data, tested in chosen.items():
            printed = str(paper[data].figures[metric])
            cells.append(TableCell(printed, _score(tested, metric) if tested else None))
    return cells


def _score(tested: _Tested, metric: str) -> OurFigure | str:
    values = [100 * getattr(tested.summary, name) for name in _OURS[metric]]
    if len(values) > 1:
        return " / ".join(f"{value:.2f}" for value in values)
    low, high = percentiles(resample([tested.run.predictions("test")])[_INTERVALS[metric]])
    return OurFigure(values[0], None, 100 * low, 100 * high)


def _why(run: Run, data: str) -> list[str]:
    source = "synthetic drawings" if run.data.synthetic else run.data.path
    test = run.predictions("test")
    counted = f"{len(test):,} test images{of_lesions(named(test.groups))}"
    private = "the paper's PSD-Dataset is private" if data == "PSD" else "the paper's test images are not known"
    return [
        f"data: {private}; ours are {source}, {counted}, split as the run's report states",
        "training: the paper prints no settings, so those of the run are ours (inferred); one run, one seed",
    ]
