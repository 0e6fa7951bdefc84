"""Tables 2 and 3: each method with each teacher."""

from __future__ import annotations

from dspkd.evaluation.intervals import resample
from dspkd.experiments.paper import training_grid
from dspkd.experiments.paper.cells import TableSetup, of_arm, of_run, predictions, word
from dspkd.experiments.paper.scale import FULL
from dspkd.experiments.paper.side_by_side import TableCell, TableRow
from dspkd.experiments.paper.training_grid import PLAIN

TEACHERS = tuple(FULL.networks.teachers)


def lines(setup: TableSetup) -> tuple[tuple[str, ...], list[TableRow], list[str]]:
    """Return the columns, the rows and the notes of table 2 or 3."""
    columns = tuple(
        f"{teacher}: {what}"
        for teacher in TEACHERS
        for what in ("accuracy, %", *(("balanced accuracy, %", "against plain") * (teacher in setup.teachers)))
    )
    rows = [_line(setup, "Teacher", [_of_teacher(setup, t) for t in TEACHERS])]
    rows.append(_line(setup, "Student, plain", [_of_method(setup, t, PLAIN, "") for t in TEACHERS]))
    for step in training_grid.STEPS[setup.table]:
        cells = [_of_method(setup, t, step.arm, step.paper) for t in TEACHERS]
        rows.append(_line(setup, step.paper, cells, step.doubt))
    smoothed = [_of_method(setup, t, "label_smoothing", None) for t in TEACHERS]
    rows.append(_line(setup, "Label smoothing (our control)", smoothed))
    return columns, rows, []


def _line(setup: TableSetup, name: str, cells: list[list[TableCell]], doubt: str = "") -> TableRow:
    return setup.line(name, [cell for each in cells for cell in each], setup.teachers, [doubt])


def _of_method(setup: TableSetup, teacher: str, arm: str, method: str | None) -> list[TableCell]:
    """Return the cells of a method; `method` is empty for the plain student, None if the paper does not have it."""
    printed = "" if method is None else _printed(setup, teacher, method)
    if teacher not in setup.teachers:
        return [TableCell(printed)]
    name = arm if arm == "label_smoothing" else setup.arm(arm, teacher)
    figures = setup.arms.get(name)
    verdict = next(
        (v for v in setup.results.verdicts if (v.one, v.other, v.metric) == (name, PLAIN, "balanced_accuracy")), None
    )
    return [
        TableCell(printed, of_arm(figures, "accuracy")),
        TableCell("", of_arm(figures, "balanced_accuracy")),
        TableCell("", word(verdict) if verdict else None),
    ]


def _printed(setup: TableSetup, teacher: str, method: str) -> str:
    rows = [row for row in setup.paper if "accuracy" in row.figures]
    if method:
        rows = [row for row in rows if (row.model, row.teacher) == (method, teacher)]
    else:
        rows = [row for row in rows if row.role == "baseline"]
    return str(rows[0].figures["accuracy"])


def _of_teacher(setup: TableSetup, teacher: str) -> list[TableCell]:
    printed = next(str(row.figures["accuracy"]) for row in setup.paper if row.model == teacher)
    if teacher not in setup.teachers:
        return [TableCell(printed)]
    run = setup.teacher(teacher)
    if run is None:
        return [TableCell(printed), TableCell(), TableCell()]
    scores = resample([predictions(run)])
    return [
        TableCell(printed, of_run(scores["accuracy"])),
        TableCell("", of_run(scores["balanced_accuracy"])),
        TableCell(),
    ]
