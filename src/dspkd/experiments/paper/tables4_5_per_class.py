"""Tables 4 and 5: F1 of each class for each method with the first teacher."""

from __future__ import annotations

from collections.abc import Sequence

from dspkd.evaluation.intervals import resample_f1
from dspkd.experiments.paper import training_grid
from dspkd.experiments.paper.cells import TableSetup, of_arm, of_runs, predictions
from dspkd.experiments.paper.claims.rows import ClaimRow
from dspkd.experiments.paper.datasets import paper_classes
from dspkd.experiments.paper.side_by_side import TableCell, TableRow
from dspkd.experiments.paper.training_grid import PLAIN


def lines(setup: TableSetup) -> tuple[tuple[str, ...], list[TableRow], list[str]]:
    """Return the columns, the rows and the notes of table 4 or 5."""
    printed = paper_classes(setup.table)
    others = tuple(name for name in setup.dataset.classes if name not in printed)
    classes = (*printed, *others)
    columns = (*(f"{name}: F1, %" for name in classes), "macro F1, %", "accuracy, %", "balanced accuracy, %")
    rows = [_line(setup, "Student, plain", PLAIN, classes, None, [])]
    for step in training_grid.STEPS[setup.table]:
        row = next(row for row in setup.paper if row.model == step.paper and row.f1_of)
        rows.append(_line(setup, step.paper, step.arm, classes, row, [step.doubt, *row.assumes.values()]))
    notes = ["A class without an image in our test set has no figure of ours, and is left out of macro F1."]
    if others:
        notes.append("Some of our classes have other names than the paper's, and have columns of their own.")
    return columns, rows, notes


def _line(
    setup: TableSetup, name: str, step: str, classes: Sequence[str], row: ClaimRow | None, doubts: Sequence[str]
) -> TableRow:
    (teacher,) = setup.teachers
    arm = setup.arms.get(setup.arm(step, teacher))
    scores = resample_f1([predictions(run) for run in arm.runs]) if arm else {}
    cells = [
        TableCell(str(row.f1_of[c]) if row and c in row.f1_of else "", of_runs(scores[c]) if c in scores else None)
        for c in classes
    ]
    cells.append(TableCell(str(row.figures["f1"]) if row else "", of_arm(arm, "f1_macro")))
    cells += [TableCell("", of_arm(arm, metric)) for metric in ("accuracy", "balanced_accuracy")]
    return setup.line(name, cells, [teacher], doubts)
