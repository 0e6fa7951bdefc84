"""How often the test set of runs was evaluated, in words."""

from __future__ import annotations

from collections.abc import Sequence

from dspkd.runs.run_folder import Run


def summary(run: Run) -> str:
    """Return how often a run's test set was evaluated, when, and by which command."""
    listed = ", ".join(f"{evaluation.purpose} on {evaluation.date[:10]}" for evaluation in run.test_evaluations)
    text = f"The test set was evaluated {_times(len(run.test_evaluations))}: {listed}."
    if len(run.test_evaluations) > 1:
        text += " Every change made after looking at test results makes them more optimistic."
    return text


def warning(run: Run) -> str:
    """Return a warning of test-set evaluations before training ended; empty where there is none."""
    if not run.early_evaluations:
        return ""
    first = run.early_evaluations[0]
    return (
        f"The test set of {run.result.name} (seed {run.result.seed}{_division(run)}) was evaluated before its training "
        f"ended, on {first.date[:10]} after {first.epochs} epochs or with other weights than the final ones: its test "
        "results may be optimistic, since choices may have been made on the test set."
    )


def of_several(runs: Sequence[Run]) -> str:
    """Return how often the test sets of the runs of a comparison were evaluated; names those evaluated repeatedly."""
    runs = [part for run in runs for part in run.parts]
    again = [f"{run.folder} {_times(len(run.test_evaluations))}" for run in runs if len(run.test_evaluations) > 1]
    if again:
        return f"Each run evaluated the test set once, after training, except {', '.join(again)}."
    return f"Each of the {len(runs)} runs evaluated the test set once, after training."


def _division(run: Run) -> str:
    return f", split.seed {run.recipe.split.seed}" if run.recipe.split.folds else ""


def _times(number: int) -> str:
    return {1: "once", 2: "twice"}.get(number, f"{number} times")
