"""Examines a recipe's teacher on validation and training images, before hours are spent on learning from it.

The test part stays sealed. Where something stands in the way the verdict is "do not teach yet", with the reasons; the
rules are stated beside each finding and are inferred.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from dspkd.data.split import Split
from dspkd.data.table import Table
from dspkd.errors import DataError, DspkdError, RecipeError, RunError
from dspkd.evaluation.inference import predict
from dspkd.evaluation.intervals import Estimate, require_same_images
from dspkd.evaluation.predictions import Predictions
from dspkd.evaluation.teacher_quality import Calibrated, Margin, NetworkScores, calibrated, gain, level, margin
from dspkd.experiments.compare import controls
from dspkd.experiments.compare.grid import TEACHERS
from dspkd.experiments.teacher_check import findings as diagnosis
from dspkd.experiments.teacher_check import suggestions
from dspkd.experiments.teacher_check.findings import TeacherFinding
from dspkd.experiments.teacher_check.suggestions import Softening, Suggestion
from dspkd.recipes import schema
from dspkd.recipes.schema import Recipe
from dspkd.runs import build, explain, hardware, validate
from dspkd.types import Batch, Output

_TRAINED = 1_000
_TURNS = tuple((quarters, flip) for flip in (False, True) for quarters in range(4))


@dataclass(frozen=True)
class Examination:
    """What the doctor found.

    Attributes
    ----------
    teacher, students
        Run folders.
    findings
        In the order of the examination.
    margin
        Against the students; None where there is none.
    validation, training
        What the teacher reaches there; `training` on up to 1,000 images.
    calibrated
        On validation.
    rotated
        Gain in balanced accuracy on validation by averaging over quarter turns and flips.
    soft
        How each term softens the teacher's answers.
    settings
        What to change in the recipe.
    """

    teacher: tuple[str, ...]
    students: tuple[str, ...]
    findings: tuple[TeacherFinding, ...]
    margin: Margin | None = None
    validation: NetworkScores | None = None
    training: NetworkScores | None = None
    calibrated: Calibrated | None = None
    rotated: Estimate | None = None
    soft: tuple[Softening, ...] = ()
    settings: tuple[Suggestion, ...] = ()

    @property
    def teach(self) -> bool:
        """Whether nothing is in the way."""
        return not any(finding.level == "stop" for finding in self.findings)

    @property
    def verdict(self) -> str:
        """``teach``, or ``do not teach yet:`` with the reasons."""
        reasons = "; ".join(finding.says for finding in self.findings if finding.level == "stop")
        return "teach" if self.teach else f"do not teach yet: {reasons}"


def examine(recipe: Recipe, students: Sequence[Path] = ()) -> Examination:
    """Examine the teacher of a recipe; see `Examination`.

    Parameters
    ----------
    recipe
        The student's.
    students
        Finished runs of the plain student, tried on the same validation images, one for each seed. Without any, those
        beside the teacher's run are taken that have the recipe's network and image size and learn from labels alone.

    Raises
    ------
    RecipeError, DataError, RunError
        The recipe is not valid or has no teacher; the data cannot be read; the teacher or a student that is named is
        not a finished run on these validation images.
    """
    validate.check(recipe)
    if not recipe.teachers:
        raise RecipeError(f'{recipe.name}: has no teacher to examine; name its run: teacher = "runs/..."')
    dataset = build.load_data(recipe)
    table, split = dataset.table, dataset.split
    device = hardware.device(recipe.machine)
    for run in recipe.teachers:
        build.trained(Path(run))  # what is not there is a mistake, and no finding
    try:
        teacher = build.teacher(recipe.teachers, table, split, device)
    except DataError as error:
        return Examination(recipe.teachers, (), (TeacherFinding("classes and split", "stop", str(error)),))
    assert teacher, "it has been named"
    asked = _Asked(teacher)
    validation = _predicted(asked, recipe, table, split.rows("val"))
    compared = _students(recipe, validation, students)
    rotated = gain(_predicted(_Asked(teacher, _TURNS), recipe, table, split.rows("val")), validation)
    training = level(_predicted(asked, recipe, table, _some(split)))
    reached, known = level(validation), calibrated(validation)
    above = margin(validation, list(compared.values())) if compared else None
    soft = suggestions.softness(recipe, _taught(recipe, asked, table, split), reached.accuracy[0])
    settings = suggestions.temperatures(soft, reached.accuracy[0]) + suggestions.weights(
        recipe, explain.explain(recipe).stages
    )
    findings = [
        TeacherFinding("classes and split", "ok", f"classes in the data's order: {', '.join(table.classes)}; no leak"),
        *(_images(run, recipe) for run in recipe.teachers),
        *diagnosis.margin(above, len(compared)),
        diagnosis.memory(training, reached),
        diagnosis.calibration(known),
        diagnosis.turning(rotated),
    ]
    return Examination(
        recipe.teachers, tuple(compared), tuple(findings), above, reached, training, known, rotated, tuple(soft),
        tuple(settings),
    )  # fmt: skip


class _Asked(nn.Module):
    """A teacher as a network; with several turns, the mean of its probabilities over them."""

    def __init__(self, teacher: build.AnyTeacher, turns: Sequence[tuple[int, bool]] = ((0, False),)) -> None:
        super().__init__()
        self._teacher, self._turns = teacher, turns

    def forward(self, images: torch.Tensor) -> Output:
        nothing = torch.zeros(len(images), dtype=torch.int64, device=images.device)
        answers = []
        for quarters, flip in self._turns:
            shown = torch.rot90(images.flip(3) if flip else images, quarters, dims=(2, 3))
            answers.append(self._teacher.answer(Batch(shown, nothing, nothing, nothing)))
        if len(answers) == 1:
            return answers[0]
        log_p_TBK = torch.stack([answer.logits.float().log_softmax(dim=1) for answer in answers])
        return Output(log_p_TBK.logsumexp(dim=0) - float(np.log(len(answers))), answers[0].pooled)


def _predicted(asked: nn.Module, recipe: Recipe, table: Table, rows: NDArray[np.int64]) -> Predictions:
    """Return the teacher's answers to images, as the student will be shown them."""
    device = hardware.device(recipe.machine)
    shown = build.eval_loader(recipe, table, rows, device)
    return predict(asked, table, shown, device=device, bf16=hardware.bf16(recipe.train, device))


