"""The critical-difference diagram: arms by mean rank, joined by a bar where no difference is significant."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

from matplotlib.axes import Axes
from scipy.stats import rankdata

from dspkd.evaluation.intervals import resample
from dspkd.evaluation.scoring import LOWER_IS_BETTER
from dspkd.evaluation.significance import Verdict
from dspkd.reports.comparison import ArmRuns, repetition
from dspkd.reports.style import LIGHT

_RESAMPLES = 2_000


def mean_ranks(ranked: Sequence[ArmRuns]) -> dict[str, float]:
    """Return the mean rank of each arm by the metric that decides, best first: 1 for one that always wins.

    Arms are ranked (ties share their mean rank) in each of 2,000 resamples of the lesions and for each seed (and
    division into folds) that all arms have; the mean is over both. Empty where no seed is common to all.
    """
    seeds = sorted(set.intersection(*(set(map(repetition, arm.runs)) for arm in ranked)))
    if not seeds:
        return {}
    runs = [next(run for run in arm.runs if repetition(run) == seed) for arm in ranked for seed in seeds]
    metric = ranked[0].metric
    scores = resample([run.predictions("test") for run in runs], (metric,), resamples=_RESAMPLES)[metric]
    best_last_RS = -scores.drawn if metric in LOWER_IS_BETTER else scores.drawn
    ranks = rankdata(-best_last_RS.reshape(len(ranked), len(seeds), -1), axis=0).mean(axis=(1, 2))
    return dict(sorted(zip((arm.name for arm in ranked), map(float, ranks), strict=True), key=lambda item: item[1]))


def indistinguishable(names: Sequence[str], results: Collection[Verdict], metric: str) -> list[tuple[int, int]]:
    """Return the first and last place of each longest stretch of `names` in which no two differ by `metric`.

    Source: Demšar, *Statistical Comparisons of Classifiers over Multiple Data Sets*, JMLR 2006, for the diagram. His
    critical distance (Nemenyi's) needs many independent data sets; here the bars follow the verdicts.
    """
    decided = [row for row in results if row.metric == metric and row.word != "inconclusive"]
    different = {frozenset((row.one, row.other)) for row in decided}
    stretches: list[tuple[int, int]] = []
    for first in range(len(names)):
        last = first
        while last + 1 < len(names) and not any(
            frozenset((names[i], names[last + 1])) in different for i in range(first, last + 1)
        ):
            last += 1
        if last > first and (not stretches or last > stretches[-1][1]):
            stretches.append((first, last))
    return stretches


def draw(axes: Axes, ranks: Mapping[str, float], stretches: Sequence[tuple[int, int]]) -> None:
    """Draw arms on a scale of mean ranks, the best on the left, with a bar along each stretch."""
    names, places = list(ranks), list(ranks.values())
    left = (len(names) + 1) // 2
    deep = 0.5 + 0.45 * len(stretches)
    axes.hlines(0, 1, len(names), color=LIGHT["muted"], linewidth=1)
    for rank in range(1, len(names) + 1):
        axes.vlines(rank, 0, 0.2, color=LIGHT["muted"], linewidth=1)
        axes.text(rank, 0.35, str(rank), ha="center", color=LIGHT["muted"], fontsize=8)
    margin = 0.08 * (len(names) - 1)
    for number, (name, place) in enumerate(zip(names, places, strict=True)):
        on_left = number < left
        height = -deep - 0.7 * (number if on_left else len(names) - 1 - number)
        end = 1 - margin if on_left else len(names) + margin
        axes.plot([place, place, end], [0, height, height], color=LIGHT["line"], linewidth=1, zorder=1)
        axes.plot([place], [0], "o", color=LIGHT["accent"], markersize=4)
        axes.text(
            end - margin / 6 if on_left else end + margin / 6,
            height,
            f"{name}  {place:.2f}" if on_left else f"{place:.2f}  {name}",
            ha="right" if on_left else "left",
            va="center",
        )
    for number, (first, last) in enumerate(stretches):
        axes.hlines(-0.35 - 0.45 * number, places[first], places[last], color=LIGHT["ink"], linewidth=3)
    axes.text((1 + len(names)) / 2, 0.8, "mean rank, 1 the best", ha="center", color=LIGHT["muted"], fontsize=8)
    axes.set_xlim(1 - 6 * margin, len(names) + 6 * margin)
    axes.set_ylim(-deep - 0.7 * left, 1.35)
    axes.set_axis_off()
