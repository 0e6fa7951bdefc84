"""Run a worker, a program of its own, in the environment of its converter."""

from __future__ import annotations

import json
import os
import subprocess
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from dspkd.deploy.convert.formats import PhoneFormat
from dspkd.errors import BundleError

_WORKERS = Path(__file__).parent / "workers"
_HOURS = 2.0
"""After which a worker is stopped; the slowest measured took a minute."""


@dataclass(frozen=True)
class Outputs:
    """What a file computed.

    Attributes
    ----------
    logits
        ``[N, K]``, of the images as they are: contiguous, ``[1, 3, S, S]`` each.
    layouts
        ``{layout: [K]}``: the first image with other strides, as far as the runtime took it.
    refused
        ``{layout: why}``: the layouts that the runtime refused.
    milliseconds
        Of single runs with one thread.
    """

    logits: NDArray[np.float32]
    layouts: dict[str, NDArray[np.float32]]
    refused: dict[str, str]
    milliseconds: NDArray[np.float64]


@dataclass(frozen=True)
class Worker:
    """The converter of a format: a Python, and a folder for what passes between processes."""

    phone_format: PhoneFormat
    python: Path
    folder: Path

    def convert(self, onnx: Path, file: Path, precision: str, images_N3SS: NDArray[np.uint8]) -> None:
        """Write a network, given as ONNX for one image, to `file`; `images` are for the ranges of activations.

        Raises
        ------
        BundleError
            The converter failed.
        """
        self._start("convert", onnx, file, precision, images_N3SS)

    def run(self, file: Path, precision: str, images_N3SS: NDArray[np.uint8]) -> Outputs:
        """Return what a file computes for images.

        Raises
        ------
        BundleError
            The runtime failed.
        """
        result = self._start("run", file, file, precision, images_N3SS)
        with np.load(result) as arrays:
            layouts = {name.partition(":")[2]: arrays[name] for name in arrays.files if name.startswith("layout:")}
            refused = json.loads(str(arrays["refused"]))
            return Outputs(arrays["logits"], layouts, refused, arrays["milliseconds"])

    def _start(self, task: str, onnx: Path, file: Path, precision: str, images_N3SS: NDArray[np.uint8]) -> Path:
        images, result, job = (self.folder / name for name in ("images.npy", "result.npz", "job.json"))
        np.save(images, images_N3SS)
        result.unlink(missing_ok=True)
        paths = {"onnx": onnx, "file": file, "images": images, "result": result}
        settings = {"task": task, "precision": precision, "size": images_N3SS.shape[-1]}
        settings |= {key: str(path.resolve()) for key, path in paths.items()}
        job.write_text(json.dumps(settings), encoding="utf-8")
        environment = {key: value for key, value in os.environ.items() if not key.startswith("PYTHON")}
        environment |= {"OMP_NUM_THREADS": "1", "PYTHONDONTWRITEBYTECODE": "1"}
        what = f"cannot {task}"
        try:
            done = subprocess.run(
                [self.python, str(_WORKERS / self.phone_format.worker), str(job)],
                capture_output=True,
                text=True,
                errors="replace",
                env=environment,
                cwd=self.folder,
                timeout=3600 * _HOURS,
                check=False,
            )
        except subprocess.TimeoutExpired:
            raise BundleError(f"{what}: not done after {_HOURS:g} hours") from None
        except OSError as error:
            raise BundleError(f"{what}: {self.python}: {error.strerror}") from None
        if done.returncode:
            lines = done.stderr.strip().splitlines() or [f"ended with {done.returncode}"]
            raise BundleError(f"{what}: {lines[-1][:300]}")
        return result
