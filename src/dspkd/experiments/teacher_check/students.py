"""Plain students that a teacher is compared with: runs of the recipe's network that learnt from labels alone."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

from dspkd.data.dataset import Dataset
from dspkd.errors import DataError, DspkdError
from dspkd.evaluation.predictions import Predictions
from dspkd.evaluation.scoring import require_same_images
from dspkd.experiments.compare import controls
from dspkd.experiments.compare.grid import TEACHERS
from dspkd.experiments.teacher_check import findings as rules
from dspkd.experiments.teacher_check.findings import TeacherFinding
from dspkd.recipes.schema import Recipe
from dspkd.runs.run_folder import Run


def of(
    recipe: Recipe, dataset: Dataset, validation: Predictions, named: Sequence[Path]
) -> tuple[dict[str, Predictions], list[TeacherFinding]]:
    """Return validation predictions of plain students by run folder, and findings about how they were chosen.

    Named runs are used, even if they differ from the recipe. Else those beside the teacher that have the recipe's data,
    split, network, initial weights, image settings and number of epochs.

    Raises
    ------
    RunError, DataError
        A named run is not a finished one on these validation images.
    """
    if named:
        predictions = {str(run): _validation_predictions(run, validation) for run in named}
        return predictions, rules.unlike([each for run in named for each in _differences(run, recipe, dataset)])
    predictions, left_out = {}, []
    for folder in _plain_runs_beside_teacher(recipe):
        with suppress(DspkdError):
            if different := _differences(folder, recipe, dataset):
                left_out.append(different[0])
            else:
                predictions[str(folder)] = _validation_predictions(folder, validation)
    plain = {run: each for run, each in predictions.items() if controls.control(Run(run).recipe) == controls.PLAIN}
    return plain or predictions, rules.left_out(left_out)


def _validation_predictions(run: Path, validation: Predictions) -> Predictions:
    """Return a run's predictions for the images of `validation`."""
    student = Run(run)
    saved = student.predictions("val")
    try:
        predictions = saved.of(validation.ids)
        require_same_images(validation, predictions)
    except DataError as error:
        raise DataError(
            f"{student.files.predictions('val')}: does not fit the validation set of this recipe: {error}; the plain "
            "student needs the same data and split"
        ) from None
    return predictions


def _differences(folder: Path, recipe: Recipe, dataset: Dataset) -> list[str]:
    """Return where a run differs from the plain student of the recipe, a sentence for each difference."""
    run = Run(folder)
    same = (run.data.digest, run.data.split_digest) == (dataset.table.digest, dataset.split.digest)
    # Batch size, sampling and precision may differ: they are no reason to think it the weaker one.
    methods = {"the recipe": recipe, str(folder): replace(run.recipe, train=recipe.train)}
    return [*([] if same else [f"{folder}: has other data or another split"]), *controls.differences(methods)]


def _plain_runs_beside_teacher(recipe: Recipe) -> Iterator[Path]:
    """Yield the finished control runs of the recipe's network beside its teacher, or of the grid that trained it."""
    teachers = {Path(teacher).resolve() for teacher in recipe.teachers}
    home = Path(recipe.teachers[0]).parent
    places = list(home.glob("*/recipe.toml"))
    if home.name == TEACHERS:  # the folder of a grid's teachers
        places += home.parent.glob("*/seed-*/recipe.toml")
    for place in sorted(places):
        with suppress(DspkdError):
            run = Run(place.parent)
            same = run.recipe.model == recipe.model and run.folder.resolve() not in teachers
            if same and controls.control(run.recipe) and run.finished:
                yield run.folder
