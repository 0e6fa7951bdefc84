"""The report of one run."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from markupsafe import Markup

from dspkd.data.table import named
from dspkd.evaluation.metrics import Summary
from dspkd.evaluation.scoring import TITLES
from dspkd.evaluation.stratified import FEW
from dspkd.reports import (
    confidence,
    embeddings,
    fidelity,
    glance,
    holdout,
    limitations,
    outcomes,
    plots,
    provenance,
    saliency,
    score_plots,
    style,
    subgroups,
    unlabelled,
    wording,
)
from dspkd.reports.glance import Network
from dspkd.reports.html import render
from dspkd.runs.files import RunFiles
from dspkd.runs.run_folder import Run, read


def write(run: Path) -> Path:
    """Write ``report.html``, ``ledger.csv`` and ``figures/*.png`` into a run folder, from the files in it alone.

    The same files give the same bytes.

    Returns
    -------
    Path
        The report: one HTML file without network, script or other files.

    Raises
    ------
    RunError, DataError
        Where a file of the run is missing or broken; see `dspkd.runs.run_folder.read`.
    """
    source = read(run)
    val, test = source.val, source.test
    summary = confidence.of_run(source)
    compared = fidelity.of_run(source)
    if compared:
        fidelity.write_csv(compared, RunFiles(run).ledger)
    images = saliency.read(run)
    networks = glance.of_run(source)
    by_subgroup = subgroups.of_run(source)
    with style.style():
        figures = {
            "confusion": _confusion(source, test),
            "curves": _curves(source),
            "roc": _roc(source, test),
            "reliability": confidence.reliability_panels(source, summary),
            "risk": confidence.risk_panel(source),
            "recalls": _recalls(networks, test),
            "gaps": score_plots.gaps(subgroups.rows([by_subgroup]), ["student"]),
        }
        features = embeddings.panels(source)
    return render(
        "run.html",
        RunFiles(run).report,
        run=source,
        result=source.result,
        data=source.data,
        val=val,
        test=test,
        glance=networks,
        titles=TITLES,
        test_images=test.images,
        confidence=summary,
        verdict=wording.verdict(source, test),
        ids=named(source.predictions("test").groups) > 0,
        disclaimer=wording.DISCLAIMER,
        unpublished=wording.UNPUBLISHED,
        notes=limitations.notes(source, val, test),
        figures=figures,
        holdout=holdout.summary(source),
        holdout_warnings=[holdout.warning(source)],
        subgroups=by_subgroup,
        fidelity=compared,
        fidelity_verdict=fidelity.verdict(compared) if compared else "",
        versions=fidelity.versions(compared) if compared else [],
        few=FEW,
        thumbnails={(image.part, image.id): image for image in images},
        unlabelled=unlabelled.sentences([source]),
        heatmaps=[image for image in images if image.overlays],
        outcomes=outcomes.by_image(source, "val"),
        several_teachers=", " in (source.result.teacher or ""),
        embeddings=features,
        provenance=provenance.rows(source),
    )


def _confusion(run: Run, test: Summary) -> Markup:
    side = 1.6 + 0.52 * min(len(test.per_class), 16)
    figure, (axes,) = style.sheet(width=side, height=side)
    plots.confusion(axes, test)
    style.png(figure, run.folder / "figures/confusion.png")
    recalls = ", ".join(f"{row.name} {row.tp} of {row.images}" for row in test.per_class)
    return style.svg(
        figure, name="confusion", alt=f"Confusion matrix of the test images. Predicted rightly: {recalls}."
    )


def _recalls(networks: Sequence[Network], test: Summary) -> Markup | None:
    if not networks:
        return None
    return score_plots.recalls({each.role: each.recalls for each in networks}, [row.name for row in test.per_class])


def _curves(run: Run) -> list[list[Markup]]:
    """Return three panels for each stage; as a PNG they are one figure, a stage a row."""
    stages = run.result.stages
    if not stages:
        return []
    whole, panels = style.sheet(3, len(stages))
    drawn = []
    for number, stage in enumerate(stages):
        history = run.epochs_of(stage)
        losses = [epoch.train["total"] for epoch in history]
        alt = [
            f"Training loss of stage {stage.name}: from {losses[0]:.3f} to {losses[-1]:.3f}.",
            f"Share of each term in the loss of stage {stage.name}.",
            f"Validation balanced accuracy of stage {stage.name}: {stage.best_score:.3f} "
            f"in epoch {stage.best_epoch} of {stage.epochs}, which was kept.",
        ]
        row = []
        for place, words in enumerate(alt):
            alone, (axes,) = style.sheet()
            for panel in (axes, panels[3 * number + place]):
                (plots.loss, plots.shares, plots.validation)[place](panel, history, stage)
            row.append(style.svg(alone, name=f"curve{number}{place}", alt=words))
        panels[3 * number].set_ylabel(f"stage {number + 1}: {stage.name}\nloss", fontweight="bold")
        drawn.append(row)
    style.png(whole, run.folder / "figures/curves.png")
    return drawn


def _roc(run: Run, test: Summary) -> list[Markup]:
    """Return a panel for each class; as a PNG they are one figure, four a row."""
    columns = min(4, len(test.per_class))
    whole, panels = style.sheet(columns, -(-len(test.per_class) // columns), width=1.8, height=1.9)
    for spare in panels[len(test.per_class) :]:
        spare.set_axis_off()
    drawn = []
    for number, row in enumerate(test.per_class):
        alone, (axes,) = style.sheet(width=1.8, height=1.9)
        for panel in (axes, panels[number]):
            plots.roc(panel, run.predictions("test"), number, row.auc)
        area = "none, too few images" if row.auc is None else f"area {row.auc:.3f}"
        drawn.append(style.svg(alone, name=f"roc{number}", alt=f"ROC curve of {row.name} against the rest: {area}."))
    style.png(whole, run.folder / "figures/roc.png")
    return drawn
