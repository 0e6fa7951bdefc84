"""What ``dspkd predict --out`` does."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import nullcontext
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from dspkd.cli.bundle_limits import limited
from dspkd.errors import DspkdError
from dspkd.runtime.cores import available_cores

if TYPE_CHECKING:
    from dspkd.deploy.batch.engines import BatchClassifier
    from dspkd.deploy.batch.listing import ImageFiles, ImageList
    from dspkd.deploy.bundle.advice import ReferralRule


def named_images(paths: Sequence[Path], many: Path | None, column: str | None) -> ImageFiles | ImageList:
    """Return what names the images: files and folders of them, or the argument of ``--many``."""
    from dspkd.deploy.batch.listing import ImageFiles, ImageList

    return ImageFiles(tuple(paths)) if many is None else ImageList(many, column)


def report_left_out(paths: Iterable[Path]) -> int:
    """Print which files in these folders may be images but cannot be read here, and what would read them.

    Returns
    -------
    int
        How many they are.
    """
    from dspkd.data.image_files import unread_note
    from dspkd.deploy.batch.listing import left_out

    found = {folder: left_out(folder) for folder in paths if folder.is_dir()}
    for folder, files in found.items():
        if files:
            typer.secho(f"warning: {folder}: {unread_note(files, folder)}", fg="yellow", err=True)
    return sum(map(len, found.values()))


def predict(
    source: Path,
    images: ImageFiles | ImageList,
    out: Path,
    *,
    workers: int | None,
    ray: str | None,
    precision: str | None,
    threads: int,
) -> None:
    """Predict by a run's student or a bundle, and write the predictions to `out`.

    Parameters
    ----------
    source
        The run's folder, or the bundle.
    images
        What names the images; see `named_images`.
    out, workers, ray, precision, threads
        The options of the command.
    """
    if ray is not None and workers is not None:
        raise DspkdError("--workers and --ray: give one; each actor of a Ray cluster decodes for itself")

    from dspkd.deploy.batch import engines
    from dspkd.deploy.batch import predict as batch
    from dspkd.deploy.batch.output import ShardedOutput
    from dspkd.runtime.console import progress_bar, terminal

    load = _loader(source, precision, threads)
    with nullcontext() if source.is_dir() else limited(source):
        classifier = load()
    if ray is None:
        count = max(1, available_cores() // 2) if workers is None else workers  # the network needs the other half
        engine = partial(engines.run_inline, classifier=classifier, root=images.root, workers=count)
    else:
        engine = partial(engines.on_ray, load=load, root=images.root, address=ray, gpu=classifier.on_gpu)
    left_out = report_left_out(images.given)
    output = ShardedOutput(out, classifier.classes, classifier.key, classifier.rule or rule_of_run(source))
    with progress_bar(terminal()) as progress:
        counts = batch.predict(images, output, engine, progress)
    before = f", {counts.before:,} of them predicted before" if counts.before else ""
    typer.echo(f"{out}: {counts.images:,} images{before}; no diagnosis")
    if not source.is_dir():
        from dspkd.deploy.bundle import limits
        from dspkd.deploy.bundle.reader import open_bundle

        for line in limits.lines(open_bundle(source), precision):
            typer.secho(line, err=True)
    typer.secho(summary(_advised(out), counts.failed, left_out), err=True)
    if counts.failed:
        typer.secho(
            f"warning: no prediction for {counts.failed:,} of them; the column 'error' has the reason",
            fg="yellow",
            err=True,
        )


def summary(given: Mapping[str, int], failed: int, left_out: int) -> str:
    """Return how many images there were, how many got each advice, and how many were not read.

    Parameters
    ----------
    given
        ``{advice: images}``.
    failed
        Images without a prediction.
    left_out
        Files in the folders that may be images and are of a kind that cannot be read here.
    """
    parts = [f"{count:,}: {advice.rstrip('.')}" for advice, count in sorted(given.items())]
    parts += [f"{failed:,} could not be read"] if failed else [] if left_out else ["all could be read"]
    parts += [f"{left_out:,} more file{'s' * (left_out != 1)} left out, of a kind not read here"] if left_out else []
    total = sum(given.values()) + failed
    return f"{total:,} image{'s' * (total != 1)}. {'; '.join(parts)}."


def _advised(out: Path) -> dict[str, int]:
    """Return how many images of a written file got each advice."""
    from dspkd.data.arrow_files import parquet
    from dspkd.deploy.bundle.advice import NOT_REACHED, REFER
    from dspkd.runtime import csv_text

    if out.suffix.lower() == ".csv":
        with out.open(encoding="utf-8", errors="surrogateescape", newline="") as file:
            rows = csv_text.Reader(file)
            column = next(rows).index("refer")
            found = Counter(row[column] for row in rows)
    else:
        found = Counter(parquet(out).read_table(out, columns=["refer"]).column("refer").to_pylist())
    return {advice: found[word] for word, advice in (("yes", REFER), ("no", NOT_REACHED)) if found[word]}


def rule_of_run(run: Path) -> ReferralRule:
    """Return the rule of a run, which has no thresholds yet: always to refer."""
    from dspkd.deploy.bundle.advice import ReferralRule
    from dspkd.deploy.export.class_names import classes
    from dspkd.evaluation.classes import malignancies
    from dspkd.runs.run_folder import Run

    made_by = Run(run)
    kinds = malignancies(made_by.classes, made_by.recipe.data.malignant, made_by.recipe.data.benign)
    why = f"A run has no referral thresholds; set them with: dspkd export {run}."
    return ReferralRule(classes(made_by.classes, kinds), 0.0, None, why)


def _loader(source: Path, precision: str | None, threads: int) -> Callable[[], BatchClassifier]:
    """Return a function that loads the classifier, here or on a node of a cluster."""
    if source.is_dir():
        if precision is not None:
            raise DspkdError(f"--precision is for bundles; dspkd export {source}")
        from dspkd.runs.predict import RunClassifier

        return partial(RunClassifier, source)
    from dspkd.deploy.batch.bundle_model import BundleClassifier

    return partial(BundleClassifier, source, precision, threads)
