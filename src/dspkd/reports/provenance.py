"""Provenance: everything that must be equal to reproduce the numbers of a run."""

from __future__ import annotations

from dspkd.reports import holdout
from dspkd.runs.run_folder import Run

_DIGITS = 16


def rows(run: Run) -> list[tuple[str, str]]:
    """Return the names and values to check, in the order to check them."""
    result, data = run.result, run.data
    table = [
        ("Recipe", f"{result.name}, digest {result.digest}"),
        ("Seed", str(result.seed)),
        ("Images", f"{data.path} ({data.layout}), fingerprint {data.digest[:_DIGITS]}"),
        ("Split", f"fingerprint {data.split_digest[:_DIGITS]}"),
        ("Student", f"{result.model}, {result.parameters:,} parameters"),
        ("Teacher", result.teacher or "none"),
        ("Test set", holdout.summary(run)),
    ]
    return table + [(name, str(value)) for name, value in run.environment.items()]
