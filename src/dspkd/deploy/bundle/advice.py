"""The advice for an image: to refer it, or that no threshold for that is reached. Never that all is well.

``static/advice.js`` of the page is the same in JavaScript.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import ROUND_HALF_UP, Decimal
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dspkd.deploy.bundle.spec import BundleClass, BundleSpec

REFER = "Refer to a dermatologist."
NOT_REACHED = "No referral threshold reached: this is no all-clear."

_TOGETHER = "Malignant or possibly malignant classes together have"


@dataclass(frozen=True)
class Advice:
    """The advice for an image. No diagnosis.

    Attributes
    ----------
    refer
        Whether to refer the image to a physician.
    sentence
        `REFER` or `NOT_REACHED`.
    reasons
        Why, in one sentence or several.
    not_benign
        Sum of the probabilities of all classes that are not known to be benign.
    """

    refer: bool
    sentence: str
    reasons: tuple[str, ...]
    not_benign: float

    def __str__(self) -> str:
        return " ".join([self.sentence, *self.reasons])

    def to_json(self) -> dict[str, Any]:
        """Return plain data, the sentence first."""
        return {
            "advice": self.sentence,
            "refer": self.refer,
            "reasons": list(self.reasons),
            "not_benign": self.not_benign,
        }


@dataclass(frozen=True)
class ReferralRule:
    """When a bundle advises to refer: one of its thresholds is reached, or it has none for malignant classes.

    Attributes
    ----------
    classes
        The K classes, in the order of the probabilities.
    refer_below
        Refer where the largest probability is below it.
    refer_from
        Refer where the sum of the probabilities of the classes that are not benign is at least this. None: always.
    why
        Why `refer_from` is None, in a sentence; otherwise how it was chosen.
    """

    classes: tuple[BundleClass, ...]
    refer_below: float
    refer_from: float | None
    why: str

    def advise(self, p_K: NDArray[np.float64] | Sequence[float]) -> Advice:
        """Return the advice for the calibrated probabilities of an image.

        Refers, too, where the most probable class is not benign, however high the threshold for the sum is.
        """
        p = [float(each) for each in p_K]
        confidence = max(p)
        top = self.classes[p.index(confidence)]
        not_benign = sum(each for each, of in zip(p, self.classes, strict=True) if not of.benign)
        reasons = []
        # Written so that a probability that is no number refers.
        if self.refer_from is not None and not not_benign < self.refer_from:
            together, threshold = percents(not_benign, self.refer_from)
            reasons.append(f"{_TOGETHER} {together}; from {threshold} the advice is to refer.")
        if not top.benign:
            reasons.append(f"The most probable class, {top.name}, is {_IS[top.malignancy]}.")
        if not confidence >= self.refer_below:
            highest, threshold = percents(confidence, self.refer_below)
            reasons.append(f"Not sure: the highest probability, {highest}, is below {threshold}.")
        if self.refer_from is None:
            reasons.append(f"The advice is always to refer: {self.why[:1].lower()}{self.why[1:]}")
        if reasons:
            return Advice(True, REFER, tuple(reasons), not_benign)
        together, threshold = percents(not_benign, self.refer_from or 0)
        below = f"{_TOGETHER} {together}, below the threshold of {threshold}."
        return Advice(
            False, NOT_REACHED, (below, "A cancer can stay below it, too; see the limits of this network."), not_benign
        )


_IS = {"malignant": "malignant", "premalignant": "one that can become malignant", "unknown": "not known to be benign"}


def rule_of(spec: BundleSpec, precision: str) -> ReferralRule:
    """Return the rule of a bundle for one of its models; the thresholds hold for the default one alone."""
    if precision != spec.default and spec.refer_from is not None:
        why = f"The thresholds of this bundle were set for its {spec.default} model, not for {precision}."
        return ReferralRule(spec.classes, spec.refer_below, None, why)
    return ReferralRule(spec.classes, spec.refer_below, spec.refer_from, spec.refer_from_rule)


def percent(share: float, more: int = 0) -> str:
    """Return a share in per cent, with one decimal, below 1 % two, and so many more; 0 or 100 only where it is that.

    >>> [percent(share) for share in (1.0, 0.9996, 0.95, 0.004, 0.00004, 0.0)]
    ['100.0 %', 'more than 99.9 %', '95.0 %', '0.40 %', 'less than 0.01 %', '0.00 %']
    """
    rounded, last = _rounded(share, more)
    if 0 < share < 1 and rounded in (0, 100):
        return f"less than {last:f} %" if rounded == 0 else f"more than {100 - last:f} %"
    return f"{rounded:f} %"


def percents(share: float, threshold: float) -> tuple[str, str]:
    """Return a share and its threshold in per cent, with as many decimals as they need to differ, if they do."""
    more = 0
    while share != threshold and _rounded(share, more)[0] == _rounded(threshold, more)[0] and more < _MOST_MORE:
        more += 1
    return percent(share, more), percent(threshold, more)


_MOST_MORE = 15


def _rounded(share: float, more: int) -> tuple[Decimal, Decimal]:
    """Return a share in per cent, rounded, and one unit of its last decimal; halves go up, as in JavaScript."""
    last = Decimal(1).scaleb(-(1 if share >= 0.01 else 2) - more)
    return Decimal(100 * share).quantize(last, ROUND_HALF_UP), last


def probability(value: float) -> str:
    """Return a probability with three decimals, which reads 0 or 1 only where it is that."""
    rounded = f"{value:.3f}"
    if 0 < value < 1 and float(rounded) in (0, 1):
        return "below 0.001" if value < 0.5 else "above 0.999"
    return rounded
