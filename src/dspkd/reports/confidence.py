"""Intervals, calibration and referral of a run: how far its metrics and probabilities can be trusted."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from markupsafe import Markup
from numpy.typing import NDArray

from dspkd.errors import DataError
from dspkd.evaluation.by_lesion import by_lesion
from dspkd.evaluation.calibration import Calibration, calibration, reliability, scaled, temperature
from dspkd.evaluation.intervals import percentiles, resample
from dspkd.evaluation.metrics import Summary, summarise
from dspkd.evaluation.predictions import Predictions
from dspkd.evaluation.ranking import Ranking, ranking
from dspkd.evaluation.selective import SENSITIVITY, Referral, refer, risk_coverage, threshold_for
from dspkd.evaluation.shares import wilson
from dspkd.evaluation.stratified import FEW
from dspkd.reports import plots, style
from dspkd.runs.run_folder import Run

Interval = tuple[float, float]


@dataclass(frozen=True)
class ConfidenceSummary:
    """Intervals, metrics by lesion, calibration and referral of a run.

    Attributes
    ----------
    intervals
        ``{metric: (low, high)}`` over lesions, for each of `METRICS` that is defined.
    recalls
        The interval of each class's recall, in class order; None for a class without images.
    lesions, lesion_intervals
        The summary by lesion, from the mean probability of its images, and its intervals; None where a group has images
        of several classes.
    ranking
        Threshold-free metrics of each class.
    temperature
        Fitted on the validation set.
    raw, scaled
        Calibration on the test set, before and after division of the logits by `temperature`.
    images
        ``{class number: (validation, test)}`` images, for classes in both.
    referrals
        ``{class number: referral}`` on the test set, at thresholds chosen on the validation set, for classes in both
        that have `FEW` lesions in validation.
    missed
        ``{class number: (images, interval)}``, the test images neither found nor referred, and the interval of their
        share; for the classes of `referrals`.
    sensitivity
        The target for which the thresholds were chosen.
    """

    intervals: dict[str, Interval]
    recalls: tuple[Interval | None, ...]
    lesions: Summary | None
    lesion_intervals: dict[str, Interval]
    ranking: tuple[Ranking, ...]
    temperature: float
    raw: Calibration
    scaled: Calibration
    images: dict[int, tuple[int, int]]
    referrals: dict[int, Referral]
    missed: dict[int, tuple[int, Interval]]
    sensitivity: float = SENSITIVITY


def of_run(run: Run) -> ConfidenceSummary:
    """Compute the confidence summary of a run."""
    val, test = run.predictions("val"), run.predictions("test")
    lesions = _lesions(test)
    fitted = temperature(val)
    images = {
        number: (int((val.labels == number).sum()), int((test.labels == number).sum()))
        for number in np.intersect1d(val.labels, test.labels).tolist()
    }
    enough = [number for number in images if len(_images_of_lesions(val, number)) >= FEW]
    referrals = {number: refer(test, number, threshold_for(val, number)) for number in enough}
    return ConfidenceSummary(
        intervals=_intervals(test),
        recalls=_recalls(test),
        lesions=summarise(lesions) if lesions else None,
        lesion_intervals=_intervals(lesions) if lesions else {},
        ranking=ranking(test),
        temperature=fitted,
        raw=calibration(test),
        scaled=calibration(scaled(test, fitted)),
        images=images,
        referrals=referrals,
        missed={number: _missed(test, number, referral) for number, referral in referrals.items()},
    )


def reliability_panels(run: Run, summary: ConfidenceSummary) -> list[Markup]:
    """Draw the reliability diagrams before and after temperature scaling; as a PNG they are one figure."""
    test = run.predictions("test")
    whole, panels = style.sheet(2, width=3.4, height=3.3)
    drawn = []
    versions = [
        ("Before scaling", test, summary.raw),
        (
            f"Logits divided by {summary.temperature:.2f}",
            scaled(test, summary.temperature),
            summary.scaled,
        ),
    ]
    for place, (title, predictions, errors) in enumerate(versions):
        alone, (axes,) = style.sheet(width=3.4, height=3.3)
        for panel in (axes, panels[place]):
            plots.reliability(panel, reliability(predictions), title)
        alt = f"Reliability, {title.lower()}: expected calibration error {errors.ece:.3f}."
        drawn.append(style.svg(alone, name=f"reliability{place}", alt=alt))
    style.png(whole, run.folder / "figures/reliability.png")
    return drawn


def risk_panel(run: Run) -> Markup:
    """Draw the risk-coverage curve: share of errors against share of images predicted."""
    figure, (axes,) = style.sheet(width=4.6, height=2.9)
    coverage, risk = risk_coverage(run.predictions("test"))
    plots.risk_coverage(axes, coverage, risk)
    style.png(figure, run.folder / "figures/risk.png")
    half = risk[int(np.searchsorted(coverage, 0.5))]
    alt = f"Share of errors: {risk[-1]:.3f} of all images, {half:.3f} of the more confident half."
    return style.svg(figure, name="risk", alt=alt)


def _lesions(predictions: Predictions) -> Predictions | None:
    try:
        return by_lesion(predictions)
    except DataError:
        return None


def _intervals(predictions: Predictions) -> dict[str, Interval]:
    scores = resample([predictions])
    return {metric: percentiles(each) for metric, each in scores.items() if not np.isnan(each.observed[0])}


def _missed(test: Predictions, number: int, referral: Referral) -> tuple[int, Interval]:
    sizes = _images_of_lesions(test, number)
    missed = round((1 - referral.found - referral.referred) * int(sizes.sum()))
    return missed, wilson(missed, sizes)


def _images_of_lesions(predictions: Predictions, number: int) -> NDArray[np.int64]:
    """Return how many images each lesion of a class has."""
    _, sizes = np.unique(np.array(predictions.groups)[predictions.labels == number], return_counts=True)
    return np.asarray(sizes)


def _recalls(predictions: Predictions) -> tuple[Interval | None, ...]:
    intervals: list[Interval | None] = []
    for number in range(len(predictions.classes)):
        mine_N = predictions.labels == number
        sizes = _images_of_lesions(predictions, number)
        intervals.append(wilson(int((predictions.predicted[mine_N] == number).sum()), sizes) if len(sizes) else None)
    return tuple(intervals)
