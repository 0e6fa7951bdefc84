"""Predict on unlabelled images with the student of a finished run."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict
from functools import partial
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from dspkd.data import artefacts, decode
from dspkd.errors import DataError
from dspkd.runs import build, hardware
from dspkd.runs.run_folder import Run
from dspkd.runtime.files import sha256_of


def predict(
    run: Path, paths: Iterable[Path], failed: Callable[[Path, DataError], None] | None = None
) -> Iterator[tuple[Path, dict[str, float]]]:
    """Yield the path of each image and its class probabilities.

    Parameters
    ----------
    run, paths
        The folder of a finished run, and the images.
    failed
        Receives an image that cannot be read, and why; the others are predicted. None: the error is raised.

    Raises
    ------
    RunError, DataError
        There is no finished run; an image cannot be read.
    """
    made_by = Run(run)
    network, classes = made_by.model, made_by.classes
    crop = build.centre_crop(made_by.recipe.images)
    for path in paths:
        try:
            image = crop(decode.decode(path, short_side=crop.decode_side, artefacts=crop.artefacts))
        except DataError as error:
            if failed is None:
                raise
            failed(path, error)
            continue
        with torch.inference_mode():
            probabilities_K = network(image[None]).logits[0].double().softmax(0)
        yield path, dict(zip(classes, probabilities_K.tolist(), strict=True))


class RunClassifier:
    """The student of a finished run as a `dspkd.deploy.batch.engines.BatchClassifier`.

    Raises
    ------
    RunError
        There is no finished run.
    """

    def __init__(self, run: Path) -> None:
        made_by = Run(run)
        network, recipe, self.classes = made_by.model, made_by.recipe, made_by.classes
        crop = build.centre_crop(recipe.images)
        self.batch_size, self.rule = recipe.train.batch_size, None
        self.preprocess = partial(
            decode.evaluation_crop, size=crop.size, short_side=crop.decode_side, artefacts=crop.artefacts
        )
        self._device = hardware.device(recipe.machine)
        self.on_gpu = self._device.type == "cuda"
        self._bf16 = hardware.bf16(recipe.train, self._device)
        self._network = hardware.placed(network, self._device)
        weights = sha256_of(made_by.files.weights)
        depends_on = asdict(crop) | artefacts.about(crop.artefacts) | {"bf16": self._bf16, "weights": weights}
        self.key = json.dumps(depends_on, sort_keys=True)

    def answer(self, pixels: NDArray[np.uint8]) -> NDArray[np.float64]:
        """Return ``[N, K]`` probabilities of images ``[N, size, size, 3]``."""
        with torch.inference_mode(), torch.autocast(self._device.type, torch.bfloat16, enabled=self._bf16):
            images_N3HW = torch.from_numpy(pixels).to(self._device).permute(0, 3, 1, 2).float() / 255
            logits_NK = self._network(images_N3HW).logits
        return np.asarray(logits_NK.double().softmax(1).cpu())
