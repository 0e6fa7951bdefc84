"""The command `dspkd evaluate`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console

from dspkd.cli.errors import one_line_errors
from dspkd.runtime.rounding import score

if TYPE_CHECKING:
    from dspkd.evaluation.metrics import Summary
    from dspkd.evaluation.predictions import Predictions
    from dspkd.runs.evaluate import OutOfDistribution


def evaluate(
    run: Annotated[Path, typer.Argument(help="Folder of a finished run.")],
    data: Annotated[
        Path | None,
        typer.Option(help="Labelled images: a folder or CSV file of a known layout; by default the run's own data."),
    ] = None,
    part: Annotated[str | None, typer.Option(help="Part of the run's own split: train, val or test (default).")] = None,
    out: Annotated[Path | None, typer.Option(help="Also write the predictions to this CSV file.")] = None,
    group: Annotated[
        str | None, typer.Option(help="Column of --data and of --unknown that names the lesion or patient.")
    ] = None,
    isic_csv: Annotated[
        Path | None,
        typer.Option(help="Also write a submission to the ISIC 2019 challenge to this file, and print its score."),
    ] = None,
    classes: Annotated[
        Path | None,
        typer.Option(
            help="Class map (TOML) for images with other classes: in its table 'classes' a line for each class of the "
            "student, which lists their names of it; classes that it lists in 'drop' count as unknown."
        ),
    ] = None,
    focus: Annotated[
        str | None, typer.Option(help="Class whose sensitivity is reported for each subgroup; by default melanoma.")
    ] = None,
    unknown: Annotated[
        Path | None,
        typer.Option(
            help="Images of classes that the student was not trained on: a folder or CSV file of a known layout. "
            "Reports how well out-of-distribution scores separate them from the evaluated images; images of known "
            "classes are left out."
        ),
    ] = None,
    skip_damaged: Annotated[
        bool, typer.Option("--skip-damaged", help="Leave out images that do not decode, and list them.")
    ] = False,
) -> None:
    """Evaluate a run's student on labelled images: per class, by lesion and by subgroup.

    Every evaluation on the run's own test set is recorded in its folder and stated in its reports. Images of lesions
    that the student was trained on are reported.
    """
    with one_line_errors():
        from dspkd.cli.tables import print_challenge, print_subgroups, print_summary
        from dspkd.data.assumptions import NO_IDS
        from dspkd.data.table import is_named
        from dspkd.evaluation import isic2019
        from dspkd.reports import subgroups
        from dspkd.runs import evaluate as evaluation
        from dspkd.runtime.console import ConsoleProgress, terminal

        _require_usable(run, focus=focus, out=out, isic_csv=isic_csv)
        with ConsoleProgress(terminal()) as screen:
            ood = (
                None
                if unknown is None
                else evaluation.evaluate_ood(
                    run, unknown, group=group, classes=classes, skip_damaged=skip_damaged, listener=screen
                )
            )
            own = data is None and ood is not None  # then --group and --classes are for the images of --unknown alone
            result = evaluation.evaluate(
                run,
                folder=data,
                part=part,
                group=None if own else group,
                classes=None if own else classes,
                skip_damaged=skip_damaged,
                listener=screen,
            )
        if out is not None:
            result.predictions.save(out)
        print_summary(terminal(), result.summary, result.predictions.groups)
        if not any(map(is_named, result.predictions.groups)):
            typer.secho(f"warning: {NO_IDS}", fg="yellow", err=True)
        else:
            _print_lesions(terminal(), result.summary, result.lesions)
        if result.soft_labels:
            terminal().print(result.soft_labels.sentence, soft_wrap=True)
        print_subgroups(terminal(), subgroups.of_runs([result.predictions], result.attributes, focus=focus))
        if isic_csv is not None:
            isic2019.submit(result.predictions, isic_csv)
            print_challenge(terminal(), isic2019.score(result.predictions))
        if ood is not None:
            _print_unknown(terminal(), result.predictions, ood)
        if result.test_evaluations:
            typer.echo(f"test-set evaluations of {run} so far: {result.test_evaluations}", err=True)
        for problem in [*result.skipped, *(ood.skipped if ood else ())]:
            typer.secho(f"warning: left out: {problem}", fg="yellow", err=True)
        if result.leak:
            typer.secho(f"warning: {result.leak}", fg="yellow", err=True)
        if result.trained_on:
            typer.secho(
                f"warning: {result.trained_on} of these {len(result.predictions)} images, or others of their lesions "
                "or patients, are in the training set: the results are too optimistic",
                fg="yellow",
                err=True,
            )


def _require_usable(run: Path, *, focus: str | None, out: Path | None, isic_csv: Path | None) -> None:
    """Refuse options that do not fit the run before anything is evaluated: an evaluation of the test set counts."""
    from dspkd.errors import DataError, suggest
    from dspkd.evaluation import isic2019_submission
    from dspkd.runs.run_folder import Run
    from dspkd.runtime.files import require_file

    if focus is not None and focus not in (classes := Run(run).classes):
        raise DataError(f"--focus {focus}: there is no class {focus!r}; {suggest(focus, classes)}")
    if isic_csv is not None:
        isic2019_submission.check(Run(run).classes)
    for path in filter(None, (out, isic_csv)):
        require_file(path)


def _print_lesions(console: Console, images: Summary, lesions: Summary | None) -> None:
    """Print the results by lesion, or why there are none."""
    if lesions is None:
        console.print("by lesion: no result, since a lesion or patient has images of several classes")
    elif lesions.images == images.images:
        console.print("by lesion: the same, since no lesion or patient has a second image")
    else:
        auc = score(lesions.auc_macro)
        console.print(
            f"by lesion: balanced accuracy {score(lesions.balanced_accuracy)}  macro F1 {score(lesions.f1_macro)}  "
            f"accuracy {score(lesions.accuracy)}  AUC {auc}\n"
            f"  {lesions.groups:,} lesions or patients, each with the mean probabilities of its images"
            + (f"; {unnamed:,} without an id, each on its own" if (unnamed := lesions.images - lesions.groups) else ""),
            soft_wrap=True,
        )


def _print_unknown(console: Console, known: Predictions, ood: OutOfDistribution) -> None:
    """Print how well each score separates images of unknown classes from the evaluated images of known classes."""
    from dspkd.data.table import named
    from dspkd.evaluation.out_of_distribution import DEFINITIONS, SCORES, separation
    from dspkd.reports.wording import of_lesions
    from dspkd.runtime.console import headed

    listed = ", ".join(f"{name} {images:,}" for name, images in ood.classes.items())
    console.print(
        f"{len(ood.groups):,} images of unknown classes ({listed}){of_lesions(named(ood.groups))}; "
        f"{len(known):,} images of known classes",
        soft_wrap=True,
    )
    titles = {"auc": "AUROC", "average_precision": "AP", "false_alarms": "false alarms", "let_through": "let through"}
    over = "lesions" if named(known.groups) else "images"
    table = headed(f"unknown against known classes; 95 % intervals over {over}", ["score"], list(titles.values()))
    for name, of in SCORES.items():
        separated = separation(of(known.logits), of(ood.logits), (known.groups, ood.groups))
        figures = [getattr(separated, field) for field in titles]
        table.add_row(
            name, *(f"{score(each.value)}\n{score(each.low)}\N{EN DASH}{score(each.high)}" for each in figures)
        )
    console.print(table)
    for field, heading in titles.items():
        console.print(f"{heading}: {DEFINITIONS[field]}", soft_wrap=True)
    if ood.left_out:
        console.print(f"left out: {ood.left_out:,} images of classes that the student knows")
