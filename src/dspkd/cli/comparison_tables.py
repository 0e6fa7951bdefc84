"""Tables on the terminal of a comparison: scores by method, and verdicts."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from rich.console import Console

from dspkd.runtime.console import headed
from dspkd.runtime.rounding import score

if TYPE_CHECKING:
    from dspkd.evaluation.significance import Verdict
    from dspkd.reports.comparison_results import Figure, Results


def print_comparison(console: Console, results: Results) -> None:
    """Print a comparison: methods, differences from the controls, and the runs that have no result."""
    metrics = list(dict.fromkeys((results.decide_by, "balanced_accuracy")))
    for metric in metrics:
        _print_scores(console, results, metric)
    for metric in metrics:
        print_verdicts(console, results.verdicts, metric)
    for leak in results.leaks:
        console.print(leak, style="yellow", soft_wrap=True)
    for line in results.unequal:
        console.print(f"not equal: {line}", soft_wrap=True)
    for folder, error in results.failed.items():
        console.print(f"failed: {folder}: {error}", style="red", soft_wrap=True)


def _print_scores(console: Console, results: Results, metric: str) -> None:
    from dspkd.evaluation.scoring import TITLES
    from dspkd.reports.wording import duration

    divided = f" divided in {results.repeats} ways" * (results.repeats > 1)
    what = f"{results.folds} folds{divided}, out-of-fold, mean ± sd" if results.folds else "mean ± sd over seeds"
    counted = "seeds" if results.folds and results.repeats == 1 else "runs"
    title = f"{TITLES[metric]}{', ' * bool(results.name)}{results.name}: {what}, 95 % interval"
    table = headed(title, ["method"], [counted, "mean", "95 %", "training"])
    for arm in results.arms:
        figure = arm.figures[metric]
        interval = f"{score(figure.low)} to {score(figure.high)}"
        table.add_row(arm.name, str(len(arm.runs)), _spread(figure), interval, duration(arm.seconds))
    console.print(table)


def print_verdicts(console: Console, verdicts: Sequence[Verdict], metric: str) -> None:
    """Print the verdicts by one metric, on lines that fit into 80 columns."""
    from dspkd.evaluation.scoring import TITLES
    from dspkd.reports.wording import amount, detectable, interval_of, p_value, result, unit_of

    title = f"{TITLES[metric]}, differences in {unit_of(metric)}"
    figures = ["result", "difference\n95 %", "p pooled\npairwise", "detectable\n80 % power"]
    table = headed(title, ["method"], figures)
    for row in verdicts:
        if row.metric == metric:
            difference = f"{amount(row.difference.value, metric)}\n{interval_of(row.difference, metric)}"
            ps = f"{p_value(row.p_pooled)}\n{p_value(row.p_pairwise)}"
            smallest = detectable(row.minimum_detectable_difference, metric)
            names = f"{row.one}\nagainst {row.other}"
            table.add_row(names, result(row), difference, ps, smallest)
    console.print(table)


def _spread(figure: Figure) -> str:
    return score(figure.mean) if figure.sd is None else f"{score(figure.mean)} ± {figure.sd:.3f}"
