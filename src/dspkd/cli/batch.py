"""What ``dspkd predict --many`` does."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from dspkd.errors import DspkdError
from dspkd.runtime.cores import available_cores

if TYPE_CHECKING:
    from dspkd.deploy.batch.engines import BatchClassifier


def predict(
    source: Path,
    images: Path,
    out: Path | None,
    *,
    column: str | None,
    workers: int | None,
    ray: str | None,
    precision: str | None,
    threads: int,
) -> None:
    """Ask a run's student or a bundle about all that `images` names, and write the answers to `out`."""
    if out is None:
        raise DspkdError("--many writes a file; name it: --out answers.csv, or answers.parquet")
    if ray is not None and workers is not None:
        raise DspkdError("--workers and --ray: give one; each actor of a Ray cluster decodes for itself")

    from dspkd.deploy.batch import engines
    from dspkd.deploy.batch import predict as many
    from dspkd.deploy.batch.listing import ImageList
    from dspkd.deploy.batch.output import ShardedOutput
    from dspkd.runtime.console import progress_bar, terminal

    named = ImageList(images, column)
    make = _maker(source, precision, threads)
    asked = make()
    if ray is None:
        engine = partial(
            engines.run_inline, asked=asked, root=named.root, workers=_loaders() if workers is None else workers
        )
    else:
        engine = partial(engines.on_ray, make=make, root=named.root, address=ray, gpu=asked.on_gpu)
    with progress_bar(terminal()) as progress:
        counted = many.predict(named, ShardedOutput(out, asked.classes, asked.key, asked.refer_below), engine, progress)
    before = f", {counted.before:,} of them answered before" if counted.before else ""
    typer.echo(f"{out}: {counted.images:,} images{before}; no diagnosis")
    if counted.unanswered:
        typer.secho(
            f"warning: no answer for {counted.unanswered:,} of them; the column 'error' says why", fg="yellow", err=True
        )


def _maker(source: Path, precision: str | None, threads: int) -> Callable[[], BatchClassifier]:
    """Return what makes whoever is asked, here or on a node of a cluster."""
    if source.is_dir():
        if precision is not None:
            raise DspkdError(f"{source}: --precision is for bundles; make one: dspkd export {source}")
        from dspkd.runs.predict import RunClassifier

        return partial(RunClassifier, source)
    from dspkd.deploy.batch.bundle_model import BundleClassifier

    return partial(BundleClassifier, source, precision, threads)


def _loaders() -> int:
    """Return how many processes decode where nobody says so: half of the cores, for the network needs the others."""
    cores = available_cores()
    return max(1, cores // 2)
