"""Findings of the rules about a table of results, and their severity."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Severity(StrEnum):
    """Severity of a finding, most severe first."""

    IMPOSSIBLE = "impossible"
    """No experiment can give these figures together, under the assumptions of the row."""
    IMPLAUSIBLE = "implausible"
    """Chance does not explain it."""
    UNEXPLAINED = "needs explanation"
    """Possible, and a reader needs to know how."""
    UNCHECKED = "could not be checked"
    """A figure is missing; `ClaimFinding.message` names it."""
    PASSED = "passed"
    """Checked, without a finding."""


@dataclass(frozen=True)
class ClaimFinding:
    """A finding of a rule.

    Attributes
    ----------
    rule
        Name of the rule.
    severity
        Its severity.
    where
        The row, and the table that has its figures.
    message
        The finding, in a sentence.
    arithmetic
        The calculation, so that a reader can repeat it.
    assumes
        Assumptions under which it holds.
    """

    rule: str
    severity: Severity
    where: str
    message: str
    arithmetic: str = ""
    assumes: tuple[str, ...] = ()
