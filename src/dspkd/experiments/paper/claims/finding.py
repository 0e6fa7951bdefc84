"""What a rule found: what cannot be, what a reader should ask about, what could not be checked."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Severity(StrEnum):
    """How grave a finding is, gravest first."""

    IMPOSSIBLE = "impossible"
    """No experiment gives these figures together, if what the row supposes is so."""
    IMPLAUSIBLE = "implausible"
    """Chance does not explain it."""
    UNEXPLAINED = "needs explanation"
    """It can be, and the reader should be told how."""
    UNCHECKED = "could not be checked"
    """Something is missing; `ClaimFinding.says` names it."""
    PASSED = "passed"
    """Checked, and nothing found."""


@dataclass(frozen=True)
class ClaimFinding:
    """What a rule says.

    Attributes
    ----------
    rule
        The rule's name.
    severity
        How grave it is.
    where
        The row, and where its figures stand.
    says
        In a sentence.
    arithmetic
        The numbers, so that a reader can do it again.
    supposes
        What has to be so for this to hold.
    """

    rule: str
    severity: Severity
    where: str
    says: str
    arithmetic: str = ""
    supposes: tuple[str, ...] = ()
