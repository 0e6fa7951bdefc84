"""What only the networks can say, kept at the end of a run so that its page needs neither them nor the images.

predictions/teacher-val.csv, teacher-test.csv   the teacher's logits; none where there is no teacher
evidence/images.json                          what was kept of single images, and where the networks look: Grad-CAM
evidence/000.jpg ...                            these images, small, cut as the networks see them
evidence/features.npz                           pooled vectors of validation images
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from torch import nn
from torch.utils.data import DataLoader

from dspkd.data.decode import decode
from dspkd.data.loader import in_order
from dspkd.data.table import Table
from dspkd.evaluation.classes import melanoma
from dspkd.evaluation.fidelity import agreement, class_order, listed
from dspkd.evaluation.gradcam import grad_cam
from dspkd.evaluation.inference import ask
from dspkd.evaluation.predictions import Predictions
from dspkd.recipes.schema import Recipe
from dspkd.runs import build
from dspkd.runs.context import RunContext
from dspkd.runtime.files import write_json
from dspkd.runtime.seeds import seed_for
from dspkd.training.teachers.ensemble import EnsembleTeacher
from dspkd.types import Batch

LISTED = 18
"""Forgotten images of each part of which an image is kept; the ledger's CSV lists all."""
MELANOMAS = 6
"""Melanomas of which Grad-CAM is kept, beside one image of each class."""
FEATURES = 600
"""Validation images of which pooled vectors are kept, drawn by lot where there are more."""

_SIDE, _QUALITY = 160, 82
_AT_ONCE = 8  # images that go through Grad-CAM together: a teacher's gradients take memory

Rows = Mapping[str, NDArray[np.int64]]
"""``{part: rows of the table}`` of the parts that judge, in the order of `Predictions`."""


def batches(inputs: RunContext, rows: NDArray[np.int64], recipe: Recipe) -> DataLoader[Batch]:
    """Return the images of these rows as networks are judged by them; this rank's, where several judge together."""
    return in_order(
        inputs.table,
        rows,
        build.centre_crop(recipe.images),
        batch_size=recipe.train.batch_size,
        decoded=inputs.to_judge,
        workers=build.workers(recipe.machine, inputs.device, inputs.world),
        pin=inputs.device.type == "cuda",
        world=inputs.world,
    )


def keep(
    out: Path, student: nn.Module, said: Mapping[str, Predictions], rows: Rows, inputs: RunContext, recipe: Recipe
) -> None:
    """Write what a report will show of a trained student and its teacher; see the head of this module.

    Parameters
    ----------
    out
        The run's folder.
    student
        As trained.
    said, rows
        Its answers for each part, and the rows of the table that they are about.
    inputs, recipe
        The images and the teacher; the recipe.
    """
    teacher = inputs.teacher
    taught: dict[str, Predictions] = {}
    if teacher:
        for part, of_part in rows.items():
            taught[part], _ = ask(
                teacher.answer, inputs.table, batches(inputs, of_part, recipe), device=inputs.device,
                bf16=inputs.bf16,
            )  # fmt: skip
            taught[part].save(out / "predictions" / f"teacher-{part}.csv")
    _keep_features(out / "evidence/features.npz", student, rows["val"], inputs, recipe)
    looked_at = _looked_at(said["val"], taught.get("val"))
    maps = _maps(student, rows["val"][looked_at], inputs, recipe)
    wanted = [("val", row) for row in looked_at]
    for part, teachers in taught.items():
        wanted += [(part, row) for row in listed(agreement(said[part], teachers), "forgotten")[:LISTED]]
    _keep_images(out / "evidence", dict.fromkeys(wanted), maps, rows, inputs.table, recipe)