def _some(split: Split) -> NDArray[np.int64]:
    rows = split.rows("train")
    return np.sort(np.random.default_rng(0).permutation(rows)[:_TRAINED])


def _taught(recipe: Recipe, asked: nn.Module, table: Table, split: Split) -> NDArray[np.float32]:
    """Return the teacher's logits for training images as the recipe makes them."""
    device = hardware.device(recipe.machine)
    batches = build.train_batches(recipe, table, split.rows("train"), device)
    with torch.no_grad():
        said = [
            asked(batch.images.to(device)).logits.float().cpu()
            for batch in islice(batches.epoch(0), -(-_TRAINED // batches.batch_size))
        ]
    return np.asarray(torch.cat(said).numpy())


def _images(run: str, recipe: Recipe) -> TeacherFinding:
    theirs, ours = schema.load(Path(run) / "recipe.toml").images, recipe.images
    return diagnosis.images(run, (theirs.size, theirs.artefacts), (ours.size, ours.artefacts))


def _students(recipe: Recipe, validation: Predictions, named: Sequence[Path]) -> dict[str, Predictions]:
    """Return what plain students said of the validation images: those named, or those found beside the teacher."""
    if named:
        return {str(run): _said(run, validation) for run in named}
    found = {}
    for run in _beside(recipe):
        with suppress(DspkdError):
            found[str(run)] = _said(run, validation)
    return found


def _said(run: Path, validation: Predictions) -> Predictions:
    path = run / "predictions/val.csv"
    if not path.is_file():
        raise RunError(f"{run}: no finished run (no predictions/val.csv); name the plain student's run folder")
    try:
        said = Predictions.load(path).of(validation.ids)
        require_same_images(validation, said)
    except DataError as error:
        raise DataError(
            f"{path}: is not about the validation images of this recipe: {error}; the plain student needs the same "
            "data and split"
        ) from None
    return said


def _beside(recipe: Recipe) -> Iterator[Path]:
    """Yield the finished plain runs of the recipe's network beside its teacher, or of the grid that trained it."""
    home = Path(recipe.teachers[0]).parent
    places = list(home.glob("*/recipe.toml"))
    if home.name == TEACHERS:  # of a grid
        places += home.parent.glob("*/seed-*/recipe.toml")
    plain: dict[str, list[Path]] = {}
    for place in sorted(places):
        with suppress(DspkdError):
            other = schema.load(place)
            same = (other.model, other.images.size) == (recipe.model, recipe.images.size)
            if same and (kind := controls.control(other)) and (place.parent / "result.json").is_file():
                plain.setdefault(kind, []).append(place.parent)
    yield from plain.get("plain") or plain.get("label_smoothing", [])
