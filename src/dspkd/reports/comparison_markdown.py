"""The results of a comparison as a page of Markdown."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from dspkd.evaluation.intervals import METRICS
from dspkd.evaluation.significance import LEVEL, POWER
from dspkd.reports import compute_cost, data_card, fidelity_by_arm, wording
from dspkd.reports.comparison import MeanAndSd
from dspkd.reports.comparison_results import Figure, Results


def markdown(results: Sequence[Results]) -> str:
    """Return the results as a Markdown page."""
    return "# Comparison\n" + "".join(f"\n{_section(each)}" for each in results)


def _section(results: Results) -> str:
    parts = [f"## {results.name}"] if results.name else []
    if results.synthetic:
        parts.append("**Synthetic data: drawings, not photographs. No number here applies to patients.**")
    parts += [f"**{leak}**" for leak in results.leaks]
    if results.unequal:
        reason, *differences = results.unequal
        listed = "".join(f"\n- {each}" for each in differences)
        parts.append(f"**The methods were not trained under equal conditions**: {reason}\n{listed}")
    if results.arms:
        parts += [
            _tests(results),
            _verdicts(results),
            _compute(results),
            *_fidelity(results),
            _runs(results),
            _card(results),
        ]
    if results.failed:
        rows = [[folder, error.replace("\n", " ")] for folder, error in results.failed.items()]
        parts.append("Failed runs; the same command tries them again:\n\n" + _table(["run", "error"], rows))
    return "\n\n".join(parts) + "\n"


def _tests(results: Results) -> str:
    rows = [
        [
            arm.name,
            str(len(arm.runs)),
            _spread(arm.figures["balanced_accuracy"]),
            "{0.low:.3f} to {0.high:.3f}".format(arm.figures["balanced_accuracy"]),
            *(_spread(arm.figures[metric]) for metric in METRICS[1:]),
        ]
        for arm in results.arms
    ]
    headings = ["method", "runs", "balanced accuracy", "95 %", "macro F1", "accuracy"]
    text = (
        f"{wording.counted(results.images, 'test image')} of {wording.counted(results.groups, 'lesion')}, split "
        f"`{results.data['split'][:12]}` of {results.data['path']}. Mean ± standard deviation over seeds (n - 1); the "
        f"interval is over lesions and seeds. {results.holdout}"
    )
    return f"{text}\n\n{_table(headings, rows)}"


def _compute(results: Results) -> str:
    rows = compute_cost.rows({arm.name: arm.compute for arm in results.arms})
    return f"{compute_cost.CAPTION}\n\n{_table(compute_cost.HEADINGS, rows)}"


def _fidelity(results: Results) -> list[str]:
    by_arm = {arm.name: arm.fidelity for arm in results.arms if arm.fidelity}
    if not by_arm:
        return []
    rows = [
        [
            name,
            "yes" if each.has_teacher else "no",
            *("\N{EN DASH}" if value is None else _spread(value) for value in each.spreads),
        ]
        for name, each in by_arm.items()
    ]
    return [f"{fidelity_by_arm.CAPTION}\n\n{_table(fidelity_by_arm.HEADINGS, rows)}"]


def _verdicts(results: Results) -> str:
    rows = [
        [
            row.one,
            row.other,
            f"**{row.word}**",
            wording.points(row.difference.value),
            f"{wording.points(row.difference.low)} to {wording.points(row.difference.high)}",
            wording.p_value(row.p),
            wording.detectable(row.minimum_detectable_difference),
        ]
        for row in results.verdicts
        if row.metric == METRICS[0]
    ]
    if not rows:
        return "No verdict: the controls, or all other methods, have no finished run."
    headings = ["method", "against", "verdict", "difference", "95 %", "p", "minimum detectable difference"]
    text = (
        f"Balanced accuracy against the controls, in percentage points. p is corrected (Holm) for these {len(rows)} "
        f"pairs; significant is p < {LEVEL}. The report page compares all methods with each other and corrects for "
        "all those pairs. *Inconclusive* does not mean equal: a true difference of the size in the last column is "
        f"significant {POWER:.0%} of the time."
    )
    return f"{text}\n\n{_table(headings, rows)}"


def _runs(results: Results) -> str:
    runs = [(arm.name, run) for arm in results.arms for run in arm.runs]
    runs += [(f"teacher {Path(run.folder).name}", run) for run in results.teachers]
    rows = [
        [name, str(run.seed), *(f"{run.figures[metric]:.4f}" for metric in METRICS), wording.duration(run.seconds)]
        for name, run in runs
    ]
    return "Each run:\n\n" + _table(["method", "seed", "balanced accuracy", "macro F1", "accuracy", "training"], rows)


def _card(results: Results) -> str:
    if not results.card:
        return f"Data card: {data_card.ABSENT}; these runs did not record it."
    lines = [f"- {data_card.line(section)}" for section in data_card.sections(results.card, ["test"])]
    return "Data card, test images:\n\n" + "\n".join(lines)


def _spread(figure: Figure | MeanAndSd) -> str:
    return f"{figure.mean:.3f}" if figure.sd is None else f"{figure.mean:.3f} ± {figure.sd:.3f}"


def _table(headings: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [headings, ["---"] * len(headings), *rows]
    return "\n".join(f"| {' | '.join(cell.replace('|', '/') for cell in line)} |" for line in lines)
