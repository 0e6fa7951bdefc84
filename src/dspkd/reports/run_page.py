"""One run as a page."""

from __future__ import annotations

from pathlib import Path

from markupsafe import Markup

from dspkd.evaluation.metrics import Summary, summarise
from dspkd.evaluation.stratified import FEW
from dspkd.reports import confidence, embeddings, holdout, outcomes, plots, provenance, saliency, subgroups, wording
from dspkd.reports import fidelity as faithfulness
from dspkd.reports import style as paper
from dspkd.reports.html import render
from dspkd.runs.run_folder import Run, read


def write(run: Path) -> Path:
    """Write ``report.html``, ``ledger.csv`` and ``figures/*.png`` into a run folder, from nothing but the files in it.

    The same files give the same bytes.

    Returns
    -------
    Path
        The page. It needs no network, no script and no other file.

    Raises
    ------
    RunError, DataError
        Where a file of the run is missing or broken; see `dspkd.runs.run_folder.read`.
    """
    source = read(run)
    val, test = summarise(source.val), summarise(source.test)
    known = confidence.trust(source)
    faithful = faithfulness.of_run(source)
    if faithful:
        faithfulness.write_csv(faithful, run / "ledger.csv")
    shown = saliency.read(run)
    with paper.style():
        drawn = {
            "confusion": _confusion(source, test),
            "curves": _curves(source),
            "roc": _roc(source, test),
            "reliability": confidence.reliability_panels(source, known),
            "risk": confidence.risk_panel(source),
        }
        features = embeddings.panels(source)
    return render(
        "run.html",
        run / "report.html",
        run=source,
        result=source.result,
        data=source.data,
        val=val,
        test=test,
        trust=known,
        verdict=wording.verdict(source, test),
        disclaimer=wording.DISCLAIMER,
        unpublished=wording.UNPUBLISHED,
        notes=wording.notes(source, val, test),
        figures=drawn,
        openings=holdout.told(source),
        opened_early=[holdout.warning(source)],
        fairness=subgroups.of_run(source),
        fidelity=faithful,
        fidelity_verdict=faithfulness.verdict(faithful) if faithful else "",
        versions=faithfulness.versions(faithful) if faithful else [],
        few=FEW,
        looks={(look.part, look.id): look for look in shown},
        seen=[look for look in shown if look.overlays],
        fates=outcomes.answers_of(source, "val"),
        several_teachers=", " in (source.result.teacher or ""),
        neighbours=features,
        provenance=provenance.rows(source),
    )


def _confusion(run: Run, test: Summary) -> Markup:
    side = 1.6 + 0.52 * min(len(test.per_class), 16)
    figure, (axes,) = paper.sheet(width=side, height=side)
    plots.confusion(axes, test)
    paper.png(figure, run.folder / "figures/confusion.png")
    recalls = ", ".join(f"{row.name} {row.tp} of {row.images}" for row in test.per_class)
    return paper.svg(
        figure, name="confusion", says=f"Confusion matrix of the test images. Answered rightly: {recalls}."
    )


def _curves(run: Run) -> list[list[Markup]]:
    """Return three panels for each stage; as a PNG they are one figure, a stage a row."""
    stages = run.result.stages
    whole, panels = paper.sheet(3, len(stages))
    drawn = []
    for number, stage in enumerate(stages):
        history = run.history(stage)
        losses = [epoch.train["total"] for epoch in history]
        says = [
            f"Training loss of stage {stage.name}: from {losses[0]:.3f} to {losses[-1]:.3f}.",
            f"Share of each term in the loss of stage {stage.name}.",
            f"Validation balanced accuracy of stage {stage.name}: {stage.best_score:.3f} "
            f"in epoch {stage.best_epoch + 1} of {stage.epochs}, which was kept.",
        ]
        row = []
        for place, words in enumerate(says):
            alone, (axes,) = paper.sheet()
            for panel in (axes, panels[3 * number + place]):
                (plots.loss, plots.shares, plots.validation)[place](panel, history, stage)
            row.append(paper.svg(alone, name=f"curve{number}{place}", says=words))
        panels[3 * number].set_ylabel(f"stage {number + 1}: {stage.name}", fontweight="bold")
        drawn.append(row)
    paper.png(whole, run.folder / "figures/curves.png")
    return drawn


def _roc(run: Run, test: Summary) -> list[Markup]:
    """Return a panel for each class; as a PNG they are one figure, four a row."""
    columns = min(4, len(test.per_class))
    whole, panels = paper.sheet(columns, -(-len(test.per_class) // columns), width=1.8, height=1.9)
    for spare in panels[len(test.per_class) :]:
        spare.set_axis_off()
    drawn = []
    for number, row in enumerate(test.per_class):
        alone, (axes,) = paper.sheet(width=1.8, height=1.9)
        for panel in (axes, panels[number]):
            plots.roc(panel, run.test, number, row.auc)
        area = "none, for want of images" if row.auc is None else f"area {row.auc:.3f}"
        drawn.append(paper.svg(alone, name=f"roc{number}", says=f"ROC curve of {row.name} against the rest: {area}."))
    paper.png(whole, run.folder / "figures/roc.png")
    return drawn
