"""Checks a table of results, ours or one typed from a paper: what cannot be, and what a reader should ask about.

Needs no torch, no images and no run: only the figures.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from dspkd.experiments.paper.claims import matrix_rules, rules
from dspkd.experiments.paper.claims.finding import ClaimFinding, Severity
from dspkd.experiments.paper.claims.rows import ClaimRow, ClaimTable

__all__ = ["RULES", "ClaimFinding", "Severity", "check"]

RULES = (
    rules.same_network,
    matrix_rules.specificity,
    matrix_rules.f1_of_classes,
    matrix_rules.granularity,
    rules.macro_mean,
    rules.deltas,
    rules.two_values,
    rules.above_teacher,
    rules.accuracy_up,
    rules.gain_in_noise,
)
"""Each a function of a `ClaimTable`; its docstring says what it holds a table to."""


def check(rows: Iterable[ClaimRow]) -> list[ClaimFinding]:
    """Return what each rule says of a table, gravest first; what lacks alike is told once."""
    table = ClaimTable(rows)
    found = [finding for rule in RULES for finding in rule(table)]
    order = list(Severity)
    return sorted(_once(found), key=lambda finding: order.index(finding.severity))


def _once(found: Sequence[ClaimFinding]) -> list[ClaimFinding]:
    """Return the findings with those that could not be checked for one reason put together."""
    kept, missing = [], dict[tuple[str, str], list[str]]()
    for finding in found:
        if finding.severity is Severity.UNCHECKED:
            missing.setdefault((finding.rule, finding.says), []).append(finding.where)
        else:
            kept.append(finding)
    return kept + [
        ClaimFinding(rule, Severity.UNCHECKED, _listed(list(dict.fromkeys(where))), says)
        for (rule, says), where in missing.items()
    ]


def _listed(names: Sequence[str]) -> str:
    return names[0] if len(names) == 1 else f"{len(names)} rows: {', '.join(names[:3])}" + ", ..." * (len(names) > 3)
