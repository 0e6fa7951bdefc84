"""The command `dspkd evaluate`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console

from dspkd.cli.errors import one_line_errors

if TYPE_CHECKING:
    from dspkd.evaluation.metrics import Summary
    from dspkd.evaluation.predictions import Predictions
    from dspkd.runs.evaluate import OutOfDistribution


def evaluate(
    run: Annotated[Path, typer.Argument(help="Folder of a finished run.")],
    data: Annotated[
        Path | None,
        typer.Option(help="Labelled images: a folder or CSV file of a known layout; by default the run's own."),
    ] = None,
    part: Annotated[str | None, typer.Option(help="Part of the run's own split: train, val or test (default).")] = None,
    out: Annotated[Path | None, typer.Option(help="Also write the predictions to this CSV file.")] = None,
    group: Annotated[
        str | None, typer.Option(help="Column of --data, and of --unknown, that names the lesion or patient.")
    ] = None,
    isic_csv: Annotated[
        Path | None,
        typer.Option(help="Also write the probabilities as a submission to the ISIC 2019 challenge, and score it so."),
    ] = None,
    classes: Annotated[
        Path | None,
        typer.Option(
            help="Class map (TOML) that gives the images of --data the student's classes; what it drops is unknown."
        ),
    ] = None,
    focus: Annotated[
        str | None, typer.Option(help="Class whose sensitivity is told for each subgroup; by default melanoma.")
    ] = None,
    unknown: Annotated[
        Path | None,
        typer.Option(
            help="Images of classes that the student was never taught: a folder or CSV file of a known layout, whose "
            "images of known classes are left out. Says how well scores tell them from the images judged."
        ),
    ] = None,
) -> None:
    """Judge a run's student on labelled images, by lesion and subgroup too, and say how many it was trained on.

    Each time that images of the run's own test part are judged is counted in its folder, and printed in its reports.
    """
    with one_line_errors():
        from dspkd.cli.tables import print_challenge, print_subgroups, print_summary
        from dspkd.evaluation import isic2019
        from dspkd.reports import subgroups
        from dspkd.runs import evaluate as judge
        from dspkd.runtime.console import terminal

        strangers = None if unknown is None else judge.evaluate_ood(run, unknown, group=group, classes=classes)
        others = data is not None or strangers is None  # of --unknown alone, group and class map are no other images'
        judged = judge.evaluate(
            run, folder=data, part=part, group=group if others else None, classes=classes if others else None
        )
        if out is not None:
            judged.predictions.save(out)
        if isic_csv is not None:
            isic2019.submit(judged.predictions, isic_csv)
        print_summary(terminal(), judged.summary)
        _print_lesions(terminal(), judged.summary, judged.lesions)
        print_subgroups(terminal(), subgroups.of_runs([judged.predictions], judged.attributes, focus=focus))
        if isic_csv is not None:
            print_challenge(terminal(), isic2019.score(judged.predictions))
        if strangers is not None:
            _print_unknown(terminal(), judged.predictions, strangers)
        if judged.test_evaluations:
            typer.echo(f"the test images of {run} have now been opened {judged.test_evaluations} times", err=True)
        if judged.leak:
            typer.secho(f"warning: {judged.leak}", fg="yellow", err=True)
        if judged.trained_on:
            typer.secho(
                f"warning: {judged.trained_on} of these {len(judged.predictions)} images show lesions or patients that "
                "the student was trained on: its figures are too good",
                fg="yellow",
                err=True,
            )


def _print_lesions(console: Console, images: Summary, lesions: Summary | None) -> None:
    """Print what the answers amount to lesion by lesion, or why there is no such figure."""
    if lesions is None:
        console.print("by lesion: nothing to say, since a lesion or patient has images of several classes")
    elif lesions.images == images.images:
        console.print("by lesion: the same, since each lesion or patient has a single image here")
    else:
        auc = "-" if lesions.auc_macro is None else f"{lesions.auc_macro:.3f}"
        console.print(
            f"by lesion: balanced accuracy {lesions.balanced_accuracy:.3f}  macro F1 {lesions.f1_macro:.3f}  "
            f"accuracy {lesions.accuracy:.3f}  AUC {auc}\n"
            f"  {lesions.images:,} lesions or patients, each answered by the mean of its images' probabilities",
            soft_wrap=True,
        )


def _print_unknown(console: Console, known: Predictions, strangers: OutOfDistribution) -> None:
    """Print how well each score tells images of unknown classes from the known ones that were judged."""
    from dspkd.evaluation.out_of_distribution import DEFINITIONS, SCORES, separation
    from dspkd.runtime.console import headed

    listed = ", ".join(f"{name} {images:,}" for name, images in strangers.classes.items())
    lesions = len(set(strangers.groups))
    console.print(
        f"{len(strangers.groups):,} images of unknown classes, of {lesions:,} lesions or patients ({listed}); "
        f"{len(known):,} of known ones",
        soft_wrap=True,
    )
    titles = {"auc": "AUROC", "average_precision": "AP", "false_alarms": "false alarms", "let_through": "let through"}
    table = headed("known from unknown; 95 % intervals over lesions", ["score"], list(titles.values()))
    for name, score in SCORES.items():
        of = separation(score(known.logits), score(strangers.logits), (known.groups, strangers.groups))
        figures = [getattr(of, field) for field in titles]
        table.add_row(name, *(f"{each.value:.3f}\n{each.low:.3f}\N{EN DASH}{each.high:.3f}" for each in figures))
    console.print(table)
    for field, heading in titles.items():
        console.print(f"{heading}: {DEFINITIONS[field]}", soft_wrap=True)
    if strangers.left_out:
        console.print(f"left out there: {strangers.left_out:,} images of classes that the student knows")
