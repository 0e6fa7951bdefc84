"""Quality of a teacher on validation images: its margin over plain students, its scores and its calibration."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from dspkd.data.table import named
from dspkd.evaluation.calibration import calibration, scaled, temperature
from dspkd.evaluation.intervals import Estimate, Scores, estimate, percentiles, resample
from dspkd.evaluation.metrics import summarise
from dspkd.evaluation.predictions import Predictions
from dspkd.evaluation.shares import smoothed_variance
from dspkd.evaluation.significance import LEVEL, holm, p_value
from dspkd.evaluation.stratified import Strata, cells


@dataclass(frozen=True)
class ClassMargin:
    """Recall of teacher and students of one class.

    Attributes
    ----------
    name, images, lesions
        The class, and how many validation images and named lesions or patients it has.
    teacher, student
        Their recalls, the students' as a mean; None for a class without images.
    margin
        Teacher less students, on the same resamples of lesions; None for too few lesions.
    p
        Corrected by Holm over the classes; None where `margin` is.
    """

    name: str
    images: int
    lesions: int
    teacher: float | None
    student: float | None
    margin: Estimate | None
    p: float | None

    @property
    def word(self) -> str:
        """The teacher's verdict: better, worse, inconclusive (after correction, if only for that), too few lesions."""
        if self.margin is None:
            return f"too few {'lesions' if self.lesions else 'images'}"
        if self.p is None or self.p >= LEVEL:
            beyond_zero = self.p is not None and self.margin.low * self.margin.high > 0
            return "inconclusive after correction" if beyond_zero else "inconclusive"
        return "better" if self.margin.value > 0 else "worse"


@dataclass(frozen=True)
class Margin:
    """A teacher's margin over plain students in balanced accuracy, accuracy, and recall of each class."""

    balanced_accuracy: Estimate
    accuracy: Estimate
    classes: tuple[ClassMargin, ...]


@dataclass(frozen=True)
class NetworkScores:
    """A network's scores on some images, ``(value, low, high)`` over lesions, and its mean confidence."""

    images: int
    balanced_accuracy: tuple[float, float, float]
    accuracy: tuple[float, float, float]
    confidence: float


@dataclass(frozen=True)
class Calibrated:
    """Expected calibration error before (`raw`) and after (`cooled`) logits are divided by `temperature`.

    `cooled` is cross-fitted: the temperature is fitted on the lesions of one half and the error measured on the other,
    both ways, then averaged. Fitting and measuring on the same images would be optimistic.
    """

    temperature: float
    raw: float
    cooled: float


def margin(teacher: Predictions, students: Sequence[Predictions], *, resamples: int = 10_000) -> Margin:
    """Compute a teacher's margin over plain students, at least one, on the same validation images.

    The interval is for this very teacher; with several students it includes their variance over seeds. Its variance
    over lesions is at least that of `smoothed_variance`: none wrong of a few is not certain.
    """
    runs = [teacher, *students]
    scores = resample(runs, ("balanced_accuracy", "accuracy"), resamples=resamples)
    counts = cells(runs, teacher.labels, len(teacher.classes), resamples=resamples)
    present = np.flatnonzero(counts.lesions).tolist()
    of_classes: float = (
        sum(_least_variance(counts.share([k]), int(counts.lesions[k])) for k in present) / len(present) ** 2
    )
    of_all = _least_variance(scores["accuracy"], len(set(teacher.groups)))
    return Margin(
        _against(scores["balanced_accuracy"], of_classes), _against(scores["accuracy"], of_all), _by_class(runs, counts)
    )


def _least_variance(shares: Scores, lesions: int) -> float:
    """Return the least variance over lesions of the teacher's share of right predictions less that of the students."""
    change = float(shares.observed[0] - shares.observed[1:].mean())
    drawn_S = shares.drawn[0] - shares.drawn[1:].mean(axis=0)
    return smoothed_variance(change, float(np.var(drawn_S, ddof=1)), lesions, change=True)


def _against(scores: Scores, least_variance: float) -> Estimate:
    return estimate(scores, [0], range(1, len(scores.observed)), lend=False, least=least_variance**0.5)


def _by_class(runs: Sequence[Predictions], counts: Strata) -> tuple[ClassMargin, ...]:
    classes = runs[0].classes
    enough = counts.large_enough(range(len(classes)))
    rows = []
    for k, name in enumerate(classes):
        recalls = counts.share([k])
        images = int(counts.images[0, k])
        mine = float(recalls.observed[0]) if images else None
        theirs = float(recalls.observed[1:].mean()) if images else None
        lesions = named(runs[0].groups[row] for row in np.flatnonzero(runs[0].labels == k))
        difference = _against(recalls, _least_variance(recalls, int(counts.lesions[k]))) if k in enough else None
        p = None if difference is None else p_value(difference)
        rows.append(ClassMargin(name, images, lesions, mine, theirs, difference, p))
    corrected = iter(holm([row.p for row in rows if row.p is not None]))
    return tuple(row if row.p is None else replace(row, p=next(corrected)) for row in rows)


def level(predictions: Predictions, *, resamples: int = 4_000) -> NetworkScores:
    """Compute a network's scores on these images, with intervals."""
    scores, summary = resample([predictions], resamples=resamples), summarise(predictions)
    return NetworkScores(
        len(predictions),
        (summary.balanced_accuracy, *percentiles(scores["balanced_accuracy"])),
        (summary.accuracy, *percentiles(scores["accuracy"])),
        float(predictions.probabilities.max(axis=1).mean()),
    )


def gain(one: Predictions, other: Predictions, *, resamples: int = 10_000) -> Estimate:
    """Compute the balanced accuracy of `one` less that of `other`, on the same images."""
    return margin(one, [other], resamples=resamples).balanced_accuracy


def calibrated(predictions: Predictions) -> Calibrated:
    """Compute a network's calibration error before and after temperature scaling; see `Calibrated`."""
    names, lesion_N = np.unique(np.array(predictions.groups), return_inverse=True)
    in_half_G = np.random.default_rng(0).permutation(len(names)) % 2 == 0
    halves = [predictions.take(np.flatnonzero(in_half_G[lesion_N] == half)) for half in (False, True)]
    errors = [
        (len(held_out), calibration(scaled(held_out, temperature(fitted))).ece)
        for fitted, held_out in (halves, reversed(halves))
    ]
    cooled = float(np.average([error for _, error in errors], weights=[images for images, _ in errors]))
    return Calibrated(temperature(predictions), calibration(predictions).ece, cooled)
