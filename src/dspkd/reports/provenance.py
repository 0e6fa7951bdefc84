"""What has to be the same for a run's numbers to come out again."""

from __future__ import annotations

from dspkd.reports import holdout
from dspkd.runs.run_folder import Run

_DIGITS = 16


def rows(run: Run) -> list[tuple[str, str]]:
    """Return what to name, and its value, in the order in which one would check it."""
    result, data = run.result, run.data
    named = [
        ("Recipe", f"{result.name}, digest {result.digest}"),
        ("Seed", str(result.seed)),
        ("Images", f"{data.path} ({data.layout}), fingerprint {data.digest[:_DIGITS]}"),
        ("Split", f"fingerprint {data.split_digest[:_DIGITS]}"),
        ("Student", f"{result.model}, {result.parameters:,} parameters"),
        ("Teacher", result.teacher or "none"),
        ("Test part", holdout.told(run)),
    ]
    return named + [(name, str(value)) for name, value in run.environment.items()]
