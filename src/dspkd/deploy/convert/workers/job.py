"""What the workers share: the job they are given, the layouts of an image, timing, and how they report.

A worker runs as ``python WORKER JOB.json`` in the environment of its converter, where dspkd is not installed. It writes
what its job names and ends with 0; anything else on its way is an error, whose last line is shown.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

Pixels = NDArray[np.float32]
"""One image ``[1, 3, S, S]`` in [0, 1]."""

ROUNDS = 30
"""Runs of one image of which the latency is the median, after three that are not counted."""


@dataclass(frozen=True)
class Job:
    """What a worker has to do.

    Attributes
    ----------
    task
        "convert" or "run".
    onnx
        The bundle's network, for one image.
    file
        To write, or to run.
    precision
        "fp32", "fp16" or "int8".
    size
        S, the side of an image in pixels.
    images
        ``[N, 3, S, S]`` uint8, as .npy: to run the file on, or to compute the ranges of activations from.
    result
        Where the outputs go, as .npz: ``logits`` ``[N, K]``, of each layout ``layout:NAME`` ``[1, K]``, and
        ``milliseconds``.
    """

    task: str
    onnx: Path
    file: Path
    precision: str
    size: int
    images: Path
    result: Path

    def load(self) -> Iterator[Pixels]:
        """Yield the images, divided by 255."""
        for image_3SS in np.load(self.images, mmap_mode="r"):
            yield np.divide(image_3SS[None], np.float32(255), dtype=np.float32)


def layouts(image_13SS: Pixels) -> dict[str, Pixels]:
    """Return the image with other strides: the same numbers, laid out in memory as an app may have them."""
    rows = np.ascontiguousarray(image_13SS.transpose(0, 2, 3, 1))
    larger = np.zeros((1, 3, *(2 * side for side in image_13SS.shape[2:])), np.float32)
    larger[..., ::2, ::2] = image_13SS
    return {"channels last": rows.transpose(0, 3, 1, 2), "every second pixel of a larger image": larger[..., ::2, ::2]}


def work(convert: Callable[[Job], None], load: Callable[[Path], Callable[[Pixels], Any]]) -> None:
    """Do the job named on the command line.

    Parameters
    ----------
    convert
        Writes the file of a job.
    load
        Returns a function from one image to its logits, computed by the format's own runtime with one thread. It hands
        the image to the runtime as it is.
    """
    settings = json.loads(Path(sys.argv[1]).read_text(encoding="utf-8"))
    paths = {key: Path(settings[key]) for key in ("onnx", "file", "images", "result")}
    job = Job(task=settings["task"], precision=settings["precision"], size=settings["size"], **paths)
    if job.task == "convert":
        convert(job)
    else:
        _run(job, load(job.file))


def _run(job: Job, compute: Callable[[Pixels], Any]) -> None:
    first_13SS = next(job.load())
    outputs: dict[str, NDArray[Any]] = {"logits": np.stack([_row(compute(image_13SS)) for image_13SS in job.load()])}
    refused = {}
    for name, image_13SS in layouts(first_13SS).items():
        try:
            outputs[f"layout:{name}"] = _row(compute(image_13SS))
        except Exception as error:  # the runtime's own refusal
            refused[name] = (str(error).strip().splitlines() or [type(error).__name__])[0]
    milliseconds = []
    for _ in range(ROUNDS + 3):
        started = time.perf_counter()
        compute(first_13SS)
        milliseconds.append(1000 * (time.perf_counter() - started))
    outputs |= {"milliseconds": np.array(milliseconds[3:]), "refused": np.array(json.dumps(refused))}
    np.savez(job.result, allow_pickle=False, **outputs)


def _row(logits: Any) -> NDArray[np.float32]:
    return np.array(logits, dtype=np.float32).reshape(-1)
