"""How often the test set of runs was evaluated, in words."""

from __future__ import annotations

from collections.abc import Sequence

from dspkd.runs.run_folder import Run


def summary(run: Run) -> str:
    """Return how often a run's test set was evaluated, when, and by which command."""
    if run.openings is None:
        return (
            f"The test set was evaluated at least {_times(run.result.test_evaluations)}; "
            "this run kept no record of its test-set evaluations."
        )
    listed = ", ".join(f"{evaluation.purpose} on {evaluation.date[:10]}" for evaluation in run.openings)
    text = f"The test set was evaluated {_times(len(run.openings))}: {listed}."
    if len(run.openings) > 1:
        text += " Every change made after looking at test results makes them more optimistic."
    return text


def warning(run: Run) -> str:
    """Return a warning of test-set evaluations before training ended; empty where there is none."""
    if not run.early:
        return ""
    first = run.early[0]
    return (
        f"The test set of {run.result.name} (seed {run.result.seed}) was evaluated before its training ended, on "
        f"{first.date[:10]} after {first.epochs} epochs or with other weights than the final ones: its test results "
        "may be optimistic, since choices may have been made on the test set."
    )


def of_several(runs: Sequence[Run]) -> str:
    """Return how often the test sets of the runs of a comparison were evaluated; names those evaluated repeatedly."""
    again = [run for run in runs if (len(run.openings) if run.openings else run.result.test_evaluations) > 1]
    unknown = sum(run.openings is None for run in runs)
    text = f"Each of the {len(runs)} runs evaluated the test set once, after training"
    if again:
        counts = [f"{run.folder} {_times(len(run.openings or ()) or run.result.test_evaluations)}" for run in again]
        text = f"Each run evaluated the test set once, after training, except {', '.join(counts)}"
    return f"{text}; {unknown} of them kept no record, so there may be more evaluations." if unknown else f"{text}."


def _times(number: int) -> str:
    return {1: "once", 2: "twice"}.get(number, f"{number} times")
