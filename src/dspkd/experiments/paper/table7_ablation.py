"""Table 7: the steps of DSP-KD one by one, and the controls that it lacks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from dspkd.evaluation.significance import Verdict, verdicts
from dspkd.experiments.paper import training_grid
from dspkd.experiments.paper.cells import TableSetup, of_arm, of_difference, predictions, word
from dspkd.experiments.paper.claims.rows import ClaimRow
from dspkd.experiments.paper.side_by_side import TableCell, TableRow
from dspkd.experiments.paper.training_grid import PLAIN

SHOWN = {
    "MGD": ("S + MGD (a)", PLAIN),
    "MGD + HF": ("S + MGD + HF (stage 1)", "mgd"),
    "Vanilla-KD": ("S + VKD (b)", PLAIN),
    "NKD": ("S + NKD (stage 2)", "kd"),
    "MGD + HF + VKD": ("S + MGD + HF + VKD", "hierarchical_fusion"),
    "DSP-KD": ("S + MGD + HF + NKD (DSP-KD)", "hierarchical_fusion"),
}
"""``{model: (row as printed, arm that the gain is counted from)}``."""

CONTROLS = {
    "dsp_kd_no_mask": "Control: DSP-KD, mask ratio 0",
    "dsp_kd_swapped": "Control: DSP-KD, stages swapped",
    "dsp_kd_joint": "Control: DSP-KD, one joint stage",
    "hierarchical_fusion": "Control: stage 1 alone, budget of both",
    "normkd": "Control: stage 2 alone, budget of both",
}

Told = Mapping[tuple[str, str, str], Verdict]

_NOTES = [
    "Δ and verdict are against the step that the paper names (S, a, b or stage 1); those of controls against DSP-KD.",
    "Every row has the epochs of both stages together, so that stage 1 alone and stage 2 alone are the budget-matched "
    "controls, and stand twice; whether the paper's rows had equal budgets is not known.",
]


def lines(setting: TableSetup) -> tuple[tuple[str, ...], list[TableRow], list[str]]:
    """Return the columns, the rows and the notes of table 7."""
    (teacher,) = setting.teachers
    steps = {
        step.arm: (setting.arm(step, teacher), setting.arm(SHOWN[step.paper][1], teacher))
        for step in training_grid.LADDER
    }
    controls = {name: (setting.arm(name, teacher), setting.arm("dsp_kd", teacher)) for name in CONTROLS}
    told = _compared(setting, [*steps.values(), *controls.values()])
    columns = ("accuracy, %", "Δ accuracy", "balanced accuracy, %", "macro F1, %", "verdict")
    made = [
        setting.line("ShuffleNetV2 (S)", _cells(setting, (PLAIN, ""), _row(setting, "ShuffleNetV2"), {}), [teacher])
    ]
    for step in training_grid.LADDER:
        cells = _cells(setting, steps[step.arm], _row(setting, step.paper), told)
        made.append(setting.line(SHOWN[step.paper][0], cells, [teacher], [step.doubt]))
    for name, shown in CONTROLS.items():
        made.append(setting.line(shown, _cells(setting, controls[name], None, told), [teacher]))
    return columns, made, _NOTES


def _row(setting: TableSetup, model: str) -> ClaimRow:
    return next(row for row in setting.paper if (row.table, row.model) == ("table 7", model))


def _compared(setting: TableSetup, pairs: Sequence[tuple[str, str]]) -> Told:
    """Return the verdicts of those pairs of which both have a run, by arm, base and metric."""
    there = [pair for pair in pairs if set(pair) <= set(setting.arms)]
    names = dict.fromkeys(name for pair in there for name in pair)
    if not there:
        return {}
    told = verdicts({name: [predictions(run) for run in setting.arms[name].runs] for name in names}, there)
    return {(verdict.one, verdict.other, verdict.metric): verdict for verdict in told}


def _cells(setting: TableSetup, pair: tuple[str, str], row: ClaimRow | None, told: Told) -> list[TableCell]:
    found = setting.arms.get(pair[0])
    gain, decides = (told.get((*pair, metric)) for metric in ("accuracy", "balanced_accuracy"))
    delta = f"{row.delta.value:+.2f}" if row and row.delta else ""
    return [
        TableCell(str(row.figures["accuracy"]) if row else "", of_arm(found, "accuracy")),
        TableCell(delta, of_difference(gain) if gain else None),
        TableCell("", of_arm(found, "balanced_accuracy")),
        TableCell("", of_arm(found, "f1_macro")),
        TableCell("", word(decides) if decides else None),
    ]
