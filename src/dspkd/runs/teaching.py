"""What answers about the training images: the teacher as it is evaluated, weighted by the label, or in folds."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from pathlib import Path

from pydantic import TypeAdapter

from dspkd import methods
from dspkd.errors import RunError
from dspkd.runs import build, fold_teachers, records
from dspkd.runs.context import RunContext
from dspkd.runs.files import RunFiles
from dspkd.runs.fold_teachers import FoldTeachers, Train
from dspkd.runtime.files import write_json
from dspkd.training.teachers.answers import AnswersTeacher
from dspkd.training.teachers.cross_fit import CrossFitTeacher
from dspkd.training.teachers.ensemble import EnsembleTeacher

AnyTrainingTeacher = build.AnyTeacher | CrossFitTeacher


def in_training(
    context: RunContext, train: Train
) -> tuple[AnyTrainingTeacher | AnswersTeacher | None, list[FoldTeachers]]:
    """Return the teacher that answers in training, and the fold teachers that it has.

    The weights of all of them are recorded in the run folder, so that a resumed run learns from the same.

    Parameters
    ----------
    context
        The run, with the teacher as it is evaluated.
    train
        Trains the fold teachers that are missing.

    Raises
    ------
    DataError, RunError
        See `dspkd.runs.fold_teachers`; the weights of a teacher have changed since the run began.
    """
    config, teacher = context.recipe.teacher, context.teacher
    if config is None or teacher is None:
        return None, []
    if isinstance(teacher, AnswersTeacher):
        return teacher, []
    files, world = context.files, context.world
    world.on_rank_zero(lambda: _require_same_weights(files, config.run))
    terms = [methods.find(term.method) for stage in context.recipe.stages for term in stage.terms]
    if config.cross_fit and any(term.needs_teacher for term in terms):
        recipe, table, split = context.recipe, context.table, context.split
        teachers, fold_N = world.on_all(lambda: fold_teachers.planned(recipe, table, split))
        for each in teachers:
            fold_teachers.train_missing(each, train, table, split, fold_N, context.listener, world)
        runs = [str(each.run(fold)) for each in teachers for fold in range(config.cross_fit)]
        world.on_rank_zero(lambda: _require_same_weights(files, runs))
        for each in teachers:
            context.listener.note(world.on_rank_zero(lambda each=each: each.quality))  # type: ignore[misc]
        return world.on_all(
            lambda: fold_teachers.loaded(teachers, teacher, recipe, table, split, fold_N, context.device)
        ), teachers
    if config.weights == "label":
        assert isinstance(teacher, EnsembleTeacher), "`TeacherConfig` requires two"
        return EnsembleTeacher(teacher.members, config.weights), []
    return teacher, []


def _require_same_weights(files: RunFiles, runs: Iterable[str]) -> None:
    """Record the weights of teachers; RunError if those of one have changed since the first epoch was trained.

    A run of an older version has no record: the weights of today are recorded.
    """
    path = files.teacher_weights
    before = records.read(TypeAdapter(dict[str, str]), path) if path.exists() else {}
    now = {run: _sha256(RunFiles(Path(run)).weights) for run in runs}
    if files.stages.exists():
        for run, digest in now.items():
            if before.get(run, digest) != digest:
                raise RunError(
                    f"teacher {run}: its weights have changed since {files.folder} began; restore them, or train into "
                    "another folder"
                )
    if now.items() - before.items():
        with files.manifest.recording(path):
            write_json(path, {**before, **now})


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
