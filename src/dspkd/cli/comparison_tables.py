"""Tables on the terminal of a comparison: scores by method, and verdicts."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from rich.console import Console

from dspkd.runtime.console import headed

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

    title = f"{TITLES[metric]}{', ' * bool(results.name)}{results.name}: mean ± sd over seeds, 95 % interval"
    table = headed(title, ["method"], ["runs", "mean", "95 %", "training"])
    for arm in results.arms:
        score = arm.figures[metric]
        interval = f"{score.low:.3f} to {score.high:.3f}"
        table.add_row(arm.name, str(len(arm.runs)), _spread(score), interval, duration(arm.seconds))
    console.print(table)


def print_verdicts(console: Console, verdicts: Sequence[Verdict], metric: str) -> None:
    """Print the verdicts by one metric; p is the larger of the pooled and the pairwise one."""
    from dspkd.evaluation.scoring import LOWER_IS_BETTER, TITLES

    scale, digits = (1, 3) if metric in LOWER_IS_BETTER else (100, 1)
    unit = "nats, less is better" if metric in LOWER_IS_BETTER else "percentage points"
    title = f"{TITLES[metric]}, differences in {unit}; detectable: with 80 % power"
    table = headed(
        title, ["method", "against"], ["result", "difference, 95 %", "p", "pooled", "pairwise", "detectable"]
    )
    for row in verdicts:
        if row.metric == metric:
            ps = ["-" if p is None else f"{p:.3f}" for p in (row.p, row.p_pooled, row.p_pairwise)]
            smallest = row.minimum_detectable_difference
            detectable = "-" if smallest is None else f"{scale * smallest:.{digits}f}"
            value, low, high = (
                f"{scale * each:+.{digits}f}"
                for each in (row.difference.value, row.difference.low, row.difference.high)
            )
            table.add_row(row.one, row.other, row.word, f"{value}\n{low} to {high}", *ps, detectable)
    console.print(table)


def _spread(figure: Figure) -> str:
    return f"{figure.mean:.3f}" if figure.sd is None else f"{figure.mean:.3f} ± {figure.sd:.3f}"
