"""Tables 2 and 3: each method under each teacher."""

from __future__ import annotations

from dspkd.evaluation.intervals import resample
from dspkd.experiments.paper import training_grid
from dspkd.experiments.paper.cells import TableSetup, of_arm, of_run, predictions, word
from dspkd.experiments.paper.scale import FULL
from dspkd.experiments.paper.side_by_side import TableCell, TableRow
from dspkd.experiments.paper.training_grid import PLAIN

TEACHERS = tuple(FULL.networks.teachers)


def lines(setting: TableSetup) -> tuple[tuple[str, ...], list[TableRow], list[str]]:
    """Return the columns, the rows and the notes of table 2 or 3."""
    columns = tuple(
        f"{teacher}: {what}"
        for teacher in TEACHERS
        for what in ("accuracy, %", *(("balanced accuracy, %", "against plain") * (teacher in setting.teachers)))
    )
    made = [_line(setting, "Teacher", [_of_teacher(setting, t) for t in TEACHERS])]
    made.append(_line(setting, "Student, plain", [_of_method(setting, t, PLAIN, "") for t in TEACHERS]))
    for step in training_grid.STEPS[setting.table]:
        cells = [_of_method(setting, t, step.arm, step.paper) for t in TEACHERS]
        made.append(_line(setting, step.paper, cells, step.doubt))
    smoothed = [_of_method(setting, t, "label_smoothing", None) for t in TEACHERS]
    made.append(_line(setting, "Label smoothing, a control of ours", smoothed))
    return columns, made, []


def _line(setting: TableSetup, name: str, cells: list[list[TableCell]], doubt: str = "") -> TableRow:
    return setting.line(name, [cell for each in cells for cell in each], setting.teachers, [doubt])


def _of_method(setting: TableSetup, teacher: str, arm: str, method: str | None) -> list[TableCell]:
    """Return the cells of a method: of the plain student if `method` is empty; nothing of the paper's if it is None."""
    printed = "" if method is None else _printed(setting, teacher, method)
    if teacher not in setting.teachers:
        return [TableCell(printed)]
    name = arm if arm == "label_smoothing" else setting.arm(arm, teacher)
    found = setting.arms.get(name)
    told = next((v for v in setting.results.verdicts if (v.one, v.other) == (name, PLAIN)), None)
    figures = [TableCell(printed, of_arm(found, "accuracy")), TableCell("", of_arm(found, "balanced_accuracy"))]
    return [*figures, TableCell("", word(told) if told else None)]


def _printed(setting: TableSetup, teacher: str, method: str) -> str:
    rows = [row for row in setting.paper if "accuracy" in row.figures]
    if method:
        mine = [row for row in rows if (row.model, row.teacher) == (method, teacher)]
    else:
        mine = [row for row in rows if row.role == "baseline"]
    return str(mine[0].figures["accuracy"])


def _of_teacher(setting: TableSetup, teacher: str) -> list[TableCell]:
    printed = next(str(row.figures["accuracy"]) for row in setting.paper if row.model == teacher)
    if teacher not in setting.teachers:
        return [TableCell(printed)]
    run = setting.teacher(teacher)
    if run is None:
        return [TableCell(printed), TableCell(), TableCell()]
    scores = resample([predictions(run)])
    return [
        TableCell(printed, of_run(scores["accuracy"])),
        TableCell("", of_run(scores["balanced_accuracy"])),
        TableCell(),
    ]