def _looked_at(student: Predictions, teacher: Predictions | None) -> list[int]:
    """Return the validation rows to look at: melanomas forgotten, or missed where nobody taught; one of each class."""
    labels = student.labels
    wrong = listed(agreement(student, teacher), "forgotten") if teacher else np.flatnonzero(student.predicted != labels)
    melanomas = [int(row) for row in wrong if labels[row] == melanoma(student.classes)][:MELANOMAS]
    lot = np.random.default_rng(seed_for("evidence", "classes"))
    ones = [int(lot.choice(mine)) for k in class_order(student.classes) if len(mine := np.flatnonzero(labels == k))]
    return list(dict.fromkeys([*melanomas, *ones]))


def _maps(
    student: nn.Module, rows: NDArray[np.int64], inputs: RunContext, recipe: Recipe
) -> list[dict[str, list[list[float]]]]:
    """Return, for each row, where student and teacher find its true class; of several teachers, the first."""
    teacher = inputs.teacher
    networks = {"student": student}
    if teacher:
        networks["teacher"] = (teacher.members[0] if isinstance(teacher, EnsembleTeacher) else teacher).network
    found: list[dict[str, list[list[float]]]] = []
    for batch in _small(batches(inputs, rows, recipe)):
        shown = batch.to(inputs.device)
        heats = {name: grad_cam(network, shown.images, shown.labels) for name, network in networks.items()}
        for place in range(len(batch)):
            found.append(
                {name: [[round(x, 4) for x in line] for line in heat[place].tolist()] for name, heat in heats.items()}
            )
    return found


def _small(whole: DataLoader[Batch]) -> Iterator[Batch]:
    for batch in whole:
        for first in range(0, len(batch), _AT_ONCE):
            cut = slice(first, first + _AT_ONCE)
            yield Batch(batch.images[cut], batch.labels[cut], batch.index[cut], batch.views[cut])


def _keep_features(path: Path, student: nn.Module, rows: NDArray[np.int64], inputs: RunContext, recipe: Recipe) -> None:
    """Keep the pooled vectors of student and teacher, in float16; of several teachers, the first one's."""
    if len(rows) > FEATURES:
        lot = np.random.default_rng(seed_for("evidence", "features"))
        rows = np.sort(lot.choice(rows, FEATURES, replace=False))
    asked = {"student": lambda batch: student(batch.images)}
    if inputs.teacher:
        asked["teacher"] = inputs.teacher.answer
    kept: dict[str, Any] = {
        "ids": np.array([inputs.table.ids[row] for row in rows]),
        "labels": inputs.table.labels[rows],
    }
    student.eval()
    for name, answer in asked.items():
        _, pooled_ND = ask(answer, inputs.table, batches(inputs, rows, recipe), device=inputs.device, bf16=inputs.bf16)
        kept[name] = np.clip(pooled_ND, -65504, 65504).astype(np.float16)
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("wb") as file:
        np.savez_compressed(file, **kept)


def _keep_images(
    folder: Path,
    wanted: Mapping[tuple[str, int], None],
    maps: list[dict[str, list[list[float]]]],
    rows: Rows,
    table: Table,
    recipe: Recipe,
) -> None:
    """Keep small images, the first of which have maps, and an index of them."""
    folder.mkdir(parents=True, exist_ok=True)
    index = []
    for number, (part, place) in enumerate(wanted):
        row = int(rows[part][place])
        name = f"{number:03d}.jpg"
        _small_image(table.paths[row], recipe).save(folder / name, quality=_QUALITY)
        looks = maps[number] if number < len(maps) else {}
        index.append({"part": part, "id": table.ids[row], "file": name, "looks": looks})
    write_json(folder / "images.json", {"images": index})


def _small_image(path: Path, recipe: Recipe) -> Image.Image:
    """Return what the networks see of an image, at a size for people."""
    side = round(_SIDE * 8 / 7)  # as `CentreCrop`
    pixels = decode(path, short_side=side, artefacts=recipe.images.artefacts)
    top, left = (pixels.shape[0] - _SIDE) // 2, (pixels.shape[1] - _SIDE) // 2
    return Image.fromarray(pixels[top : top + _SIDE, left : left + _SIDE])
