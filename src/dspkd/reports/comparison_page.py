"""The report of a comparison of several runs."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from markupsafe import Markup

from dspkd.data.table import named
from dspkd.evaluation.scoring import METRICS, TITLES
from dspkd.evaluation.significance import POWER, Verdict
from dspkd.evaluation.stratified import FEW
from dspkd.reports import (
    compute_cost,
    critical_difference,
    few_lesions,
    fidelity_by_arm,
    glance,
    holdout,
    plots,
    score_plots,
    style,
    subgroups,
    unlabelled,
    wording,
)
from dspkd.reports.comparison import ArmRuns, ResampledArms, agreement, arms, differing, unanimity
from dspkd.reports.glance import Network
from dspkd.reports.html import render
from dspkd.reports.subgroups import GapRow
from dspkd.runs.reading import opened

_PAIRS, _FEW_ARMS = 15, 4
"""Pairs of methods that one plot shows, and methods whose bars or points it shows beside each other."""


def compare(runs: Sequence[Path], out: Path, decide_by: str = METRICS[0], *, cautions: Sequence[str] = ()) -> Path:
    """Write one report about several runs; those of the same name are one recipe with several seeds.

    Parameters
    ----------
    runs
        Run folders, tested on the same images.
    out
        The page to write; its folder is made if missing.
    decide_by
        The metric that decides: methods are ranked by it, and its verdicts come first.
    cautions
        What may be wrong with the results, in the head of the page, before any number.

    Returns
    -------
    Path
        `out`.

    Raises
    ------
    RunError, DataError
        Where a run is unfinished or broken, or the runs do not compare; see `arms`.
    """
    sources = [opened(run).require_finished() for run in runs]
    ranked = arms(sources, decide_by)
    present = [number for number, row in enumerate(ranked[0].tests[0].per_class) if row.images]
    recalls = {number: [arm.recall(number) for arm in ranked] for number in present}
    resampled = ResampledArms.of(ranked)
    pairs = resampled.verdicts()
    intervals = resampled.intervals()
    agreements = [[agreement(one, other) for other in ranked] for one in ranked]
    attributes = next((run.attributes for run in sources if run.attributes), None)
    gaps = subgroups.rows([subgroups.of_arm(arm, attributes) for arm in ranked])
    networks = glance.of_arms(ranked, intervals)
    out.parent.mkdir(parents=True, exist_ok=True)
    with style.style():
        curves = _curves(ranked)
        ranks = _ranks(ranked, pairs)
        figures = _figures(ranked, pairs, networks, gaps)
    return render(
        "compare.html",
        out,
        ranked=ranked,
        runs=sources,
        folds=ranked[0].folds,
        repeats=ranked[0].repeats,
        splits=list(dict.fromkeys(run.data.split_digest for run in sources)),
        trained=sum(len(run.parts) for run in sources),
        data=next((run.data for run in sources if run.data.card), sources[0].data),
        synthetic=any(run.data.synthetic for run in sources),
        cautions=cautions,
        leaks=list(dict.fromkeys(run.data.leak for run in sources if run.data.leak)),
        recalls=recalls,
        recall_shades=_shades([[recall.mean for recall in row] for row in recalls.values()]),
        agreements=agreements,
        agreement_shades=_shades(agreements),
        unanimity=unanimity(sources),
        intervals=intervals,
        glance=networks,
        figures=figures,
        test_images=ranked[0].tests[0].images,
        metrics=sorted(dict.fromkeys(row.metric for row in pairs), key=ranked[0].metric.__ne__),
        shown=sorted(METRICS, key=ranked[0].metric.__ne__),
        titles=TITLES,
        unit_of=wording.unit_of,
        spread_of=wording.spread,
        about_intervals=wording.ABOUT_INTERVALS.replace("*", ""),
        differing={arm.name: keys for arm in ranked if (keys := differing(arm))},
        verdicts=pairs,
        power=POWER,
        ranks=ranks,
        verdict=wording.comparison(ranked, pairs),
        disclaimer=wording.DISCLAIMER,
        curves=curves,
        ids=named(sources[0].predictions("test").groups),
        unlabelled=unlabelled.sentences(sources),
        data_warnings=[
            *_not_among(cautions, [warning for run in sources for warning in run.data.warnings]),
            *few_lesions.warnings(sources[0].predictions("test")),
        ],
        holdout=holdout.of_several(sources),
        holdout_warnings=[holdout.warning(run) for run in sources],
        gaps=gaps,
        changes=any(gap.change for *_, several in gaps for gap in several if gap),
        few=FEW,
        compute={
            "caption": compute_cost.CAPTION,
            "headings": compute_cost.HEADINGS,
            "rows": compute_cost.rows({arm.name: compute_cost.of(arm.runs) for arm in ranked}),
        },
        fidelity=fidelity_by_arm.of_arms(ranked),
        fidelity_caption=fidelity_by_arm.CAPTION,
        fidelity_headings=fidelity_by_arm.HEADINGS[2:],
    )


def _not_among(cautions: Sequence[str], warnings: Sequence[str]) -> list[str]:
    """Return each warning once, without those whose fact, the words up to the first colon, is in a caution."""
    known = " ".join(cautions).lower()
    return [each for each in dict.fromkeys(warnings) if each.partition(":")[0].lower() not in known]


def _shades(table: Sequence[Sequence[float | None]]) -> list[list[float]]:
    """Return the tint of each cell of a table: 0 for its least number, and for None; 1 for its greatest."""
    numbers = [value for row in table for value in row if value is not None]
    least = min(numbers, default=0.0)
    span = max(numbers, default=0.0) - least or 1.0
    return [[0.0 if value is None else (value - least) / span for value in row] for row in table]


def _curves(ranked: Sequence[ArmRuns]) -> list[Markup]:
    """Return a panel for each arm that was trained here, all with the same scale."""
    trained = [arm for arm in ranked if arm.runs[0].result.stages]
    scores = [
        epoch.val["balanced_accuracy"]
        for arm in trained
        for run in arm.runs
        for part in run.parts
        for epoch in part.history
    ]
    if not scores:
        return []
    room = 0.05 * (max(scores) - min(scores)) + 1e-3
    drawn = []
    for number, arm in enumerate(trained):
        figure, (axes,) = style.sheet()
        plots.whole_run(axes, arm)
        axes.set_ylim(min(scores) - room, max(scores) + room)
        alt = f"Validation balanced accuracy of {arm.name}, epoch by epoch, a line for each of its runs."
        drawn.append(style.svg(figure, name=f"curve{number}", alt=alt))
    return drawn


def _figures(
    ranked: Sequence[ArmRuns], pairs: Sequence[Verdict], networks: Sequence[Network], gaps: Sequence[GapRow]
) -> dict[str, Markup | None]:
    """Return the plots of scores: differences, score against size and time, recalls and gaps of a few methods."""
    deciding = [row for row in pairs if row.metric == ranked[0].metric]
    names = [arm.name for arm in ranked]
    if len(deciding) > _PAIRS:  # each against one: the plain student, else the best
        plain = next((each.name for each in networks if each.role == "plain"), names[0])
        deciding = [row for row in deciding if plain in (row.one, row.other)]
    few = len(ranked) <= _FEW_ARMS
    tests = ranked[0].tests[0]
    order = {each.name: place for place, each in enumerate(networks)}  # teacher first, as in the head
    places = sorted(range(len(ranked)), key=lambda place: order.get(names[place], 0))
    recalls = {
        names[place]: [ranked[place].recall(k).mean if row.images else None for k, row in enumerate(tests.per_class)]
        for place in places
    }
    ordered = [(a, ref, group, [several[p] for p in places]) for a, ref, group, several in gaps]
    return {
        "forest": score_plots.forest(deciding) if deciding else None,
        "parameters": score_plots.pareto(networks, "parameters"),
        "milliseconds": score_plots.pareto(networks, "milliseconds"),
        "recalls": score_plots.recalls(recalls, [row.name for row in tests.per_class]) if few else None,
        "gaps": score_plots.gaps(ordered, [names[place] for place in places]) if few else None,
    }


def _ranks(ranked: Sequence[ArmRuns], pairs: Sequence[Verdict]) -> Markup | None:
    """Return the critical-difference diagram; None for fewer than three arms, or where some pair has no p-value."""
    if len(ranked) < 3 or any(row.p is None for row in pairs) or not (ranks := critical_difference.mean_ranks(ranked)):
        return None
    stretches = critical_difference.indistinguishable(list(ranks), pairs, ranked[0].metric)
    figure, (axes,) = style.sheet(width=7.0, height=1.0 + 0.16 * len(ranks) + 0.16 * len(stretches))
    critical_difference.draw(axes, ranks, stretches)
    listed = ", ".join(f"{name} {rank:.2f}" for name, rank in ranks.items())
    alt = f"Mean ranks, best first: {listed}. Bars join those that do not differ significantly."
    return style.svg(figure, name="ranks", alt=alt)
