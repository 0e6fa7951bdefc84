"""The commands for bundles: export, verify, predict. The latter two need no torch."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from dspkd.cli import batch
from dspkd.cli.bundle_limits import limited
from dspkd.cli.errors import one_line_errors
from dspkd.errors import DataError, DspkdError

if TYPE_CHECKING:
    from dspkd.deploy import Prediction, Predictor
    from dspkd.deploy.bundle.advice import Advice
    from dspkd.deploy.bundle.spec import BundleClass

app = typer.Typer()

_MARKED = "* malignant, or possibly so."
TO_FILE = "Predictions to a file"
BundleArgument = Annotated[Path, typer.Argument(help="A bundle: model.dspkd.")]
ThreadsOption = Annotated[int, typer.Option(min=1, help="CPU threads that a bundle may use.")]


@app.command()
def export(
    run: Annotated[Path, typer.Argument(help="Folder of a finished run.")],
    out: Annotated[Path, typer.Option(help="The bundle to write.")] = Path("model.dspkd"),
    max_loss: Annotated[
        float, typer.Option(min=0, max=1, help="Share of a class, or one image, that int8 may lose as the default.")
    ] = 0.02,
    coverage: Annotated[
        float | None,
        typer.Option(
            help="Share of validation images that the threshold of confidence alone does not refer. By default 95 % of "
            "melanoma images are found or referred, or 90 % of all images are not referred where there is no melanoma; "
            "with fewer than 30 melanoma lesions, whichever refers more."
        ),
    ] = None,
    licence: Annotated[str | None, typer.Option(help="Terms of the weights; by default those of the data set.")] = None,
    data: Annotated[
        Path | None, typer.Option(help="Where the run's images are now; by default as its recipe says.")
    ] = None,
    hub: Annotated[
        Path | None, typer.Option(help="Also write a folder for the Hugging Face hub: card, safetensors, ONNX.")
    ] = None,
    program: Annotated[Path | None, typer.Option(help="Also write the network by torch.export, to this file.")] = None,
    keep_images: Annotated[
        Path | None,
        typer.Option(
            help="Also write the preprocessed calibration and validation images, which dspkd convert checks converted "
            "files on. They may show patients: keep them where the data set is."
        ),
    ] = None,
    web: Annotated[
        Path | None,
        typer.Option(help="Also write a page that runs it in the browser into this folder, as dspkd web does."),
    ] = None,
) -> None:
    """Make one file of a student for phones, browsers and servers: ONNX in float32 and int8. For research only.

    The outputs of both are compared with those of torch.

    Several ways of quantising to int8 are tried; validation images choose one and decide whether it may be the default.
    The test set is evaluated once, for the model card.
    """
    with one_line_errors():
        from dspkd.deploy.export import huggingface, torch_formats
        from dspkd.deploy.export.export import export as export_run
        from dspkd.deploy.serve import web_page

        if web is not None:
            web_page.check_folder(web)
        bundle = export_run(
            run,
            out,
            max_loss=max_loss,
            coverage=coverage,
            licence=licence,
            data=data,
            keep_images=keep_images,
            log=typer.echo,
        )
        typer.echo(bundle.read_json("certificate.json")["conversion"]["verdict"])
        typer.echo(f"bundle: {out}, digest {bundle.digest}")
        if keep_images is not None:
            typer.echo(f"images: {keep_images}, which may show patients")
        if hub is not None:
            typer.echo(f"hub: {huggingface.write(run, bundle, hub)}")
        if program is not None:
            typer.echo(f"torch.export: {torch_formats.program(run, program)}")
        if web is not None:
            typer.echo(f"web: {len(web_page.write(bundle, web))} files in {web}")


@app.command()
def verify(bundle: BundleArgument) -> None:
    """Check a bundle: its files, preprocessing bit for bit, expected outputs of each model. Needs no torch.

    Verified means that the file is intact and its models reproduce their stored outputs here; it says nothing of
    accuracy. Prints its limits first: what it recognises of malignant classes, and how many cancers its advice refers.
    Exit code 0 if every check passes, 1 if one fails, 2 if the file is not a bundle that can be opened.
    """
    with one_line_errors(), limited(bundle):
        from dspkd.deploy.bundle import limits
        from dspkd.deploy.bundle.reader import open_bundle
        from dspkd.deploy.bundle.verify import verify as verify_bundle

        opened = open_bundle(bundle)
        typer.echo(f"{opened.spec.name}: {len(opened.spec.classes)} classes, digest {opened.digest}")
        passed = True
        for line in (*limits.lines(opened), opened.spec.not_a_diagnosis):
            typer.echo(line)
        for check in verify_bundle(opened):
            typer.echo(f"{'ok    ' if check.passed else 'FAILED'} {check.name}: {check.detail}")
            passed &= check.passed
        typer.echo("verified" if passed else "NOT VERIFIED: do not use this file on this machine")
        if not passed:
            raise typer.Exit(code=1)


@app.command()
def predict(
    source: Annotated[Path, typer.Argument(help="A bundle (model.dspkd), or the folder of a finished run.")],
    images: Annotated[list[Path] | None, typer.Argument(help="Image files, or folders of them.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print a JSON object a line.")] = False,
    isic_csv: Annotated[
        Path | None, typer.Option(help="Write a submission to the ISIC 2019 challenge. Bundles only.")
    ] = None,
    precision: Annotated[
        str | None, typer.Option(help="fp32 or int8; by default what the bundle names. Bundles only.")
    ] = None,
    threads: ThreadsOption = 1,
    out: Annotated[
        Path | None,
        typer.Option(help="CSV or parquet file of predictions; resumes if stopped.", rich_help_panel=TO_FILE),
    ] = None,
    many: Annotated[
        Path | None,
        typer.Option(
            help="Predict all images in this folder, or named by this CSV or parquet file.", rich_help_panel=TO_FILE
        ),
    ] = None,
    column: Annotated[
        str | None, typer.Option(help="Column of --many that names images; by default 'path'.", rich_help_panel=TO_FILE)
    ] = None,
    workers: Annotated[
        int | None,
        typer.Option(min=0, help="Processes that decode; by default half of the cores.", rich_help_panel=TO_FILE),
    ] = None,
    ray: Annotated[
        str | None,
        typer.Option(
            metavar="ADDRESS",
            help="Predict on this Ray cluster, or on one started here: local.",
            rich_help_panel=TO_FILE,
        ),
    ] = None,
) -> None:
    """Print whether to refer each image and a student's class probabilities, or write them to --out. No diagnosis.

    With --out, millions of images are predicted in bounded memory, and an image that cannot be read has a row with the
    reason. Without it, such an image is reported on standard error, the others are predicted, and the exit code is 1.
    Ends with how many images there were, how many got each advice, how many could not be read, and how many files in
    a folder were left out.
    """
    with one_line_errors(stopped="stopped; with --out, the same command resumes with what is missing"):
        if bool(images) == (many is not None):
            raise DspkdError("name image files, or --many and a folder, CSV or parquet file that names them")
        if many is None:
            _refuse({"--column": column}, "goes with --many")
        if out is not None:
            _refuse({"--json": as_json or None, "--isic-csv": isic_csv}, "does not go with --out, which writes a file")
            named = batch.named_images(images or [], many, column)
            batch.predict(source, named, out, workers=workers, ray=ray, precision=precision, threads=threads)
            return
        _refuse({"--many": many}, "writes a file; name it: --out predictions.csv, or predictions.parquet")
        _refuse({"--workers": workers, "--ray": ray}, "goes with --out")
        from dspkd.deploy.batch.listing import find_images

        if source.is_dir():
            _refuse({"--isic-csv": isic_csv, "--precision": precision}, f"is for bundles; dspkd export {source}")
        left_out = batch.report_left_out(images or [])
        files = find_images(images or [])
        if source.is_dir():
            if _predict_by_run(source, files, left_out, as_json=as_json):
                raise typer.Exit(code=1)
            return
        from dspkd.deploy import Predictor

        with limited(source):
            predictor = Predictor(source, precision)
        if _predict_by_bundle(predictor, files, left_out, as_json=as_json, isic_csv=isic_csv, threads=threads):
            raise typer.Exit(code=1)


def _refuse(options: Mapping[str, object], why: str) -> None:
    """Raise an error about the first of these options that was given."""
    for name, value in options.items():
        if value is not None:
            raise DspkdError(f"{name} {why}")


def _predict_by_run(run: Path, images: list[Path], left_out: int, *, as_json: bool) -> int:
    """Print a prediction for each image; return how many images could not be read, and raise the error if it is all."""
    from dspkd.reports.wording import DISCLAIMER
    from dspkd.runs.predict import predict

    rule = batch.rule_of_run(run)
    given: Counter[str] = Counter()
    errors: list[DataError] = []

    def fail(path: Path, error: DataError) -> None:
        errors.append(error)
        if len(errors) == len(images):
            raise errors[0]
        if as_json:
            typer.echo(json.dumps({"image": str(path), "error": str(error)}))
        typer.secho(f"error: {error}", fg="red", err=True)

    for path, probabilities in predict(run, images, fail):
        advice = rule.advise(list(probabilities.values()))
        given[advice.sentence] += 1
        if as_json:
            typer.echo(json.dumps({"image": str(path), **advice.to_json(), "probabilities": probabilities}))
        else:
            _print(path, advice, probabilities, rule.classes)
    for line in (*([_MARKED] if given else []), DISCLAIMER, batch.summary(given, len(errors), left_out)):
        typer.secho(line, err=True)
    return len(errors)


def _predict_by_bundle(
    predictor: Predictor, images: list[Path], left_out: int, *, as_json: bool, isic_csv: Path | None, threads: int
) -> int:
    """Print or write a prediction for each image; return how many images could not be read."""
    from dspkd.deploy.bundle import limits
    from dspkd.evaluation import isic2019_submission

    classes = [each.id for each in predictor.classes]
    if isic_csv is not None:
        isic2019_submission.check(classes)
    failed = 0
    given: Counter[str] = Counter()
    submission: dict[str, list[float]] = {}
    for path, prediction in predictor.predict_files(images, threads=threads):
        if as_json:
            typer.echo(json.dumps({"image": str(path), **_as_json(prediction), **_identity(predictor)}))
        if isinstance(prediction, DataError):
            failed += 1
            typer.secho(f"error: {prediction}", fg="red", err=True)
            continue
        given[prediction.advice.sentence] += 1
        if isic_csv is not None:
            submission[str(path)] = list(prediction.probabilities.values())
        elif not as_json:
            _print(path, prediction.advice, prediction.probabilities, predictor.classes)
    if isic_csv is not None:
        isic2019_submission.write(isic_csv, classes, list(submission), submission.values())
        typer.echo(f"submission: {isic_csv}, {len(submission)} images")
    measured = limits.lines(predictor.bundle, predictor.precision)
    about = (predictor.bundle.spec.not_a_diagnosis, batch.summary(given, failed, left_out))
    for line in (*([_MARKED] if given else []), *measured, *about):
        typer.secho(line, err=True)
    return failed


def _identity(predictor: Predictor) -> dict[str, str]:
    return {"bundle": predictor.bundle.digest[:12], "precision": predictor.precision}


def _as_json(prediction: Prediction | DataError) -> dict[str, Any]:
    if isinstance(prediction, DataError):
        return {"error": str(prediction)}
    return {
        **prediction.advice.to_json(),
        "top": prediction.top,
        "confidence": prediction.confidence,
        "probabilities": dict(prediction.probabilities),
        "seconds": dict(prediction.seconds),
    }


def _print(path: Path, advice: Advice, probabilities: Mapping[str, float], classes: Sequence[BundleClass]) -> None:
    """Print the advice and why, then the classes by falling probability, those that are not benign marked."""
    from dspkd.deploy.bundle.advice import probability

    marked = {each.id for each in classes if not each.benign}
    ranked = sorted(probabilities.items(), key=lambda item: -item[1])
    typer.echo(f"{path}: {advice}")
    typer.echo("  " + "  ".join(f"{name}{'*' * (name in marked)} {probability(value)}" for name, value in ranked))
