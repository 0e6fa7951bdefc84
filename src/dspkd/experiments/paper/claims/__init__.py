"""Check a table of results, ours or a published one, for figures that are impossible or need an explanation.

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
    matrix_rules.balanced_accuracy,
    matrix_rules.f1_of_means,
    matrix_rules.granularity,
    rules.macro_mean,
    rules.deltas,
    rules.two_values,
    rules.above_teacher,
    rules.accuracy_up,
    rules.gain_in_noise,
)
"""Each a function of a `ClaimTable`; its docstring states the rule."""


def check(rows: Iterable[ClaimRow]) -> list[ClaimFinding]:
    """Return the findings of all rules, most severe first; what could not be checked for one reason is one finding."""
    table = ClaimTable(rows)
    findings = [finding for rule in RULES for finding in rule(table)]
    order = list(Severity)
    return sorted(_merged(findings), key=lambda finding: order.index(finding.severity))


def _merged(findings: Sequence[ClaimFinding]) -> list[ClaimFinding]:
    """Return the findings, with those that could not be checked for one reason merged into one."""
    kept, missing = [], dict[tuple[str, str], list[str]]()
    for finding in findings:
        if finding.severity is Severity.UNCHECKED:
            missing.setdefault((finding.rule, finding.message), []).append(finding.where)
        else:
            kept.append(finding)
    return kept + [
        ClaimFinding(rule, Severity.UNCHECKED, _listed(list(dict.fromkeys(where))), message)
        for (rule, message), where in missing.items()
    ]


def _listed(names: Sequence[str]) -> str:
    return names[0] if len(names) == 1 else f"{len(names)} rows: {', '.join(names[:3])}" + ", ..." * (len(names) > 3)
