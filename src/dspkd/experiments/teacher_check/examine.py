"""Examine a recipe's teacher on validation and training images before hours are spent on learning from it.

The test set is not evaluated. The verdict is "teach", or "do not teach yet" with the reasons; each finding states its
rule, and all rules are inferred.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from dspkd.data.split import Split
from dspkd.data.table import Table
from dspkd.errors import DataError, RecipeError
from dspkd.evaluation.inference import predict
from dspkd.evaluation.intervals import Estimate
from dspkd.evaluation.predictions import Predictions
from dspkd.evaluation.teacher_quality import Calibrated, Margin, NetworkScores, calibrated, gain, level, margin
from dspkd.experiments.teacher_check import findings as rules
from dspkd.experiments.teacher_check import students as plain_students
from dspkd.experiments.teacher_check import suggestions
from dspkd.experiments.teacher_check.findings import TeacherFinding
from dspkd.experiments.teacher_check.suggestions import Softening, Suggestion
from dspkd.recipes.schema import Recipe
from dspkd.runs import build, explain, hardware, validate
from dspkd.runs.run_folder import Run
from dspkd.types import Batch, Output

_TRAINED = 1_000


@dataclass(frozen=True)
class Examination:
    """Findings about a teacher.

    Attributes
    ----------
    teacher, students
        Run folders.
    findings
        In the order of the examination.
    margin
        By how much the teacher is above the students; None without students.
    validation, training
        The teacher's scores on validation images and on up to 1,000 training images.
    calibrated
        Calibration on validation images.
    rotated
        Gain in balanced accuracy on validation images by averaging over quarter turns and flips.
    soft
        How each term softens the teacher's outputs.
    suggestions
        Suggested settings of the recipe.
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
    suggestions: tuple[Suggestion, ...] = ()

    @property
    def teach(self) -> bool:
        """Whether no finding is a reason not to teach."""
        return not any(finding.severity == "stop" for finding in self.findings)

    @property
    def verdict(self) -> str:
        """``teach``, or ``do not teach yet:`` with the reasons."""
        reasons = "; ".join(finding.message for finding in self.findings if finding.severity == "stop")
        return "teach" if self.teach else f"do not teach yet: {reasons}"


def examine(recipe: Recipe, students: Sequence[Path] = ()) -> Examination:
    """Examine the teacher of a recipe; see `Examination`.

    Parameters
    ----------
    recipe
        Recipe of the student.
    students
        Finished runs of the plain student with the same validation images, one for each seed. By default, runs beside
        the teacher's that learnt from labels alone, and else as the recipe says; see `students.of`.

    Raises
    ------
    RecipeError, DataError, RunError
        The recipe is not valid or has no teacher; the data cannot be read; the teacher or a named student is not a
        finished run on these validation images.
    """
    validate.check(recipe)
    if not recipe.teachers:
        raise RecipeError(f'{recipe.name}: has no teacher to examine; name its run: teacher = "runs/..."')
    dataset = build.load_data(recipe)
    table, split = dataset.table, dataset.split
    device = hardware.device(recipe.machine)
    for run in recipe.teachers:
        _ = Run(run).model  # a missing run is a user error, not a finding
    try:
        teacher = build.evaluated_teacher(recipe, table, split, device)
    except DataError as error:
        return Examination(recipe.teachers, (), (TeacherFinding("classes and split", "stop", str(error)),))
    assert teacher, "the recipe names one"
    network, seen = _TeacherNetwork(teacher), recipe.seen_by_teacher
    validation = _predicted(network, seen, table, split.rows("val"))
    compared, chosen = plain_students.of(recipe, dataset, validation, students)
    one, eight = (_predicted(_TeacherNetwork(teacher.averaging(n)), seen, table, split.rows("val")) for n in (1, 8))
    rotated = gain(eight, one)
    training = level(_predicted(network, seen, table, _training_sample(split)))
    scores, calibration = level(validation), calibrated(validation)
    above = margin(validation, list(compared.values())) if compared else None
    logits_NK = _training_logits(seen, network, table, split)
    soft = suggestions.softness(recipe, logits_NK, scores.accuracy[0], teacher.spec.class_prior)
    facts = explain.explain(recipe)
    suggested = suggestions.temperatures(soft, scores.accuracy[0]) + suggestions.weights(recipe, facts.stages)
    findings = [
        TeacherFinding("classes and split", "ok", f"classes in the data's order: {', '.join(table.classes)}; no leak"),
        *(_images(run, seen) for run in recipe.teachers),
        *rules.margin(above, len(compared)),
        *chosen,
        rules.memorisation(training, scores, cross_fit=recipe.teacher.cross_fit if recipe.teacher else None),
        rules.calibration(calibration),
        rules.averaged_views(
            rotated, recipe.teacher.views if recipe.teacher else 1, validate.compares_rotations(recipe)
        ),
        *(TeacherFinding("what the terms can do", "note", warning) for warning in facts.warnings),
    ]
    return Examination(
        recipe.teachers, tuple(compared), tuple(findings), above, scores, training, calibration, rotated,
        tuple(soft), tuple(suggested),
    )  # fmt: skip


class _TeacherNetwork(nn.Module):
    """A teacher as a network."""

    def __init__(self, teacher: build.AnyTeacher) -> None:
        super().__init__()
        self._teacher = teacher

    def forward(self, images: torch.Tensor) -> Output:
        nothing = torch.zeros(len(images), dtype=torch.int64, device=images.device)
        return self._teacher.answer(Batch(images, nothing, nothing, nothing))


def _predicted(network: nn.Module, recipe: Recipe, table: Table, rows: NDArray[np.int64]) -> Predictions:
    """Return the teacher's predictions for images prepared as the recipe prepares them."""
    device = hardware.device(recipe.machine)
    loader = build.eval_loader(recipe, table, rows, device)
    return predict(network, table, loader, device=device, bf16=hardware.bf16(recipe.train, device))


def _training_sample(split: Split) -> NDArray[np.int64]:
    rows = split.rows("train")
    return np.sort(np.random.default_rng(0).permutation(rows)[:_TRAINED])


def _training_logits(recipe: Recipe, network: nn.Module, table: Table, split: Split) -> NDArray[np.float32]:
    """Return the teacher's logits ``[N, K]`` for training images augmented as the recipe does."""
    device = hardware.device(recipe.machine)
    batches = build.train_batches(recipe, table, split.rows("train"), device)
    with torch.no_grad():
        logits = [
            network(batch.images.to(device)).logits.float().cpu()
            for batch in islice(batches.epoch(0), -(-_TRAINED // batches.batch_size))
        ]
    return np.asarray(torch.cat(logits).numpy())


def _images(run: str, recipe: Recipe) -> TeacherFinding:
    theirs, ours = Run(run).recipe.images, recipe.images
    return rules.images(run, (theirs.size, theirs.artefacts), (ours.size, ours.artefacts))
