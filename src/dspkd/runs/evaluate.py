"""Use a finished run's student: judge it on labelled images, or ask it about single ones."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from dspkd import data
from dspkd.data import artefacts, class_map, leakage, metadata
from dspkd.data import decode as images
from dspkd.data import split as splits
from dspkd.data.leakage import Leak
from dspkd.data.loader import in_order
from dspkd.data.table import Table
from dspkd.errors import DataError, suggest
from dspkd.evaluation.by_lesion import lesion_summary
from dspkd.evaluation.inference import predict as predict_table
from dspkd.evaluation.metrics import Summary, summarise
from dspkd.evaluation.predictions import Predictions
from dspkd.recipes.schema import Recipe
from dspkd.runs import build, holdout
from dspkd.runtime.files import write_json


@dataclass(frozen=True)
class Evaluation:
    """Predictions, what they amount to, and how far the student knew the answers.

    Attributes
    ----------
    known
        Images of lesions or patients that the student was trained on.
    lesions
        What they amount to lesion by lesion; None where a group, such as a patient, has images of several classes.
    leak
        How the split leaks by which the student was trained, its epoch chosen and its test made; None if it does not.
    opened
        How often the run's test images have been opened, this time included; 0 if none of them is among the images.
    attributes
        ``{attribute: a value for each image}``, what the data set says of whom they show.
    """

    predictions: Predictions
    summary: Summary
    known: int
    lesions: Summary | None
    leak: Leak | None
    opened: int
    attributes: dict[str, tuple[str, ...]]


def evaluate(
    run: Path,
    *,
    folder: Path | None = None,
    part: str | None = None,
    group: str | None = None,
    classes: Path | None = None,
) -> Evaluation:
    """Judge the student of a finished run.

    Parameters
    ----------
    run
        The run's folder.
    folder
        Folder or CSV file of a known layout, all of whose images are judged; by default the run's own.
    part
        The part of the run's own split: ``train``, ``val`` or ``test``, which it is by default.
    group
        Column of `folder` that names the lesion or patient, where the layout leaves that open.
    classes
        A class map that gives the images of `folder` the student's classes, where theirs have other names.

    Raises
    ------
    RunError, DataError
        There is no finished run; the images cannot be read or have classes that the student does not know; the part
        is unknown, empty, or of other images than `folder`'s.
    """
    network, recipe, known = build.trained(run)
    if folder is None:
        if group is not None:
            raise DataError(
                f"group {group!r} is a column of other images; the run's own are grouped as its recipe says"
            )
        if classes is not None:
            raise DataError(f"class map {classes} is for other images; the run's own have the classes of its recipe")
        shown, rows = own_part(run, recipe, known, part or "test", purpose="evaluate")
        opens = (part or "test") == "test"
    else:
        if part is not None:
            raise DataError(f"part {part!r} is of the run's own split; leave out {folder}, or the part")
        found = data.read("auto", folder, group=group)
        shown = _numbered_by(known, class_map.load(classes).apply(found) if classes is not None else found)
        rows = np.arange(len(shown))
        tested = holdout.tested(run, shown)
        opens = tested > 0
        if opens:
            holdout.count(run, purpose="evaluate --data", images=tested)
    device = build.device(recipe.machine)
    bf16 = build.bf16(recipe.train, device)
    batches = in_order(shown, rows, build.centre_crop(recipe.images), batch_size=recipe.train.batch_size)
    predictions = predict_table(build.placed(network, device), shown, batches, device=device, bf16=bf16)
    trained = splits.trained_groups(run / "split.csv")
    seen = sum(name in trained for name in predictions.groups)
    return Evaluation(
        predictions,
        summarise(predictions),
        known=seen,
        lesions=lesion_summary(predictions),
        leak=leakage.read(run),
        opened=counted(run) if opens else 0,
        attributes={name: each.values for name, each in metadata.told(shown.take(rows)).items()},
    )


@dataclass(frozen=True, eq=False)
class OutOfDistribution:
    """Images of classes that a student does not know.

    Attributes
    ----------
    classes
        ``{class: images}``.
    groups
        The lesion or patient of each of N images.
    logits
        ``[N, K]``, what the student answers, which cannot be right.
    left_out
        Images beside them of classes that it does know.
    """

    classes: dict[str, int]
    groups: tuple[str, ...]
    logits: NDArray[np.float32]
    left_out: int


def evaluate_ood(
    run: Path, folder: Path, *, group: str | None = None, classes: Path | None = None
) -> OutOfDistribution:
    """Ask the student of a finished run about images of classes that it was never taught.

    Parameters
    ----------
    run
        The run's folder.
    folder
        Folder or CSV file of a known layout. Its images of classes that the student knows, also under the names that
        the run's own class map or `classes` renames and merges, are left out.
    group
        Column of `folder` that names the lesion or patient, where the layout leaves that open.
    classes
        A class map, of which the classes it does not drop are known.

    Raises
    ------
    RunError, DataError
        There is no finished run; the images cannot be read, or none is of an unknown class.
    """
    network, recipe, known = build.trained(run)
    found = data.read("auto", folder, group=group)
    maps = [class_map.load(path) for path in (run / "classes.toml", classes) if path is not None and path.exists()]
    names = {*known, *(old for each in maps for olds in each.classes.values() for old in olds)}
    strange = [name for name in found.classes if name not in names]
    rows = np.flatnonzero(np.isin(found.labels, [found.classes.index(name) for name in strange]))
    if not len(rows):
        raise DataError(
            f"{folder}: has no image of a class that the student does not know; it knows {', '.join(sorted(names))}"
        )
    for name in strange:
        if same := next((each for each in names if each.casefold() == name.casefold()), None):
            raise DataError(
                f"{folder}: class {name!r} would count as unknown, but the student knows {same!r}; --classes FILE "
                "says what is what"
            )
    counts = {name: images for name, (images, _) in found.take(rows).counts().items() if images}
    # Their labels are none of the student's, so that all are given its first one: nothing reads it.
    asked = replace(found.take(rows), classes=known, labels=np.zeros(len(rows), dtype=np.int64))
    device = build.device(recipe.machine)
    batches = in_order(
        asked, np.arange(len(rows)), build.centre_crop(recipe.images), batch_size=recipe.train.batch_size
    )
    bf16 = build.bf16(recipe.train, device)
    answered = predict_table(build.placed(network, device), asked, batches, device=device, bf16=bf16)
    return OutOfDistribution(counts, answered.groups, answered.logits, len(found) - len(rows))


def predict(run: Path, paths: Iterable[Path]) -> Iterator[tuple[Path, dict[str, float]]]:
    """Yield each image with its class probabilities.

    Raises
    ------
    RunError, DataError
        There is no finished run; an image cannot be read.
    """
    network, recipe, classes = build.trained(run)
    crop = build.centre_crop(recipe.images)
    network.eval()
    for path in paths:
        image = crop(images.decode(path, short_side=crop.decode_side, artefacts=crop.artefacts))
        with torch.inference_mode():
            probabilities = network(image[None]).logits[0].double().softmax(0)
        yield path, dict(zip(classes, probabilities.tolist(), strict=True))


class RunClassifier:
    """The student of a finished run as a `dspkd.deploy.batch.engines.BatchClassifier`.

    Raises
    ------
    RunError
        There is no finished run.
    """

    def __init__(self, run: Path) -> None:
        network, recipe, self.classes = build.trained(run)
        crop = build.centre_crop(recipe.images)
        self.batch_size, self.refer_below = recipe.train.batch_size, None
        self.preprocess = partial(images.judged, size=crop.size, short_side=crop.decode_side, artefacts=crop.artefacts)
        self._device = build.device(recipe.machine)
        self.on_gpu = self._device.type == "cuda"
        self._bf16 = build.bf16(recipe.train, self._device)
        self._network = build.placed(network.eval(), self._device)
        weights = hashlib.sha256((run / "model.safetensors").read_bytes()).hexdigest()
        depends = asdict(crop) | artefacts.about(crop.artefacts) | {"bf16": self._bf16, "weights": weights}
        self.key = json.dumps(depends, sort_keys=True)

    def answer(self, pixels: NDArray[np.uint8]) -> NDArray[np.float64]:
        """Return ``[N, K]`` probabilities of images ``[N, size, size, 3]``."""
        with torch.inference_mode(), torch.autocast(self._device.type, torch.bfloat16, enabled=self._bf16):
            images_N3HW = torch.from_numpy(pixels).to(self._device).permute(0, 3, 1, 2).float() / 255
            logits_NK = self._network(images_N3HW).logits
        return np.asarray(logits_NK.double().softmax(1).cpu())


def own_part(
    run: Path, recipe: Recipe, classes: tuple[str, ...], part: str, *, purpose: str
) -> tuple[Table, NDArray[np.int64]]:
    """Return the run's own images, labelled by position in `classes`, and the rows of them that are in `part`.

    The test part is opened for `purpose`, the command that asks, and that is counted.

    Raises
    ------
    DataError
        The images are no longer what the run's split was made of, or there is no such part, or nothing in it.
    RunError
        The opening cannot be written down.
    """
    shown = _numbered_by(classes, build.table(recipe.data))
    if part not in splits.PARTS:
        raise DataError(f"there is no part {part!r}; {suggest(part, splits.PARTS)}")
    split = splits.load(run / "split.csv", shown, by="image")
    if not len(split.places(part)):
        raise DataError(f"{run / 'split.csv'}: no image is in {part!r}; choose another part")
    if part == "test":
        return shown, holdout.evaluate_test(split, run, purpose=purpose)
    return shown, split.places(part)


def counted(run: Path) -> int:
    """Return how often the run's test part was opened, and have its ``result.json`` say so too."""
    opened = len(holdout.evaluations(run) or ())
    if (run / "result.json").exists():
        said = json.loads((run / "result.json").read_text(encoding="utf-8"))
        write_json(run / "result.json", {**said, "test_evaluations": opened})
    return opened


def _numbered_by(classes: tuple[str, ...], found: Table) -> Table:
    """Return the table with labels that are positions in `classes`; those that have no image may be missing there."""
    used = {found.classes[label] for label in np.unique(found.labels)}
    unknown = sorted(used - set(classes))
    if unknown:
        raise DataError(
            f"{found.root}: has images of {', '.join(unknown)}, which the student does not know; "
            f"it knows {', '.join(classes)}; --classes FILE renames, merges and drops classes"
        )
    number = np.array([classes.index(name) if name in classes else -1 for name in found.classes], dtype=np.int64)
    return replace(found, classes=classes, labels=number[found.labels])
