"""Says how often the test images of runs were opened."""

from __future__ import annotations

from collections.abc import Sequence

from dspkd.runs.run_folder import Run


def told(run: Run) -> str:
    """Return how often a run's test images have been opened, when, and by what."""
    if run.openings is None:
        return (
            f"The test images were opened at least {_times(run.result.test_evaluations)}; "
            "this run was made before openings were counted."
        )
    listed = ", ".join(f"{opening.purpose} on {opening.date[:10]}" for opening in run.openings)
    said = f"The test images have been opened {_times(len(run.openings))}: {listed}."
    if len(run.openings) > 1:
        said += " Each look that led to a change makes the test numbers more optimistic."
    return said


def warning(run: Run) -> str:
    """Return what to say of openings that training may have learnt from; empty where there is none."""
    if not run.early:
        return ""
    first = run.early[0]
    return (
        f"The test images of {run.result.name} (seed {run.result.seed}) were opened before its training ended, on "
        f"{first.date[:10]} after {first.epochs} epochs or with other weights than the final ones: its test numbers "
        "may have been chosen by the test images."
    )


def of_several(runs: Sequence[Run]) -> str:
    """Return how often the test images of runs of a comparison were opened, naming those that were more than once."""
    again = [run for run in runs if (len(run.openings) if run.openings else run.result.test_evaluations) > 1]
    unknown = sum(run.openings is None for run in runs)
    said = f"Test images were opened once by each of the {len(runs)} runs, when its training had ended"
    if again:
        counts = [f"{run.folder} {_times(len(run.openings or ()) or run.result.test_evaluations)}" for run in again]
        said = f"Test images were opened once by each run, when its training had ended, but for {', '.join(counts)}"
    return f"{said}; {unknown} were made before openings were counted." if unknown else f"{said}."


def _times(number: int) -> str:
    return {1: "once", 2: "twice"}.get(number, f"{number} times")
