"""What answers about the training images: the teacher as it is evaluated, weighted by the label, or in folds."""

from __future__ import annotations

from dspkd import methods
from dspkd.runs import build, fold_teachers, resume, same_ranks
from dspkd.runs.context import RunContext
from dspkd.runs.fold_teachers import FoldTeachers, Train
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
        See `dspkd.runs.fold_teachers`; the weights of a teacher have changed since the run began, or are others on
        another rank.
    """
    config, teacher = context.recipe.teacher, context.teacher
    if config is None or teacher is None:
        return None, []
    if isinstance(teacher, AnswersTeacher):
        return teacher, []
    files, world = context.files, context.world
    world.on_rank_zero(lambda: resume.require_same_teachers(files, config.run))
    terms = [methods.find(term.method) for stage in context.recipe.stages for term in stage.terms]
    if config.cross_fit and any(term.needs_teacher for term in terms):
        recipe, table, split = context.recipe, context.table, context.split
        teachers, fold_N = world.on_all(lambda: fold_teachers.planned(recipe, table, split))
        for each in teachers:
            fold_teachers.train_missing(each, train, table, split, fold_N, context.listener, world)
        runs = [str(each.run(fold)) for each in teachers for fold in range(config.cross_fit)]
        world.on_rank_zero(lambda: resume.require_same_teachers(files, runs))
        for each in teachers:
            context.listener.note(world.on_rank_zero(lambda each=each: each.quality))  # type: ignore[misc]
        in_folds = world.on_all(
            lambda: fold_teachers.loaded(teachers, teacher, recipe, table, split, fold_N, context.device)
        )
        same_ranks.require_same(world, lambda: {"fold teachers": in_folds.digest()})
        return in_folds, teachers
    if config.weights == "label":
        assert isinstance(teacher, EnsembleTeacher), "`TeacherConfig` requires two"
        return EnsembleTeacher(teacher.members, config.weights), []
    return teacher, []
