"""Subgroup performance: metrics by sex, age, body site or source, and the gaps between subgroups.

A gap is the score of a subgroup less that of the *reference*, the value with most lesions. Three rules:

- *Too few lesions*: a share of fewer than `FEW` lesions is None.
- *The same classes*: balanced accuracy is the mean recall over the classes of which a subgroup has at least `FEW`
  lesions; a gap in it is over the classes of which both subgroups have.
- *None wrong is not certain*: an interval is never narrower than with a little weight more on right and on wrong; see
  `dspkd.evaluation.shares.smoothed_variance`.

Source: Hardt, Price, Srebro, *Equality of Opportunity in Supervised Learning*, NeurIPS 2016 (the gap in
sensitivity).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence, Set
from dataclasses import dataclass, replace
from typing import Self

import numpy as np
from numpy.typing import NDArray

from dspkd.data.table import named
from dspkd.evaluation.intervals import Estimate, Scores, estimate
from dspkd.evaluation.predictions import Predictions
from dspkd.evaluation.shares import smoothed_variance, wilson
from dspkd.evaluation.significance import holm, p_value
from dspkd.evaluation.stratified import FEW, Strata, cells, less

METRICS = ("balanced_accuracy", "accuracy", "sensitivity")
"""The metrics of each subgroup; `sensitivity` is the recall of one class, such as melanoma."""

_MOST = 12
"""Subgroups of an attribute; of more values, the rarer ones are one subgroup together."""


@dataclass(frozen=True)
class Gap:
    """A subgroup's score less that of the reference, and the change of this gap from the teacher to the student.

    Attributes
    ----------
    own
        The gap; its interval is for this gap alone, not corrected.
    p
        Corrected by Holm over all gaps in the metric.
    change
        The gap less that of the teacher, on the same resamples; negative: the subgroup lost what the reference did not.
        None without a teacher.
    change_p
        Its p-value, corrected in the same way; None without a teacher.
    classes
        Number of classes in both scores.
    """

    own: Estimate
    p: float
    change: Estimate | None
    change_p: float | None
    classes: int


@dataclass(frozen=True)
class Subgroup:
    """The images with one value of an attribute.

    Attributes
    ----------
    name
        The value; ``3 rarer values`` for the last subgroup of an attribute with more than a dozen.
    images, lesions
        Their numbers.
    classes
        Those with enough lesions: `balanced_accuracy` is over them.
    figures
        ``{metric: estimate}``, None for too few lesions.
    gaps
        ``{metric: gap}``, None for too few lesions, here or in the reference; empty for the reference.
    """

    name: str
    images: int
    lesions: int
    classes: tuple[str, ...]
    figures: dict[str, Estimate | None]
    gaps: dict[str, Gap | None]


@dataclass(frozen=True)
class AttributeSubgroups:
    """An attribute, its reference subgroup, all subgroups, and the number of images where the attribute is missing."""

    attribute: str
    reference: str
    groups: tuple[Subgroup, ...]
    unknown: int


def subgroups(
    runs: Sequence[Predictions],
    attributes: Mapping[str, Sequence[str]],
    *,
    focus: int | None = None,
    teachers: Sequence[Predictions] = (),
    ordered: frozenset[str] = frozenset(),
    resamples: int = 10_000,
) -> tuple[AttributeSubgroups, ...]:
    """Compute the metrics of the subgroups by each attribute, means over runs, and the gaps between subgroups.

    Parameters
    ----------
    runs
        Predictions of the same N images: the runs of one recipe, one for each seed.
    attributes
        ``{attribute: N values}``, "" where missing. An attribute with a single value is left out.
    focus
        The class of `sensitivity`; None leaves it out.
    teachers
        The teacher's predictions of the same images; out of fold, of each division of the images into folds.
    ordered
        Attributes whose values are listed in order of name; those of others, the commonest first.
    resamples
        Number of bootstrap resamples of the lesions.

    Raises
    ------
    DataError
        Predictions are not of the same images.
    """
    sections = []
    for attribute, values in attributes.items():
        counts = Counter(value for value in values if value)
        names = [name for name, _ in sorted(counts.items(), key=lambda item: (-item[1], item[0]))]
        rarer = set(names[_MOST - 1 :]) if len(names) > _MOST else set()
        names = [name for name in names if name not in rarer]
        if len(names) > 1:
            names = sorted(names) if attribute in ordered else names
            sections.append(_section(attribute, names, rarer, values, runs, focus, teachers, resamples))
    return tuple(_corrected(sections))


def _section(
    attribute: str,
    alone: Sequence[str],
    rarer: Set[str],
    values: Sequence[str],
    runs: Sequence[Predictions],
    focus: int | None,
    teachers: Sequence[Predictions],
    resamples: int,
) -> AttributeSubgroups:
    group_of = dict.fromkeys(rarer, len(alone)) | {name: v for v, name in enumerate(alone)}
    names = [*alone, *([f"{len(rarer)} rarer values"] if rarer else [])]
    group_N = np.array([group_of.get(value, -1) for value in values])
    networks = [*runs, *teachers]
    counts = _Counts.of(networks, group_N, len(names), focus, resamples)
    base = int(np.argmax(counts.lesions[: len(alone)]))
    groups = []
    for v, name in enumerate(names):
        figures = {metric: _figure(counts, metric, v, runs, group_N == v) for metric in METRICS}
        gaps = {} if v == base else {metric: _gap(counts, metric, v, base, len(runs)) for metric in METRICS}
        classes = tuple(runs[0].classes[k] for k in counts.classes(v, v))
        lesions = named(runs[0].groups[row] for row in np.flatnonzero(group_N == v))
        groups.append(Subgroup(name, int((group_N == v).sum()), lesions, classes, figures, gaps))
    return AttributeSubgroups(attribute, names[base], tuple(groups), sum(not value for value in values))


@dataclass(frozen=True, eq=False)
class _Counts:
    """Counts of the subgroups of an attribute: cell v K + k is class k of subgroup v."""

    cells: Strata
    lesions: list[int]
    number: int
    focus: int | None

    @classmethod
    def of(
        cls, runs: Sequence[Predictions], group_N: NDArray[np.int64], groups: int, focus: int | None, resamples: int
    ) -> Self:
        first, number = runs[0], len(runs[0].classes)
        cell_N = np.where(group_N < 0, -1, group_N * number + first.labels)
        lesion_N = np.array(first.groups)
        lesions = [len(np.unique(lesion_N[group_N == v])) for v in range(groups)]
        return cls(cells(runs, cell_N, groups * number, resamples=resamples), lesions, number, focus)

    def classes(self, v: int, other: int) -> list[int]:
        """Return the classes of which both subgroups have enough lesions."""
        enough = self.cells.large_enough(range(len(self.cells.lesions)))
        return [k for k in range(self.number) if {v * self.number + k, other * self.number + k} <= set(enough)]

    def cells_of(self, metric: str, v: int, other: int) -> list[list[int]]:
        """Return the cells of subgroup v comparable with `other`: a list for each share; none for too few lesions."""
        both, mine = self.classes(v, other), range(v * self.number, (v + 1) * self.number)
        if metric == "balanced_accuracy":
            return [[mine[k]] for k in both] if len(both) > 1 else []
        if metric == "accuracy":
            return [list(mine)] if min(self.lesions[v], self.lesions[other]) >= FEW else []
        return [[mine[self.focus]]] if self.focus in both else []

    def scores(self, metric: str, v: int, other: int) -> Scores:
        """Return the scores of the cells of `cells_of`, of which there must be some."""
        shares = self.cells_of(metric, v, other)
        return self.cells.share(shares[0]) if len(shares) == 1 else self.cells.mean([cell for (cell,) in shares])

    def least_variance(self, metric: str, v: int, other: int, runs: int, *, change: bool = False) -> float:
        """Return the least variance of the mean score over runs, or with `change` of it less that of the teacher."""
        shares = self.cells_of(metric, v, other)
        total = 0.0
        for share in shares:
            scores = self.cells.share(share)
            observed, drawn = float(scores.observed[:runs].mean()), scores.drawn[:runs].mean(axis=0)
            if change:
                observed -= float(scores.observed[runs:].mean())
                drawn = drawn - scores.drawn[runs:].mean(axis=0)
            lesions = int(self.cells.lesions[share[0]]) if len(share) == 1 else self.lesions[v]
            total += smoothed_variance(observed, float(np.var(drawn, ddof=1)), lesions, change=change)
        return total / len(shares) ** 2


def _figure(
    counts: _Counts, metric: str, v: int, runs: Sequence[Predictions], rows_N: NDArray[np.bool_]
) -> Estimate | None:
    if not counts.cells_of(metric, v, v):
        return None
    least = counts.least_variance(metric, v, v, len(runs)) ** 0.5
    mean = estimate(counts.scores(metric, v, v), range(len(runs)), least=least).of_score(metric)
    low, high = mean.low, mean.high
    if metric != "balanced_accuracy":
        of_N = rows_N & (runs[0].labels == counts.focus) if metric == "sensitivity" else rows_N
        _, sizes = np.unique(np.array(runs[0].groups)[of_N], return_counts=True)
        alone = wilson(mean.value * int(sizes.sum()), sizes)
        low, high = alone if len(runs) == 1 else (min(low, alone[0]), max(high, alone[1]))
    return replace(mean, low=low, high=high)


def _gap(counts: _Counts, metric: str, v: int, base: int, runs: int) -> Gap | None:
    classes = counts.number if metric == "accuracy" else len(counts.cells_of(metric, v, base))
    if not (counts.cells_of(metric, v, base) and counts.cells_of(metric, base, v)):
        return None
    gaps, students = less(counts.scores(metric, v, base), counts.scores(metric, base, v)), range(runs)

    def least(*, change: bool) -> float:
        mine, theirs = (counts.least_variance(metric, *pair, runs, change=change) for pair in ((v, base), (base, v)))
        return float((mine + theirs) ** 0.5)

    own = estimate(gaps, students, least=least(change=False))
    teachers = range(runs, len(gaps.observed))
    change = estimate(gaps, students, teachers, lend=False, least=least(change=True)) if teachers else None
    return Gap(own, p_value(own), change, None if change is None else p_value(change), classes)


def _corrected(sections: Sequence[AttributeSubgroups]) -> Iterator[AttributeSubgroups]:
    """Yield the sections with p-values corrected (Holm) over all gaps, and over all changes, of a metric."""
    corrected: dict[tuple[int, str], float] = {}
    for metric in METRICS:
        gaps = [gap for section in sections for group in section.groups if (gap := group.gaps.get(metric))]
        for key in ("p", "change_p"):
            tested = [(gap, p) for gap in gaps if (p := getattr(gap, key)) is not None]
            for (gap, _), p in zip(tested, holm([p for _, p in tested]), strict=True):
                corrected[id(gap), key] = p

    def with_corrected_p(gap: Gap | None) -> Gap | None:
        if gap is None:
            return None
        return replace(gap, p=corrected[id(gap), "p"], change_p=corrected.get((id(gap), "change_p")))

    for section in sections:
        groups = [
            replace(group, gaps={metric: with_corrected_p(gap) for metric, gap in group.gaps.items()})
            for group in section.groups
        ]
        yield replace(section, groups=tuple(groups))
