"""Provenance: everything that must be equal to reproduce the numbers of a run."""

from __future__ import annotations

from dspkd.reports import holdout
from dspkd.runs.records import EARLIER, FROM_EPOCH
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
    facts = dict(run.environment)
    earlier = facts.pop(EARLIER, None)
    table += [(name, str(value)) for name, value in facts.items()]
    for before in earlier if isinstance(earlier, list) else ():
        others = {name: value for name, value in before.items() if value != facts.get(name)}
        epoch = others.pop(FROM_EPOCH)
        table.append((f"before, from epoch {epoch}", ", ".join(f"{name} {value}" for name, value in others.items())))
    return table
