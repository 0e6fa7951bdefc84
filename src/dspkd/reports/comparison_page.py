"""Several runs as a page."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from markupsafe import Markup

from dspkd.evaluation.significance import POWER, Verdict, verdicts
from dspkd.evaluation.stratified import FEW
from dspkd.reports import compute_cost, critical_difference, fidelity_by_arm, holdout, plots, subgroups, wording
from dspkd.reports import style as paper
from dspkd.reports.comparison import ArmRuns, agreement, contenders, differing, intervals, unanimity
from dspkd.reports.html import render
from dspkd.runs.run_folder import read


def compare(runs: Sequence[Path], out: Path) -> Path:
    """Write one page about several runs; those of the same name are one recipe with several seeds.

    Parameters
    ----------
    runs
        Run folders, tested on the same images.
    out
        The page to write; its folder is made if missing.

    Returns
    -------
    Path
        `out`.

    Raises
    ------
    RunError, DataError
        Where a run is unfinished or broken, or the runs do not compare; see `contenders`.
    """
    sources = [read(run) for run in runs]
    ranked = contenders(sources)
    present = [number for number, row in enumerate(ranked[0].tests[0].per_class) if row.images]
    recalls = {number: [contender.recall(number) for contender in ranked] for number in present}
    told = verdicts({contender.name: [run.test for run in contender.runs] for contender in ranked})
    agreements = [[agreement(one, other) for other in ranked] for one in ranked]
    told_of = next((run.attributes for run in sources if run.attributes), None)
    out.parent.mkdir(parents=True, exist_ok=True)
    with paper.style():
        curves = _curves(ranked)
        ranks = _ranks(ranked, told)
    return render(
        "compare.html",
        out,
        ranked=ranked,
        runs=sources,
        data=next((run.data for run in sources if run.data.card), sources[0].data),
        synthetic=any(run.data.synthetic for run in sources),
        leaks=list(dict.fromkeys(run.data.leak for run in sources if run.data.leak)),
        recalls=recalls,
        recall_shades=_shades([[recall.mean for recall in row] for row in recalls.values()]),
        agreements=agreements,
        agreement_shades=_shades(agreements),
        unanimity=unanimity(sources),
        intervals=intervals(ranked),
        differing={contender.name: keys for contender in ranked if (keys := differing(contender))},
        told=told,
        power=POWER,
        ranks=ranks,
        verdict=wording.comparison(ranked, told),
        disclaimer=wording.DISCLAIMER,
        curves=curves,
        openings=holdout.of_several(sources),
        opened_early=[holdout.warning(run) for run in sources],
        gaps=subgroups.rows(ranked, [subgroups.of_contender(contender, told_of) for contender in ranked]),
        few=FEW,
        computed={
            "caption": compute_cost.CAPTION,
            "headings": compute_cost.HEADINGS,
            "rows": compute_cost.rows({contender.name: compute_cost.of(contender.runs) for contender in ranked}),
        },
        faithful=fidelity_by_arm.of_arms(ranked),
        fidelity_caption=fidelity_by_arm.CAPTION,
        fidelity_headings=fidelity_by_arm.HEADINGS[2:],
    )


def _shades(table: Sequence[Sequence[float | None]]) -> list[list[float]]:
    """Return how strongly each cell of a table is tinted: 0 for its least number, and for None; 1 for its greatest."""
    known = [value for row in table for value in row if value is not None]
    least = min(known, default=0.0)
    span = max(known, default=0.0) - least or 1.0
    return [[0.0 if value is None else (value - least) / span for value in row] for row in table]


def _curves(ranked: Sequence[ArmRuns]) -> list[Markup]:
    """Return a panel for each contender, all with the same scale."""
    scores = [epoch.val["balanced_accuracy"] for contender in ranked for run in contender.runs for epoch in run.epochs]
    room = 0.05 * (max(scores) - min(scores)) + 1e-3
    drawn = []
    for number, contender in enumerate(ranked):
        figure, (axes,) = paper.sheet()
        plots.whole_run(axes, contender)
        axes.set_ylim(min(scores) - room, max(scores) + room)
        says = f"Validation balanced accuracy of {contender.name}, epoch by epoch, a line for each of its runs."
        drawn.append(paper.svg(figure, name=f"curve{number}", says=says))
    return drawn


def _ranks(ranked: Sequence[ArmRuns], told: Sequence[Verdict]) -> Markup | None:
    """Return the critical-difference diagram; None for fewer than three arms, or where some pair has no p-value."""
    if len(ranked) < 3 or any(row.p is None for row in told) or not (ranks := critical_difference.mean_ranks(ranked)):
        return None
    stretches = critical_difference.indistinguishable(list(ranks), told)
    figure, (axes,) = paper.sheet(width=7.0, height=0.9 + 0.16 * len(ranks) + 0.16 * len(stretches))
    critical_difference.draw(axes, ranks, stretches)
    listed = ", ".join(f"{name} {rank:.2f}" for name, rank in ranks.items())
    says = f"Mean ranks, best first: {listed}. Bars join those that do not differ significantly."
    return paper.svg(figure, name="ranks", says=says)
