"""The results of a comparison as a page of Markdown."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from statistics import fmean

from dspkd.evaluation.scoring import LOWER_IS_BETTER, METRICS, TITLES
from dspkd.evaluation.significance import LEVEL, POWER
from dspkd.reports import compute_cost, data_card, fidelity_by_arm, wording
from dspkd.reports.comparison import MeanAndSd
from dspkd.reports.comparison_results import Figure, Results


def markdown(results: Sequence[Results]) -> str:
    """Return the results as a Markdown page."""
    return f"# Comparison\n\n{sections(results, '##')}"


def sections(results: Sequence[Results], heading: str = "###") -> str:
    """Return the results as Markdown without a title, each under a heading if it has a name."""
    return "\n".join(_section(each, heading) for each in results)


def _section(results: Results, heading: str) -> str:
    parts = [f"{heading} {results.name}"] if results.name else []
    if results.synthetic:
        parts.append("**Synthetic data: drawings, not photographs. No number here applies to patients.**")
    parts += [f"**{warning}**" for warning in (*results.leaks, *results.warnings)]
    parts += results.unlabelled
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
            _recalls(results),
            _runs(results),
            _card(results),
        ]
    if results.failed:
        rows = [[folder, error.replace("\n", " ")] for folder, error in results.failed.items()]
        parts.append("Without a result:\n\n" + _table(["run", "reason"], rows))
    return "\n\n".join(parts) + "\n"


def _tests(results: Results) -> str:
    first, *others = sorted(results.arms[0].figures, key=results.decide_by.__ne__)
    rows = [
        [
            arm.name,
            str(len(arm.runs)),
            _spread(arm.figures[first]),
            "{0.low:.3f} to {0.high:.3f}".format(arm.figures[first]),
            *(_spread(arm.figures[metric]) for metric in others),
        ]
        for arm in results.arms
    ]
    headings = [
        "method",
        "seeds" if results.folds and results.repeats == 1 else "runs",
        TITLES[first],
        "95 %",
        *(TITLES[metric] for metric in others),
    ]
    splits = " and ".join(f"`{digest[:12]}`" for digest in results.data["split"].split(", "))
    single = any(len(arm.runs) == 1 for arm in results.arms)
    text = (
        f"{wording.counted(results.images, 'test image')}{wording.of_lesions(results.groups)}, split {splits} of "
        f"{results.data['path']}. "
        f"{wording.spread(results.folds, results.repeats, named=bool(results.groups), single=single)} {results.holdout}"
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
    shown = dict.fromkeys((results.decide_by, "auc_macro", "balanced_accuracy", "log_loss"))
    tables = [table for metric in shown if (table := _verdicts_by(results, metric))]
    if not tables:
        return "No verdict: the controls, or all other methods, have no finished run."
    text = (
        f"**{_capital(results.decide_by)} decides**; the other metrics describe. Significant is p < {LEVEL}, where p "
        f"is the larger of two: *pooled* takes the variance over {'folds' if results.folds else 'seeds'} from all "
        "methods together and is corrected "
        "(Holm) for the pairs below, which were chosen in advance; *pairwise* takes it from the pair alone. The report "
        "page compares all methods with each other and corrects for all those pairs. *Inconclusive* does not mean "
        f"equal: a true difference of the size in the last column is significant about {POWER:.0%} of the time. "
        f"{wording.ABOUT_INTERVALS}"
    )
    return "\n\n".join([text, *tables])


def _verdicts_by(results: Results, metric: str) -> str:
    """Return the table of verdicts by a metric; empty where there is none."""
    rows = [
        [
            row.one,
            row.other,
            f"**{wording.result(row)}**",
            wording.amount(row.difference.value, metric),
            wording.interval_of(row.difference, metric),
            *map(wording.p_value, (row.p, row.p_pooled, row.p_pairwise)),
            wording.detectable(row.minimum_detectable_difference, metric),
        ]
        for row in results.verdicts
        if row.metric == metric
    ]
    ps = ["p", "p pooled", "p pairwise"]
    headings = ["method", "against", "verdict", "difference", "95 %", *ps, "minimum detectable difference"]
    less = "; less is better" * (metric in LOWER_IS_BETTER)
    pairs = wording.counted(len(rows), "pair")
    text = f"{_capital(metric)} against the controls, {pairs}, in {wording.unit_of(metric)}{less}:"
    return f"{text}\n\n{_table(headings, rows)}" if rows else ""


def _capital(metric: str) -> str:
    return TITLES[metric][:1].upper() + TITLES[metric][1:]


def _runs(results: Results) -> str:
    runs = [(arm.name, run) for arm in results.arms for run in arm.runs]
    runs += [(f"teacher {Path(run.folder).name}", run) for run in results.teachers]
    rows = [
        [
            name,
            str(run.seed) + f" (split.seed {run.split_seed})" * (results.repeats > 1),
            *(_figure(run.figures[metric]) for metric in METRICS),
            wording.parameters(run.parameters),
            str(run.epochs),
            wording.duration(run.seconds),
        ]
        for name, run in runs
    ]
    return "Each run:\n\n" + _table(["method", "seed", *TITLES.values(), "parameters", "epochs", "training"], rows)


def _recalls(results: Results) -> str:
    images = ", ".join(f"{name} {count:,}" for name, count in results.classes.items())
    present = [name for name, count in results.classes.items() if count]
    rows = [
        [arm.name, *(f"{fmean(run.recalls[name] for run in arm.runs):.3f}" for name in present)] for arm in results.arms
    ]
    return f"Recall by class, mean over runs. Test images: {images}.\n\n" + _table(["method", *present], rows)


def _card(results: Results) -> str:
    if not results.card:
        return f"Data card: {data_card.ABSENT}; these runs did not record it."
    lines = [f"- {data_card.line(section)}" for section in data_card.sections(results.card, ["test"])]
    return "Data card, test images:\n\n" + "\n".join(lines)


def _figure(value: float | None) -> str:
    return "\N{EN DASH}" if value is None else f"{value:.4f}"


def _spread(figure: Figure | MeanAndSd) -> str:
    return f"{figure.mean:.3f}" if figure.sd is None else f"{figure.mean:.3f} ± {figure.sd:.3f}"


def _table(headings: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [headings, ["---"] * len(headings), *rows]
    return "\n".join(f"| {' | '.join(cell.replace('|', '/') for cell in line)} |" for line in lines)
