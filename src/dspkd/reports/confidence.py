"""What a run's page says of how far its numbers and its probabilities can be trusted."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from markupsafe import Markup

from dspkd.errors import DataError
from dspkd.evaluation.by_lesion import by_lesion
from dspkd.evaluation.calibration import Calibration, calibration, reliability, scaled, temperature
from dspkd.evaluation.intervals import METRICS, percentiles, resample, wilson
from dspkd.evaluation.metrics import Summary, summarise
from dspkd.evaluation.predictions import Predictions
from dspkd.evaluation.ranking import Ranking, ranking
from dspkd.evaluation.selective import SENSITIVITY, Referral, refer, risk_coverage, threshold_for
from dspkd.reports import plots, style
from dspkd.runs.run_folder import Run

Interval = tuple[float, float]


@dataclass(frozen=True)
class ConfidenceSummary:
    """What stands beside a run's numbers.

    Attributes
    ----------
    intervals
        ``{metric: (low, high)}`` over lesions, for each of `METRICS`.
    recalls
        The interval of each class's recall, in class order; None for a class without images.
    lesions, lesion_intervals
        The summary of the test lesions, each answered by the mean probability of its images, and its intervals; None
        where a group has images of several classes.
    ranking
        Class by class.
    temperature
        Fitted on validation.
    raw, cooled
        Calibration on test, as the network answers and after division by `temperature`.
    referrals
        ``{class number: referral}`` on test, at thresholds chosen on validation, for the classes that both have.
    sensitivity
        That the thresholds were chosen for.
    """

    intervals: dict[str, Interval]
    recalls: tuple[Interval | None, ...]
    lesions: Summary | None
    lesion_intervals: dict[str, Interval]
    ranking: tuple[Ranking, ...]
    temperature: float
    raw: Calibration
    cooled: Calibration
    referrals: dict[int, Referral]
    sensitivity: float = SENSITIVITY


def trust(run: Run) -> ConfidenceSummary:
    """Return what stands beside the numbers of `run`."""
    lesions = _lesions(run.test)
    fitted = temperature(run.val)
    both = np.intersect1d(run.val.labels, run.test.labels).tolist()
    return ConfidenceSummary(
        intervals=_intervals(run.test),
        recalls=_recalls(run.test),
        lesions=summarise(lesions) if lesions else None,
        lesion_intervals=_intervals(lesions) if lesions else {},
        ranking=ranking(run.test),
        temperature=fitted,
        raw=calibration(run.test),
        cooled=calibration(scaled(run.test, fitted)),
        referrals={number: refer(run.test, number, threshold_for(run.val, number)) for number in both},
    )


def reliability_panels(run: Run, known: ConfidenceSummary) -> list[Markup]:
    """Return reliability as it is and after temperature scaling; as a PNG they are one figure."""
    whole, panels = style.sheet(2, width=3.4, height=3.3)
    drawn = []
    shown = [
        ("As it answers", run.test, known.raw),
        (f"Logits divided by {known.temperature:.2f}", scaled(run.test, known.temperature), known.cooled),
    ]
    for place, (title, predictions, measured) in enumerate(shown):
        alone, (axes,) = style.sheet(width=3.4, height=3.3)
        for panel in (axes, panels[place]):
            plots.reliability(panel, reliability(predictions), title)
        says = f"Reliability, {title.lower()}: expected calibration error {measured.ece:.3f}."
        drawn.append(style.svg(alone, name=f"reliability{place}", says=says))
    style.png(whole, run.folder / "figures/reliability.png")
    return drawn


def risk_panel(run: Run) -> Markup:
    """Return the share of wrong answers against the share of images answered."""
    figure, (axes,) = style.sheet(width=4.6, height=2.9)
    coverage, risk = risk_coverage(run.test)
    plots.risk_coverage(axes, coverage, risk)
    style.png(figure, run.folder / "figures/risk.png")
    half = risk[int(np.searchsorted(coverage, 0.5))]
    says = f"Share of wrong answers: {risk[-1]:.3f} with all images answered, {half:.3f} with the surer half."
    return style.svg(figure, name="risk", says=says)


def _lesions(predictions: Predictions) -> Predictions | None:
    try:
        return by_lesion(predictions)
    except DataError:
        return None


def _intervals(predictions: Predictions) -> dict[str, Interval]:
    scores = resample([predictions])
    return {metric: percentiles(scores[metric]) for metric in METRICS}


def _recalls(predictions: Predictions) -> tuple[Interval | None, ...]:
    groups_N = np.array(predictions.groups)
    found: list[Interval | None] = []
    for number in range(len(predictions.classes)):
        mine_N = predictions.labels == number
        _, sizes = np.unique(groups_N[mine_N], return_counts=True)
        found.append(wilson(int((predictions.predicted[mine_N] == number).sum()), sizes) if len(sizes) else None)
    return tuple(found)
