"""Temperature and referral thresholds of a bundle, fitted on validation images."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from dspkd.data.table import count_of, named
from dspkd.deploy.bundle.advice import ReferralRule
from dspkd.deploy.bundle.limits import counted, percent
from dspkd.errors import BundleError
from dspkd.evaluation import calibration, referral, selective
from dspkd.evaluation.classes import Malignancy, melanoma
from dspkd.evaluation.predictions import Predictions

COVERAGE = 0.9
"""The share of images answered where no class is melanoma, which sets the confidence threshold otherwise (inferred)."""


@dataclass(frozen=True)
class Thresholds:
    """Temperature and thresholds; see `dspkd.deploy.bundle.spec.BundleSpec`.

    Attributes
    ----------
    temperature
        By which logits are divided.
    refer_below, rule
        Confidence below which to refer, and how it was chosen.
    refer_from, refer_from_rule
        Sum of the probabilities of the classes that are not benign from which to refer, and how it was chosen; None,
        and why there is none.
    """

    temperature: float
    refer_below: float
    rule: str
    refer_from: float | None
    refer_from_rule: str

    def to_json(self) -> dict[str, float | str | None]:
        """Return the key `thresholds` of a `spec.json`."""
        return {
            "refer_below": self.refer_below,
            "rule": self.rule,
            "refer_from": self.refer_from,
            "refer_from_rule": self.refer_from_rule,
        }


def fit(validation: Predictions, kinds: Sequence[Malignancy], coverage: float | None = None) -> Thresholds:
    """Fit temperature and thresholds on the predictions of the model that they are for.

    Parameters
    ----------
    validation
        Predictions for the validation images.
    kinds
        Of the K classes.
    coverage
        See `dspkd.deploy.export.export.export`.

    Raises
    ------
    BundleError
        `coverage` is no share.
    """
    temperature = calibration.temperature(validation)
    calibrated = calibration.scaled(validation, temperature)
    refer_below, rule = _refer_below(calibrated, coverage)
    refer_from = referral.threshold(calibrated, kinds)
    return Thresholds(temperature, refer_below, rule, refer_from, _refer_from_rule(calibrated, kinds, refer_from))


def referred(rule: ReferralRule, temperature: float, predictions: Predictions) -> NDArray[np.bool_]:
    """Return ``[N]``, whether a rule refers each image, from logits that the temperature has not divided yet."""
    p_NK = calibration.scaled(predictions, temperature).probabilities
    return np.array([rule.advise(p_K).refer for p_K in p_NK])


def _refer_below(calibrated: Predictions, coverage: float | None) -> tuple[float, str]:
    share = COVERAGE if coverage is None else coverage
    if not 0 < share <= 1:
        raise BundleError(
            f"coverage: {share}; want the share of the images that confidence does not refer, above 0 and up to 1"
        )
    by_coverage = selective.threshold_at(calibrated, share)
    answered = f"By confidence alone, {percent(share)}% of the validation images are not referred"
    number = melanoma(calibrated.classes)
    rows = [] if number is None else np.flatnonzero(calibrated.labels == number).tolist()
    if coverage is not None or number is None or not rows:
        return by_coverage, f"{answered}."
    name, groups = calibrated.classes[number], {calibrated.groups[row] for row in rows}
    by_sensitivity = selective.threshold_for(calibrated, number)
    rule = f"With it, {selective.SENSITIVITY:.0%} of the {name} images in validation are found or referred"
    if len(groups) >= referral.FEWEST_LESIONS or by_sensitivity >= by_coverage:
        return by_sensitivity, f"{rule} ({counted(len(rows), named(groups))})."
    few = f"{count_of(groups)} of {name} in validation: too few to set it"
    return by_coverage, f"{answered}; {few}."


def _refer_from_rule(calibrated: Predictions, kinds: Sequence[Malignancy], refer_from: float | None) -> str:
    if "malignant" not in kinds:
        return "None of its classes is known to be malignant, so it cannot recognise a cancer."
    cancer_N = referral.of_kinds(calibrated, kinds, "malignant")
    of_cancers = referral.share_of(
        referral.not_benign(calibrated, kinds) >= (refer_from or 0.0), cancer_N, calibrated.groups
    )
    if refer_from is None:
        groups = {calibrated.groups[row] for row in np.flatnonzero(cancer_N)}
        return (
            f"Its validation set has {count_of(groups)} of malignant classes, "
            f"and a threshold needs {referral.FEWEST_LESIONS}."
        )
    rule = (
        f"Set so that {referral.SENSITIVITY:.0%} of the images of cancers in validation reach it"
        f"{f', and not above {referral.MOST:.0%}' * (refer_from == referral.MOST)}: "
        f"{percent(of_cancers.share or 0, 1)} % did (95 % interval {percent(of_cancers.low, 1)} to "
        f"{percent(of_cancers.high, 1)} %; {counted(of_cancers.images, of_cancers.lesions)})."
    )
    absent = [
        name
        for number, (name, kind) in enumerate(zip(calibrated.classes, kinds, strict=True))
        if kind == "malignant" and not (calibrated.labels == number).any()
    ]
    return f"{rule} No image of {', '.join(absent)} was among them." if absent else rule
