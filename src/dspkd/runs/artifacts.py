"""Save at the end of a run what its report needs of networks and images, so that the report loads neither.

predictions/teacher-val.csv, teacher-test.csv   the teacher's logits, where there is a teacher
artifacts/images.json                           the images that were saved, with Grad-CAM maps
artifacts/000.jpg ...                           these images, small, cropped as for evaluation
artifacts/features.npz                          pooled features of validation images
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from torch import nn
from torch.utils.data import DataLoader

from dspkd.data.decode import decode
from dspkd.evaluation.classes import melanoma
from dspkd.evaluation.fidelity import agreement, class_order, listed
from dspkd.evaluation.gradcam import grad_cam
from dspkd.evaluation.inference import predict_with_features
from dspkd.evaluation.predictions import Predictions
from dspkd.recipes.schema import Recipe
from dspkd.runs.context import RunContext
from dspkd.runtime.files import write_json
from dspkd.runtime.seeds import seed_for
from dspkd.training.teachers.ensemble import EnsembleTeacher
from dspkd.types import Batch, Output

LISTED = 18
"""Maximum number of forgotten images saved of the validation and of the test set; the ledger lists all."""
MELANOMAS = 6
"""Maximum number of melanomas with Grad-CAM maps, besides one image of each class."""
FEATURES = 600
"""Maximum number of validation images with saved features; a random sample where there are more."""

_SIDE, _QUALITY = 160, 82
_AT_ONCE = 8  # images in a batch of Grad-CAM: a teacher's gradients take memory

Rows = Mapping[str, NDArray[np.int64]]
"""``{part: rows of the table}`` of validation and test set, in the order of `Predictions`."""


def keep(context: RunContext, predictions: Mapping[str, Predictions], rows: Rows) -> None:
    """Save predictions of the teacher, pooled features, Grad-CAM maps and small images; the files are listed above.

    Parameters
    ----------
    context
        The run, with the images, the trained student and the teacher.
    predictions, rows
        The student's predictions for validation and test set, and their rows of the table.
    """
    teacher_predictions: dict[str, Predictions] = {}
    if context.teacher:
        for part, of_part in rows.items():
            loader = context.teacher_loader(of_part)
            teacher_predictions[part], _ = _outputs(context, context.teacher.answer, loader)
            teacher_predictions[part].save(context.files.teacher_predictions(part))
    _save_features(context, rows["val"])
    mapped = _choose_rows_to_map(predictions["val"], teacher_predictions.get("val"))
    maps = _maps(context, rows["val"][mapped])
    chosen = [("val", row) for row in mapped]
    for part, teacher in teacher_predictions.items():
        chosen += [(part, row) for row in listed(agreement(predictions[part], teacher), "forgotten")[:LISTED]]
    _save_images(context, list(dict.fromkeys(chosen)), maps, rows)


def _outputs(
    context: RunContext, forward: Callable[[Batch], Output], loader: DataLoader[Batch]
) -> tuple[Predictions, NDArray[np.float32]]:
    """Return a network's predictions and pooled features ``[N, D]`` of the loader's images."""
    return predict_with_features(forward, context.table, loader, device=context.device, bf16=context.bf16)


def _choose_rows_to_map(student: Predictions, teacher: Predictions | None) -> list[int]:
    """Return validation rows for Grad-CAM: forgotten (without a teacher: missed) melanomas, and one of each class."""
    labels = student.labels
    wrong = listed(agreement(student, teacher), "forgotten") if teacher else np.flatnonzero(student.predicted != labels)
    melanomas = [int(row) for row in wrong if labels[row] == melanoma(student.classes)][:MELANOMAS]
    rng = np.random.default_rng(seed_for("evidence", "classes"))
    examples = [int(rng.choice(rows)) for k in class_order(student.classes) if len(rows := np.flatnonzero(labels == k))]
    return list(dict.fromkeys([*melanomas, *examples]))


def _maps(context: RunContext, rows: NDArray[np.int64]) -> list[dict[str, list[list[float]]]]:
    """Return Grad-CAM maps of each true class: ``{"student": map, "teacher": map}``; of an ensemble, the first."""
    maps = {"student": _maps_of(context.student, context.eval_loader(rows), context)}
    if teacher := context.teacher:
        network = (teacher.members[0] if isinstance(teacher, EnsembleTeacher) else teacher).network
        maps["teacher"] = _maps_of(network, context.teacher_loader(rows), context)
    return [dict(zip(maps, of_image, strict=True)) for of_image in zip(*maps.values(), strict=True)]


def _maps_of(network: nn.Module, loader: DataLoader[Batch], context: RunContext) -> list[list[list[float]]]:
    """Return a network's Grad-CAM map of each image's true class."""
    maps: list[list[list[float]]] = []
    for small in _small_batches(loader):
        batch = small.to(context.device)
        heat_BHW = grad_cam(network, batch.images, batch.labels)
        maps += [[[round(x, 4) for x in line] for line in heat] for heat in heat_BHW.tolist()]
    return maps


def _small_batches(loader: DataLoader[Batch]) -> Iterator[Batch]:
    for batch in loader:
        for first in range(0, len(batch), _AT_ONCE):
            cut = slice(first, first + _AT_ONCE)
            yield Batch(batch.images[cut], batch.labels[cut], batch.index[cut], batch.views[cut])


def _save_features(context: RunContext, rows: NDArray[np.int64]) -> None:
    """Save the pooled features of student and teacher in float16; of an ensemble, its first member's."""
    if len(rows) > FEATURES:
        rng = np.random.default_rng(seed_for("evidence", "features"))
        rows = np.sort(rng.choice(rows, FEATURES, replace=False))
    student: Callable[[Batch], Output] = lambda batch: context.student(batch.images)  # noqa: E731
    networks = {"student": (student, context.eval_loader(rows))}
    if context.teacher:
        networks["teacher"] = context.teacher.answer, context.teacher_loader(rows)
    arrays: dict[str, Any] = {
        "ids": np.array([context.table.ids[row] for row in rows]),
        "labels": context.table.labels[rows],
    }
    context.student.eval()
    for name, (forward, loader) in networks.items():
        _, pooled_ND = _outputs(context, forward, loader)
        arrays[name] = np.clip(pooled_ND, -65504, 65504).astype(np.float16)
    context.files.artifacts.mkdir(parents=True, exist_ok=True)
    with context.files.features.open("wb") as file:
        np.savez_compressed(file, **arrays)


def _save_images(
    context: RunContext, chosen: list[tuple[str, int]], maps: list[dict[str, list[list[float]]]], rows: Rows
) -> None:
    """Save small images and their index; `maps` belong to the first of them."""
    context.files.artifacts.mkdir(parents=True, exist_ok=True)
    index = []
    for number, (part, place) in enumerate(chosen):
        row = int(rows[part][place])
        name = f"{number:03d}.jpg"
        _small_image(context.table.paths[row], context.recipe).save(context.files.artifacts / name, quality=_QUALITY)
        image_maps = maps[number] if number < len(maps) else {}
        index.append({"part": part, "id": context.table.ids[row], "file": name, "looks": image_maps})
    write_json(context.files.image_index, {"images": index})


def _small_image(path: Path, recipe: Recipe) -> Image.Image:
    """Return the centre crop that the networks see, at 160 px."""
    side = round(_SIDE * 8 / 7)  # as `CentreCrop`
    pixels = decode(path, short_side=side, artefacts=recipe.images.artefacts)
    top, left = (pixels.shape[0] - _SIDE) // 2, (pixels.shape[1] - _SIDE) // 2
    return Image.fromarray(pixels[top : top + _SIDE, left : left + _SIDE])
