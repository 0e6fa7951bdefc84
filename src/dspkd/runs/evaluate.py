"""Evaluate the student of a finished run on labelled images."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from dspkd import data
from dspkd.data import assumptions, class_map, metadata, soft_labels
from dspkd.data import split as splits
from dspkd.data.leakage import Leak
from dspkd.data.table import Table, named
from dspkd.errors import DataError, suggest
from dspkd.evaluation import soft_labels as soft_scores
from dspkd.evaluation.by_lesion import lesion_summary
from dspkd.evaluation.metrics import Summary, summarise
from dspkd.evaluation.predictions import Predictions
from dspkd.evaluation.soft_labels import SoftScores
from dspkd.recipes.schema import Recipe
from dspkd.runs import build, holdout, other_images, own_copies
from dspkd.runs.files import RunFiles
from dspkd.runs.readable_images import predict_readable
from dspkd.runs.run_folder import Run
from dspkd.runtime.files import write_json
from dspkd.training.progress import ProgressListener


@dataclass(frozen=True)
class Evaluation:
    """Predictions on labelled images, their metrics, and how far the images overlap with training.

    Attributes
    ----------
    predictions, summary
        The student's predictions, and their metrics.
    trained_on
        Number of images of a lesion or patient that the student was trained on.
    lesions
        Metrics per lesion; None where a group, such as a patient, has images of several classes.
    leak
        How the run's split leaks; None if it does not.
    test_evaluations
        Number of evaluations on the run's test set, this one included; 0 if none of its images is among these.
    attributes
        ``{attribute: value of each image}``, such as sex and age, where the data set has them.
    soft_labels
        The predictions against labels that are weights of several classes; None where each image has one class.
    skipped
        Path and reason of each image that does not decode and was left out.
    """

    predictions: Predictions
    summary: Summary
    trained_on: int
    lesions: Summary | None
    leak: Leak | None
    test_evaluations: int
    attributes: dict[str, tuple[str, ...]]
    soft_labels: SoftScores | None = None
    skipped: tuple[str, ...] = ()

    def _repr_html_(self) -> str:
        """Return what a notebook shows: the metrics, and a warning where lesions of the training set are among them."""
        test = self.summary
        lesions = named(self.predictions.groups)
        of = f" of {lesions:,} lesions or patients" if lesions else f" ({assumptions.NO_IDS})"
        shared = f"{self.trained_on} of these images, or others of their lesions, are in the training set"
        return (
            f"<p>{test.images:,} images{of}: balanced accuracy "
            f"{test.balanced_accuracy:.3f}, macro F1 {test.f1_macro:.3f}, accuracy {test.accuracy:.3f}.</p>"
            f"{f'<p>{shared}: too optimistic.</p>' if self.trained_on else ''}"
        )


def evaluate(
    run: Path,
    *,
    folder: Path | None = None,
    part: str | None = None,
    group: str | None = None,
    classes: Path | None = None,
    skip_damaged: bool = False,
    listener: ProgressListener | None = None,
) -> Evaluation:
    """Evaluate the student of a finished run.

    Parameters
    ----------
    run
        The run's folder.
    folder
        Folder or CSV file of a known layout: all its images are evaluated, instead of the run's own.
    part
        The part of the run's own split: ``train``, ``val`` or ``test``, the default.
    group
        Column of `folder` that names the lesion or patient, where its layout does not.
    classes
        A class map from the classes of `folder` to the student's, where their names differ.
    skip_damaged
        Whether images that do not decode are left out.
    listener
        Receives progress.

    Raises
    ------
    DamagedImagesError
        Images do not decode; the message lists all.
    RunError, DataError
        There is no finished run; the images have classes that the student does not know; `part` is unknown or
        empty, or given together with `folder`.
    """
    made_by = Run(run)
    network, recipe, student_classes = made_by.model, made_by.recipe, made_by.classes
    if folder is None:
        if group is not None:
            raise DataError(f"group {group!r} is a column of other images; the run's own are grouped by its recipe")
        if classes is not None:
            raise DataError(f"class map {classes} is for other images; the run's own have the classes of its recipe")
        part = part or "test"
        table, rows = own_part(run, recipe, student_classes, part, purpose="evaluate")
        same, uses_test_set = own_copies.none(table), part == "test"
    else:
        if part is not None:
            raise DataError(f"part {part!r} is of the run's own split; leave out {folder}, or the part")
        table = _numbered_by(student_classes, other_images.load(folder, group, listener, classes))
        rows = np.arange(len(table))
        same = own_copies.of_own(recipe, made_by.files.split, table, listener)
        test_images = holdout.count_test_images(run, table, same)
        uses_test_set = test_images > 0
        if uses_test_set:
            holdout.record(run, purpose="evaluate --data", images=test_images)
    predictions, rows, skipped = predict_readable(network, recipe, table, rows, listener, skip_damaged=skip_damaged)
    return Evaluation(
        predictions,
        summarise(predictions),
        trained_on=sum(own_copies.trained(made_by.files.split, predictions, [same[row] for row in rows])),
        lesions=lesion_summary(predictions),
        leak=made_by.leak,
        test_evaluations=count_test_evaluations(run) if uses_test_set else 0,
        attributes={name: each.values for name, each in metadata.attributes_of(table.take(rows)).items()},
        soft_labels=soft_scores.of(predictions, table.take(rows).soft_labels),
        skipped=skipped,
    )


@dataclass(frozen=True, eq=False)
class OutOfDistribution:
    """Predictions on images of classes that the student was not trained on.

    Attributes
    ----------
    classes
        ``{class: number of images}``.
    groups
        The lesion or patient of each of N images.
    logits
        ``[N, K]``, the student's logits; none of its K classes is correct.
    left_out
        Number of images left out, as the student was trained on their classes.
    skipped
        Path and reason of each image that does not decode and was left out.
    """

    classes: dict[str, int]
    groups: tuple[str, ...]
    logits: NDArray[np.float32]
    left_out: int
    skipped: tuple[str, ...] = ()


def evaluate_ood(
    run: Path,
    folder: Path,
    *,
    group: str | None = None,
    classes: Path | None = None,
    skip_damaged: bool = False,
    listener: ProgressListener | None = None,
) -> OutOfDistribution:
    """Predict with the student of a finished run on images of classes that it was not trained on.

    Parameters
    ----------
    run
        The run's folder.
    folder
        Folder or CSV file of a known layout. Images of classes that the student knows are left out, as are classes
        that the run's own class map or `classes` renames or merges.
    group
        Column of `folder` that names the lesion or patient, where its layout does not.
    classes
        A class map; classes that it does not drop count as known.
    skip_damaged
        Whether images that do not decode are left out.
    listener
        Receives progress.

    Raises
    ------
    RunError, DataError
        There is no finished run; the images cannot be read, or none is of an unknown class.
    """
    made_by = Run(run)
    network, recipe, student_classes = made_by.model, made_by.recipe, made_by.classes
    table = other_images.load(folder, group, listener)
    maps = [class_map.load(path) for path in (made_by.files.class_map, classes) if path is not None and path.exists()]
    names = {*student_classes, *(old for each in maps for olds in each.classes.values() for old in olds)}
    unknown = [name for name in table.classes if name not in names]
    rows = np.flatnonzero(np.isin(table.labels, [table.classes.index(name) for name in unknown]))
    if not len(rows):
        raise DataError(
            f"{folder}: has no image of a class that the student does not know; it knows {', '.join(sorted(names))}"
        )
    for name in unknown:
        if same := next((each for each in names if each.casefold() == name.casefold()), None):
            raise DataError(
                f"{folder}: class {name!r} would count as unknown, but the student knows {same!r}; --classes FILE "
                "names the classes that are the same"
            )
    counts = {name: images for name, (images, _) in table.take(rows).counts().items() if images}
    # None of the labels is a class of the student; all are set to its first class, and nothing reads them.
    zeros_N = np.zeros(len(rows), dtype=np.int64)
    relabelled = replace(table.take(rows), classes=student_classes, labels=zeros_N, soft_labels=None)
    predictions, _, skipped = predict_readable(
        network, recipe, relabelled, np.arange(len(rows)), listener, skip_damaged=skip_damaged
    )
    return OutOfDistribution(counts, predictions.groups, predictions.logits, len(table) - len(rows), skipped)


def own_part(
    run: Path, recipe: Recipe, classes: tuple[str, ...], part: str, *, purpose: str
) -> tuple[Table, NDArray[np.int64]]:
    """Return the run's own images, labelled by position in `classes`, and the rows of them that are in `part`.

    Taking the test set is recorded as an evaluation, with `purpose`, the command that needs it.

    Raises
    ------
    DataError
        The images are not where the recipe says, or no longer those of the run's split; `part` is unknown or empty.
    RunError
        The evaluation cannot be recorded.
    """
    _require_places(run, recipe)
    table = _numbered_by(classes, data.load_table(**build.data_options(recipe)))
    if part not in splits.PARTS:
        raise DataError(f"there is no part {part!r}; {suggest(part, splits.PARTS)}")
    Run(run).require_whole()
    path = RunFiles(run).split
    split = splits.load(path, table, by="image")
    if not len(split.places(part)):
        raise DataError(f"{path}: no image is in {part!r}; choose another part")
    if part == "test":
        return table, holdout.evaluate_test(split, run, purpose=purpose)
    return table, split.places(part)


def _require_places(run: Path, recipe: Recipe) -> None:
    """Raise DataError where the run's images or its class map are not where its recipe says."""
    for key, place in (("data.path", recipe.data.path), ("data.classes", recipe.data.classes)):
        if place is None or Path(place).exists():
            continue
        remedy = "put it there again"
        if not Path(place).is_absolute():
            remedy = "a path relative to the folder in which training was started: use the run from that folder"
        raise DataError(f"{place}: there is no such file or folder; it is {key} in the recipe of {run}; {remedy}")


def count_test_evaluations(run: Path) -> int:
    """Return the number of evaluations on the run's test set, and update it in the run's result."""
    evaluations = len(holdout.evaluations(run))
    files = RunFiles(run)
    if files.result.exists():
        result = json.loads(files.result.read_text(encoding="utf-8"))
        with files.manifest.recording(files.result):
            write_json(files.result, {**result, "test_evaluations": evaluations})
    return evaluations


def _numbered_by(classes: tuple[str, ...], table: Table) -> Table:
    """Return the table with labels that are positions in `classes`; a class without images may be missing there."""
    used = {table.classes[label] for label in np.unique(table.labels)}
    unknown = sorted(used - set(classes))
    if unknown:
        raise DataError(
            f"{table.root}: has images of {', '.join(unknown)}, which the student does not know; "
            f"it knows {', '.join(classes)}; --classes FILE renames, merges and drops classes"
        )
    position = np.array([classes.index(name) if name in classes else -1 for name in table.classes], dtype=np.int64)
    soft_NK = None if table.soft_labels is None else soft_labels.merged(table.soft_labels, position, len(classes))
    return replace(table, classes=classes, labels=position[table.labels], soft_labels=soft_NK)
