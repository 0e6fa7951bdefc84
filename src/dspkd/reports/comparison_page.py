"""The report of a comparison of several runs."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from markupsafe import Markup

from dspkd.evaluation.scoring import METRICS, TITLES
from dspkd.evaluation.significance import POWER, Verdict
from dspkd.evaluation.stratified import FEW
from dspkd.reports import compute_cost, critical_difference, fidelity_by_arm, holdout, plots, style, subgroups, wording
from dspkd.reports.comparison import ArmRuns, ResampledArms, agreement, arms, differing, unanimity
from dspkd.reports.html import render
from dspkd.runs.reading import opened


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
    agreements = [[agreement(one, other) for other in ranked] for one in ranked]
    attributes = next((run.attributes for run in sources if run.attributes), None)
    out.parent.mkdir(parents=True, exist_ok=True)
    with style.style():
        curves = _curves(ranked)
        ranks = _ranks(ranked, pairs)
    return render(
        "compare.html",
        out,
        ranked=ranked,
        runs=sources,
        folds=ranked[0].folds,
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
        intervals=resampled.intervals(),
        metrics=sorted(dict.fromkeys(row.metric for row in pairs), key=ranked[0].metric.__ne__),
        shown=sorted(METRICS, key=ranked[0].metric.__ne__),
        titles=TITLES,
        unit_of=wording.unit_of,
        spread_of=wording.spread,
        differing={arm.name: keys for arm in ranked if (keys := differing(arm))},
        verdicts=pairs,
        power=POWER,
        ranks=ranks,
        verdict=wording.comparison(ranked, pairs),
        disclaimer=wording.DISCLAIMER,
        curves=curves,
        ids=wording.named(sources[0].predictions("test").groups) > 0,
        data_warnings=list(dict.fromkeys(warning for run in sources for warning in run.data.warnings)),
        holdout=holdout.of_several(sources),
        holdout_warnings=[holdout.warning(run) for run in sources],
        gaps=subgroups.rows([subgroups.of_arm(arm, attributes) for arm in ranked]),
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


def _shades(table: Sequence[Sequence[float | None]]) -> list[list[float]]:
    """Return the tint of each cell of a table: 0 for its least number, and for None; 1 for its greatest."""
    numbers = [value for row in table for value in row if value is not None]
    least = min(numbers, default=0.0)
    span = max(numbers, default=0.0) - least or 1.0
    return [[0.0 if value is None else (value - least) / span for value in row] for row in table]


def _curves(ranked: Sequence[ArmRuns]) -> list[Markup]:
    """Return a panel for each arm, all with the same scale."""
    scores = [
        epoch.val["balanced_accuracy"]
        for arm in ranked
        for run in arm.runs
        for part in run.parts
        for epoch in part.history
    ]
    room = 0.05 * (max(scores) - min(scores)) + 1e-3
    drawn = []
    for number, arm in enumerate(ranked):
        figure, (axes,) = style.sheet()
        plots.whole_run(axes, arm)
        axes.set_ylim(min(scores) - room, max(scores) + room)
        alt = f"Validation balanced accuracy of {arm.name}, epoch by epoch, a line for each of its runs."
        drawn.append(style.svg(figure, name=f"curve{number}", alt=alt))
    return drawn


def _ranks(ranked: Sequence[ArmRuns], pairs: Sequence[Verdict]) -> Markup | None:
    """Return the critical-difference diagram; None for fewer than three arms, or where some pair has no p-value."""
    if len(ranked) < 3 or any(row.p is None for row in pairs) or not (ranks := critical_difference.mean_ranks(ranked)):
        return None
    stretches = critical_difference.indistinguishable(list(ranks), pairs, ranked[0].metric)
    figure, (axes,) = style.sheet(width=7.0, height=0.9 + 0.16 * len(ranks) + 0.16 * len(stretches))
    critical_difference.draw(axes, ranks, stretches)
    listed = ", ".join(f"{name} {rank:.2f}" for name, rank in ranks.items())
    alt = f"Mean ranks, best first: {listed}. Bars join those that do not differ significantly."
    return style.svg(figure, name="ranks", alt=alt)
