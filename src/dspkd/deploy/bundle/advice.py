"""The advice for an image: to refer it, or that no threshold for that is reached. Never that all is well.

``static/advice.js`` of the page is the same in JavaScript.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
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
            reasons.append(
                f"{_TOGETHER} {percent(not_benign)}; from {percent(self.refer_from)} the advice is to refer."
            )
        if not top.benign:
            reasons.append(f"The most probable class, {top.name}, is {_IS[top.malignancy]}.")
        if not confidence >= self.refer_below:
            reasons.append(
                f"Not sure: the highest probability, {percent(confidence)}, is below {percent(self.refer_below)}."
            )
        if self.refer_from is None:
            reasons.append(f"The advice is always to refer: {self.why[:1].lower()}{self.why[1:]}")
        if reasons:
            return Advice(True, REFER, tuple(reasons), not_benign)
        below = f"{_TOGETHER} {percent(not_benign)}, below the threshold of {percent(self.refer_from or 0)}."
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


def percent(share: float) -> str:
    """Return a share in per cent: one decimal, below 1 % two."""
    return f"{100 * share:.{1 if share >= 0.01 else 2}f} %"
