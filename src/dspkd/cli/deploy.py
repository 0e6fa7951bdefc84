"""The commands for bundles: make one, verify it, ask it. The latter two need no torch."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from dspkd.cli import batch
from dspkd.cli.errors import one_line_errors
from dspkd.errors import DspkdError

if TYPE_CHECKING:
    from dspkd.deploy import Prediction, Predictor
    from dspkd.deploy.batch.csv_sheet import Answer

app = typer.Typer()

MANY = "Many images"
BundleArgument = Annotated[Path, typer.Argument(help="A bundle: model.dspkd.")]
ThreadsOption = Annotated[int, typer.Option(min=1, help="Images that a bundle is asked about at once, a core each.")]


@app.command()
def export(
    run: Annotated[Path, typer.Argument(help="Folder of a finished run.")],
    out: Annotated[Path, typer.Option(help="The bundle to write.")] = Path("model.dspkd"),
    max_loss: Annotated[
        float, typer.Option(min=0, max=1, help="Recall that a class may lose by int8 if int8 is to be the default.")
    ] = 0.02,
    coverage: Annotated[
        float | None,
        typer.Option(help="Refer what is less sure than this share of validation images; else 95 % of MEL is found."),
    ] = None,
    licence: Annotated[str | None, typer.Option(help="Terms of the weights; by default those of the data set.")] = None,
    hub: Annotated[
        Path | None, typer.Option(help="Also write a folder for the Hugging Face hub: card, safetensors, ONNX.")
    ] = None,
    program: Annotated[Path | None, typer.Option(help="Also write the network by torch.export, to this file.")] = None,
    web: Annotated[
        Path | None,
        typer.Option(help="Also write a page that runs it in the browser into this folder, as dspkd web does."),
    ] = None,
) -> None:
    """Make one file of a student that a phone, a browser or a hospital can use: ONNX in float32 and int8, verified.

    Int8 is tried in several ways; validation images choose, and say whether it may be the default. The test images are
    looked at once, for the card.
    """
    with one_line_errors():
        from dspkd.deploy.export import huggingface, torch_formats
        from dspkd.deploy.export.export import export as make
        from dspkd.deploy.serve import web_page

        if web is not None:
            web_page.check_folder(web)
        bundle = make(run, out, max_loss=max_loss, coverage=coverage, licence=licence, log=typer.echo)
        typer.echo(bundle.read_json("certificate.json")["conversion"]["verdict"])
        typer.echo(f"bundle: {out}, digest {bundle.digest}")
        if hub is not None:
            typer.echo(f"hub: {huggingface.write(run, bundle, hub)}")
        if program is not None:
            typer.echo(f"torch.export: {torch_formats.program(run, program)}")
        if web is not None:
            typer.echo(f"web: {len(web_page.write(bundle, web))} files in {web}")


@app.command()
def verify(bundle: BundleArgument) -> None:
    """Check a bundle: its files, preprocessing bit for bit, golden answers of each model. Needs no torch.

    Exit code 0 if all is right, 1 if something is not, 2 if the file is no bundle that can be opened.
    """
    with one_line_errors():
        from dspkd.deploy.bundle.reader import open_bundle
        from dspkd.deploy.bundle.verify import verify as checks

        opened = open_bundle(bundle)
        typer.echo(f"{opened.spec.name}: {len(opened.spec.classes)} classes, digest {opened.digest}")
        right = True
        for check in checks(opened):
            typer.echo(f"{'ok   ' if check.right else 'WRONG'} {check.name}: {check.found}")
            right &= check.right
        typer.echo("verified" if right else "NOT VERIFIED: do not use this file here")
        if not right:
            raise typer.Exit(code=1)


@app.command()
def predict(
    source: Annotated[Path, typer.Argument(help="A bundle (model.dspkd), or the folder of a finished run.")],
    images: Annotated[list[Path] | None, typer.Argument(help="Image files; of a bundle, also folders of them.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print a JSON object a line.")] = False,
    csv: Annotated[
        Path | None,
        typer.Option(
            help="For some hundreds of images: write answers and advice to this CSV file; one that was begun goes on. "
            "For an archive: --many. Bundles only."
        ),
    ] = None,
    isic_csv: Annotated[
        Path | None, typer.Option(help="Write a submission to the ISIC 2019 challenge. Bundles only.")
    ] = None,
    precision: Annotated[
        str | None, typer.Option(help="fp32 or int8; by default what the bundle names. Bundles only.")
    ] = None,
    threads: ThreadsOption = 1,
    many: Annotated[
        Path | None,
        typer.Option(help="Ask about all images that a folder, CSV or parquet names.", rich_help_panel=MANY),
    ] = None,
    out: Annotated[
        Path | None, typer.Option(help="CSV or parquet file of answers; goes on if stopped.", rich_help_panel=MANY)
    ] = None,
    column: Annotated[
        str | None, typer.Option(help="Column of --many that names images; by default 'path'.", rich_help_panel=MANY)
    ] = None,
    workers: Annotated[
        int | None,
        typer.Option(min=0, help="Processes that decode; by default half of the cores.", rich_help_panel=MANY),
    ] = None,
    ray: Annotated[
        str | None,
        typer.Option(
            metavar="ADDRESS", help="Answer on this Ray cluster, or on one started here: local.", rich_help_panel=MANY
        ),
    ] = None,
) -> None:
    """Print a student's class probabilities for images. No diagnosis.

    Of a bundle, an image that cannot be read is told on standard error and the others are answered; exit code 1 then.
    With --many, an archive of millions is asked about in bounded memory, and the answers written to --out.
    """
    with one_line_errors(stopped="stopped; with --csv or --many, the same command goes on with what is missing"):
        _require_one_kind(images, many, {"--json": as_json, "--csv": csv, "--isic-csv": isic_csv})
        if many is not None:
            batch.predict(
                source, many, out, column=column, workers=workers, ray=ray, precision=precision, threads=threads
            )
            return
        _require_many({"--out": out, "--column": column, "--workers": workers, "--ray": ray})
        assert images is not None
        if source.is_dir():
            if csv or isic_csv or precision:
                raise DspkdError(
                    f"{source}: --csv, --isic-csv and --precision are for bundles; make one: dspkd export {source}"
                )
            _predict_by_run(source, images, as_json=as_json)
            return
        from dspkd.deploy import Predictor

        predictor = Predictor(source, precision)
        if _predict_by_bundle(predictor, images, as_json=as_json, csv=csv, isic_csv=isic_csv, threads=threads):
            raise typer.Exit(code=1)


def _require_one_kind(images: list[Path] | None, many: Path | None, of_images: dict[str, object]) -> None:
    """Refuse images and --many together, neither, and options of the former with the latter."""
    if bool(images) == (many is not None):
        raise DspkdError("name image files, or --many and a folder, CSV or parquet file that names them")
    if many is not None and (given := [name for name, value in of_images.items() if value]):
        raise DspkdError(f"{given[0]} is for image files that are named one by one; --many writes to --out")


def _require_many(of_many: dict[str, object]) -> None:
    if given := [name for name, value in of_many.items() if value is not None]:
        raise DspkdError(f"{given[0]} goes with --many")


def _predict_by_run(run: Path, images: list[Path], *, as_json: bool) -> None:
    from dspkd.runs.predict import predict

    for path, probabilities in predict(run, images):
        if as_json:
            typer.echo(json.dumps({"image": str(path), "probabilities": probabilities}))
        else:
            typer.echo(f"{path}: {_ranked(probabilities)}")


def _predict_by_bundle(
    predictor: Predictor, images: list[Path], *, as_json: bool, csv: Path | None, isic_csv: Path | None, threads: int
) -> int:
    """Ask about the images, tell the answers, and return how many could not be read."""
    from contextlib import nullcontext

    from dspkd.deploy.batch import csv_sheet
    from dspkd.evaluation import isic2019_submission

    classes = [known.id for known in predictor.classes]
    if isic_csv is not None:
        isic2019_submission.check(classes)
    wanted, failed = csv_sheet.find(images), 0
    answers: dict[str, list[float]] = {}
    with csv_sheet.Sheet(csv, predictor) if csv is not None else nullcontext() as sheet:
        missing = [path for path in wanted if sheet is None or str(path) not in sheet.answered]
        for path, answer in csv_sheet.ask(predictor, missing, threads=threads):
            if sheet is not None:
                sheet.write(path, answer)
            failed += isinstance(answer, DspkdError)
            if isinstance(answer, DspkdError):
                typer.secho(f"error: {answer}", fg="red", err=True)
            elif isic_csv is not None:
                answers[str(path)] = list(answer.probabilities.values())
            _tell(path, answer, predictor, as_json=as_json, quiet=csv is not None or isic_csv is not None)
    if csv is not None:
        typer.echo(f"{csv}: {len(missing) - failed} of {len(wanted)} images answered now, {failed} not readable")
    if isic_csv is not None:
        isic2019_submission.write(isic_csv, classes, list(answers), answers.values())
        typer.echo(f"submission: {isic_csv}, {len(answers)} images")
    typer.secho(predictor.bundle.spec.not_a_diagnosis, err=True)
    return failed


def _tell(path: Path, answer: Answer, predictor: Predictor, *, as_json: bool, quiet: bool) -> None:
    """Print an answer: as JSON where that is wanted, else in a line unless a file holds it."""
    if as_json:
        said: dict[str, Any] = {"error": str(answer)} if isinstance(answer, DspkdError) else _plain(answer)
        by = {"bundle": predictor.bundle.digest[:12], "precision": predictor.precision}
        typer.echo(json.dumps({"image": str(path), **said, **by}))
    elif not quiet and not isinstance(answer, DspkdError):
        typer.echo(f"{path}: {_ranked(answer.probabilities)}" + ("  not sure, refer" if answer.refer else ""))


def _plain(answer: Prediction) -> dict[str, Any]:
    return {
        "top": answer.top,
        "confidence": answer.confidence,
        "refer": answer.refer,
        "probabilities": dict(answer.probabilities),
        "seconds": dict(answer.seconds),
    }


def _ranked(probabilities: Any) -> str:
    return "  ".join(f"{name} {value:.3f}" for name, value in sorted(probabilities.items(), key=lambda item: -item[1]))
