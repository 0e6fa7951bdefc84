"""Table 7: the ablation of DSP-KD, and the controls that the paper lacks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from dspkd.evaluation.significance import Verdict, verdicts
from dspkd.experiments.paper import training_grid
from dspkd.experiments.paper.cells import TableSetup, of_arm, of_difference, predictions, word
from dspkd.experiments.paper.claims.rows import ClaimRow
from dspkd.experiments.paper.side_by_side import TableCell, TableRow
from dspkd.experiments.paper.training_grid import PLAIN

STEPS = {
    "MGD": ("S + MGD (a)", PLAIN),
    "MGD + HF": ("S + MGD + HF (stage 1)", "mgd"),
    "Vanilla-KD": ("S + VKD (b)", PLAIN),
    "NKD": ("S + NKD (stage 2)", "kd"),
    "MGD + HF + VKD": ("S + MGD + HF + VKD", "hierarchical_fusion"),
    "DSP-KD": ("S + MGD + HF + NKD (DSP-KD)", "hierarchical_fusion"),
}
"""``{model: (row as printed, method that the gain refers to)}``."""

CONTROLS = {
    "dsp_kd_no_mask": "Control: DSP-KD, mask ratio 0",
    "dsp_kd_swapped": "Control: DSP-KD, stages swapped",
    "dsp_kd_joint": "Control: DSP-KD, one joint stage",
    "hierarchical_fusion": "Control: stage 1 alone, budget of both",
    "normkd": "Control: stage 2 alone, budget of both",
}

Verdicts = Mapping[tuple[str, str, str], Verdict]

_NOTES = [
    "Δ and result are against the step that the paper names (S, a, b or stage 1); those of controls against DSP-KD.",
    "Every row has the epochs of both stages together, so stage 1 alone and stage 2 alone are the budget-matched "
    "controls, and are listed twice; whether the paper's rows had equal budgets is not known.",
]


def lines(setup: TableSetup) -> tuple[tuple[str, ...], list[TableRow], list[str]]:
    """Return the columns, the rows and the notes of table 7."""
    (teacher,) = setup.teachers
    steps = {
        step.arm: (setup.arm(step, teacher), setup.arm(STEPS[step.paper][1], teacher))
        for step in training_grid.ABLATION
    }
    controls = {name: (setup.arm(name, teacher), setup.arm("dsp_kd", teacher)) for name in CONTROLS}
    results = _compared(setup, [*steps.values(), *controls.values()])
    columns = ("accuracy, %", "Δ accuracy", "balanced accuracy, %", "macro F1, %", "result")
    rows = [setup.line("ShuffleNetV2 (S)", _cells(setup, (PLAIN, ""), _row(setup, "ShuffleNetV2"), {}), [teacher])]
    for step in training_grid.ABLATION:
        cells = _cells(setup, steps[step.arm], _row(setup, step.paper), results)
        rows.append(setup.line(STEPS[step.paper][0], cells, [teacher], [step.doubt]))
    for name, title in CONTROLS.items():
        rows.append(setup.line(title, _cells(setup, controls[name], None, results), [teacher]))
    return columns, rows, _NOTES


def _row(setup: TableSetup, model: str) -> ClaimRow:
    return next(row for row in setup.paper if (row.table, row.model) == ("table 7", model))


def _compared(setup: TableSetup, pairs: Sequence[tuple[str, str]]) -> Verdicts:
    """Return the verdicts of the pairs of which both have a run, by method, base and metric."""
    complete = [pair for pair in pairs if set(pair) <= set(setup.arms)]
    names = dict.fromkeys(name for pair in complete for name in pair)
    if not complete:
        return {}
    results = verdicts({name: [predictions(run) for run in setup.arms[name].runs] for name in names}, complete)
    return {(verdict.one, verdict.other, verdict.metric): verdict for verdict in results}


def _cells(setup: TableSetup, pair: tuple[str, str], row: ClaimRow | None, results: Verdicts) -> list[TableCell]:
    arm = setup.arms.get(pair[0])
    gain, primary = (results.get((*pair, metric)) for metric in ("accuracy", "balanced_accuracy"))
    delta = f"{row.delta.value:+.2f}" if row and row.delta else ""
    return [
        TableCell(str(row.figures["accuracy"]) if row else "", of_arm(arm, "accuracy")),
        TableCell(delta, of_difference(gain) if gain else None),
        TableCell("", of_arm(arm, "balanced_accuracy")),
        TableCell("", of_arm(arm, "f1_macro")),
        TableCell("", word(primary) if primary else None),
    ]
