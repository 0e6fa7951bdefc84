"""What ``dspkd predict --many`` does."""

from __future__ import annotations

import os
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from dspkd.errors import DspkdError

if TYPE_CHECKING:
    from dspkd.deploy.batch.engines import Asked


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
    from dspkd.deploy.batch.listing import Source
    from dspkd.deploy.batch.output import Parts
    from dspkd.runtime.console import counting, terminal

    named = Source(images, column)
    make = _maker(source, precision, threads)
    asked = make()
    if ray is None:
        engine = partial(engines.here, asked=asked, root=named.root, workers=_loaders() if workers is None else workers)
    else:
        engine = partial(engines.on_ray, make=make, root=named.root, address=ray, gpu=asked.on_gpu)
    with counting(terminal()) as progress:
        counted = many.predict(named, Parts(out, asked.classes, asked.key, asked.refer_below), engine, progress)
    before = f", {counted.before:,} of them answered before" if counted.before else ""
    typer.echo(f"{out}: {counted.images:,} images{before}; no diagnosis")
    if counted.unanswered:
        typer.secho(
            f"warning: no answer for {counted.unanswered:,} of them; the column 'error' says why", fg="yellow", err=True
        )


def _maker(source: Path, precision: str | None, threads: int) -> Callable[[], Asked]:
    """Return what makes whoever is asked, here or on a node of a cluster."""
    if source.is_dir():
        if precision is not None:
            raise DspkdError(f"{source}: --precision is for bundles; make one: dspkd export {source}")
        from dspkd.runs.evaluate import Student

        return partial(Student, source)
    from dspkd.deploy.batch.bundle_model import Bundled

    return partial(Bundled, source, precision, threads)


def _loaders() -> int:
    """Return how many processes decode where nobody says so: half of the cores, for the network needs the others."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(1, cores // 2)
