"""Time the networks of a finished run, so that its reports can state how much faster the student is."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path

import torch

from dspkd.deploy.export.latency import measure
from dspkd.errors import DspkdError
from dspkd.models.tapped import Tapped
from dspkd.runs.records import NetworkLatency
from dspkd.runs.run_folder import Run
from dspkd.runtime import threads
from dspkd.runtime.files import write_json

_TIMED = 15


def record(folder: Path) -> None:
    """Write how long student and teacher take for one image into the run folder, unless that is there already.

    Each has images of its own size; of several teachers it is the sum. They take turns on one thread of the CPU, and
    the processor's time counts, so that other work on the machine hardly matters.
    """
    run = Run(folder)
    if run.files.latency.exists():
        return
    calls = {"student": _call([run.model], run.recipe.images.size)}
    if teachers := _teachers(run):
        calls["teacher"] = _call(teachers, run.recipe.seen_by_teacher.images.size)
    with threads.kept(1):
        taken = {name: latency.cpu for name, latency in measure(calls, runs=_TIMED).items()}
    with run.files.manifest.recording(run.files.latency):
        write_json(run.files.latency, asdict(NetworkLatency(taken["student"], taken.get("teacher"))))


def _teachers(run: Run) -> list[Tapped]:
    """Return the run's teachers; none where one is gone, or is a file of answers."""
    try:
        return [Run(teacher).model for teacher in run.teachers]
    except DspkdError:
        return []


def _call(networks: list[Tapped], size: int) -> Callable[[], object]:
    image = torch.rand(1, 3, size, size)

    def call() -> object:
        with torch.inference_mode():
            return [network(image) for network in networks]

    return call
