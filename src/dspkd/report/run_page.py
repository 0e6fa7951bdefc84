"""One run as a page."""

from __future__ import annotations

from pathlib import Path

from markupsafe import Markup

from dspkd.evaluate.cells import FEW
from dspkd.evaluate.metrics import Summary, summarise
from dspkd.report import answered, figures, looks, neighbours, openings, paper, prose, provenance, subgroups, trust
from dspkd.report import fidelity as faithfulness
from dspkd.report.page import render
from dspkd.report.sources import Run, read


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
        Where a file of the run is missing or broken; see `dspkd.report.sources.read`.
    """
    source = read(run)
    val, test = summarise(source.val), summarise(source.test)
    known = trust.trust(source)
    faithful = faithfulness.of_run(source)
    if faithful:
        faithfulness.write_csv(faithful, run / "ledger.csv")
    pictured = looks.read(run)
    with paper.style():
        drawn = {
            "confusion": _confusion(source, test),
            "curves": _curves(source),
            "roc": _roc(source, test),
            "reliability": trust.reliability_panels(source, known),
            "risk": trust.risk_panel(source),
        }
        features = neighbours.panels(source)
    return render(
        "run.html",
        run / "report.html",
        run=source,
        result=source.result,
        data=source.data,
        val=val,
        test=test,
        trust=known,
        verdict=prose.verdict(source, test),
        disclaimer=prose.DISCLAIMER,
        unpublished=prose.UNPUBLISHED,
        notes=prose.notes(source, val, test),
        figures=drawn,
        openings=openings.told(source),
        opened_early=[openings.warning(source)],
        fairness=subgroups.of_run(source),
        fidelity=faithful,
        fidelity_verdict=faithfulness.verdict(faithful) if faithful else "",
        versions=faithfulness.versions(faithful) if faithful else [],
        few=FEW,
        looks={(look.part, look.id): look for look in pictured},
        seen=[look for look in pictured if look.overlays],
        fates=answered.answers_of(source, "val"),
        several_teachers=", " in (source.result.teacher or ""),
        neighbours=features,
        provenance=provenance.rows(source),
    )


def _confusion(run: Run, test: Summary) -> Markup:
    side = 1.6 + 0.52 * min(len(test.per_class), 16)
    figure, (axes,) = paper.sheet(width=side, height=side)
    figures.confusion(axes, test)
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
                (figures.loss, figures.shares, figures.validation)[place](panel, history, stage)
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
            figures.roc(panel, run.test, number, row.auc)
        area = "none, for want of images" if row.auc is None else f"area {row.auc:.3f}"
        drawn.append(paper.svg(alone, name=f"roc{number}", says=f"ROC curve of {row.name} against the rest: {area}."))
    paper.png(whole, run.folder / "figures/roc.png")
    return drawn
