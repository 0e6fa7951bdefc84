"""Train what a recipe describes, into a run folder; `dspkd.runs.files` lists its files."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager, ExitStack, nullcontext
from dataclasses import asdict, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn
from torch.utils.data import DataLoader

from dspkd.data.loader import TrainBatches
from dspkd.evaluation import soft_labels
from dspkd.evaluation.inference import predict
from dspkd.evaluation.metrics import summarise
from dspkd.evaluation.predictions import Predictions
from dspkd.models import hub_folder
from dspkd.models.weights import as_safetensors
from dspkd.recipes.schema import Recipe
from dspkd.runs import (
    answers,
    artifacts,
    build,
    claim,
    class_order,
    class_priors,
    hardware,
    holdout,
    same_ranks,
    teacher_cache,
    teaching,
    unlabelled,
    validate,
)
from dspkd.runs.context import RunContext, prepare
from dspkd.runs.files import RunFiles
from dspkd.runs.fold_teachers import FoldTeachers
from dspkd.runs.teaching import AnyTrainingTeacher
from dspkd.runtime import threads
from dspkd.runtime.distributed import SINGLE, World
from dspkd.runtime.files import atomic_open, write_json
from dspkd.training import generators, loggers, loop
from dspkd.training.distiller import Distiller
from dspkd.training.progress import NullProgress, ProgressListener
from dspkd.training.teachers.answers import AnswersTeacher
from dspkd.training.teachers.cache_cost import CacheCost
from dspkd.types import Batch


def train(recipe: Recipe, out: Path, listener: ProgressListener | None = None, world: World = SINGLE) -> None:
    """Train and evaluate what a recipe describes; continue where an earlier, interrupted run in `out` stopped.

    Parameters
    ----------
    recipe
        The recipe.
    out
        Run folder; created if missing.
    listener
        Receives counts, steps and epochs; on rank 0 only.
    world
        Processes that train together. Only rank 0 needs access to `out`; it alone evaluates at the end.

    Raises
    ------
    RecipeError, DataError, WeightsError
        A setting, the data or the weights are not valid; raised before anything is trained.
    RunError
        `out` holds a run of another recipe, or a finished one whose teacher is another one now; the processes differ in
        what they train.
    TrainingError
        A loss is not finite; epochs before that are saved.
    """
    files = RunFiles(out)
    same_ranks.require_same_recipe(recipe, world)
    world.on_all(lambda: validate.check(recipe))
    with claim.errors_of(out), generators.kept(), threads.kept(), ExitStack() as held:
        if world.on_rank_zero(lambda: claim.claim(recipe, files, held)):
            return
        context = prepare(recipe, files, (listener if world.rank == 0 else None) or NullProgress(), world)
        teacher, folds = teaching.in_training(context, train)
        stages, cost = _train_stages(context, teacher)
        if not recipe.stages:
            world.on_rank_zero(lambda: class_order.require_order(context))
        world.on_rank_zero(lambda: _conclude(replace(context, world=SINGLE), stages, cost, folds))


def _train_stages(
    context: RunContext, teacher: AnyTrainingTeacher | AnswersTeacher | None
) -> tuple[list[dict[str, Any]], CacheCost | None]:
    """Train the stages in order; return a summary of each, and what caching the teacher's outputs cost."""
    recipe, world, student = context.recipe, context.world, context.student
    counts = tuple(images for images, _ in context.table.take(context.split.rows("train")).counts().values())
    config = hardware.step_config(recipe, context.device, compiled=context.compiled, world=world)
    make = partial(
        build.distiller,
        student=student,
        teacher=teacher.compiled() if teacher and config.compiled else teacher,
        class_counts=counts,
        seed=recipe.seed,
        balance=recipe.train.balance,
    )

    cached_outputs = teacher_cache.is_used(recipe)

    def checked_batches() -> TrainBatches:
        _require_buildable(recipe, make)
        return context.train_batches(for_teacher=not cached_outputs)

    batches = world.on_all(checked_batches)
    if isinstance(teacher, AnswersTeacher):
        first_two = next(batches.show([batches.keys(0)[:2]])).to(context.device)
        read = teacher_cache.reads(recipe, make, student, teacher.answer, first_two)
        answers.require_readable(teacher.name, teacher, read.fields)
    cost = None
    if teacher and not isinstance(teacher, AnswersTeacher) and cached_outputs:
        cached, cost = teacher_cache.cached_teacher(context, teacher, make, batches)
        make = partial(make, teacher=cached)
    initial = {name: value.clone() for name, value in student.state_dict().items()}
    validation = context.eval_loader(context.split.rows("val"))  # its loader processes serve all epochs
    if context.unlabelled and not all(map(unlabelled.learns, recipe.stages)):
        labelled = context.train_batches(for_teacher=not cached_outputs, unlabelled=False)
    else:
        labelled = batches
    frozen_digest = teacher.digest() if teacher else ""
    summaries: list[dict[str, Any]] = []
    done = 0
    distiller = None
    recorded = context.files.manifest.recording(context.files.metrics) if context.world.rank == 0 else nullcontext()
    with recorded, _logger(context) as listener:
        listener.run(recipe.name, recipe.epochs)
        for number, stage in enumerate(recipe.stages):
            if stage.start == "initial":
                student.load_state_dict(initial)
            distiller = make(stage, earlier=distiller).to(context.device)
            for line in stage.shortened:
                listener.note(f"stage {stage.name!r}: {line}")
            if opposition := class_priors.opposition(distiller, context.table.classes):
                listener.note(f"warning: stage {stage.name!r}: {opposition}")
            progress = loop.fit(
                stage,
                distiller,
                batches if unlabelled.learns(stage) else labelled,
                partial(_validation_scores, context=context, loader=validation),
                folder=context.files.stages / f"{number}-{stage.name}",
                digest=recipe.digest,
                seed=recipe.seed,
                first_epoch=done,
                hand_on=recipe.stages[number + 1].carried if number + 1 < len(recipe.stages) else (),
                arithmetic=config,
                listener=listener,
                manifest=context.files.manifest,
            )
            done += stage.epochs
            summaries.append(
                {
                    "name": stage.name,
                    "epochs": stage.epochs,
                    "best_epoch": progress.best_epoch,
                    "best_score": progress.best_score,
                    "seconds": round(sum(record["seconds"] for record in progress.history), 1),
                    "cpu_seconds": _total(record.get("cpu_seconds") for record in progress.history),
                }
            )
    if teacher and teacher.digest() != frozen_digest:
        raise AssertionError("the frozen teacher's weights or statistics changed while its student trained")
    return summaries, cost


def _logger(context: RunContext) -> loggers.MetricsLogger | AbstractContextManager[ProgressListener]:
    """Return a listener that records each epoch, on rank 0, and passes everything on."""
    if context.world.rank > 0:
        return nullcontext(context.listener)
    recipe = context.recipe
    return loggers.MetricsLogger(
        context.files.folder, context.listener, recipe.machine.loggers, run=recipe.name, settings=asdict(recipe)
    )


def _require_buildable(recipe: Recipe, make: Callable[..., Distiller]) -> None:
    """Build each stage on the meta device: one that cannot be built stops the run now, not after earlier stages."""
    loggers.check(recipe.machine.loggers)
    earlier = None
    with torch.device("meta"):
        for stage in recipe.stages:
            earlier = make(stage, earlier=earlier)


def _predict_on_all_ranks(
    student: nn.Module, context: RunContext, rows: NDArray[np.int64], loader: DataLoader[Batch]
) -> Predictions:
    """Return the student's predictions for these rows, on every process; each predicts the share of its `loader`."""
    share = predict(student, context.table, loader, device=context.device, bf16=context.bf16) if len(loader) else None
    shares = [each for each in context.world.all_gather(share) if each]
    return Predictions.joined(shares, [context.table.ids[row] for row in rows])


def _validation_scores(student: nn.Module, *, context: RunContext, loader: DataLoader[Batch]) -> dict[str, float]:
    """Return the validation scores of an epoch, balanced accuracy to choose it by; AUROC where it is defined."""
    summary = summarise(_predict_on_all_ranks(student, context, context.split.rows("val"), loader))
    auc = {} if summary.auc_macro is None else {"auc_macro": summary.auc_macro}
    return {
        "balanced_accuracy": summary.balanced_accuracy,
        "accuracy": summary.accuracy,
        "macro_f1": summary.f1_macro,
        **auc,
        "log_loss": summary.log_loss,
    }


def _conclude(
    context: RunContext, stages: list[dict[str, Any]], cost: CacheCost | None, folds: list[FoldTeachers]
) -> None:
    """Save the student, evaluate it on validation and test set, and write artifacts and result."""
    recipe, files, student = context.recipe, context.files, context.student
    weights = {name: value.detach().cpu().contiguous() for name, value in student.library_state().items()}
    averaged = {"ema": str(recipe.train.ema)} if recipe.train.ema else {}
    manifest = files.manifest
    with manifest.recording(files.weights), atomic_open(files.weights, "wb") as file:
        file.write(as_safetensors(weights, {**hub_folder.metadata(student), **averaged}))
    test = holdout.evaluate_test(context.split, files.folder, purpose=holdout.TRAINING)
    rows = {"val": context.split.rows("val"), "test": test}
    predictions = {
        part: _predict_on_all_ranks(student, context, of_part, context.eval_loader(of_part))
        for part, of_part in rows.items()
    }
    for part, of_part in predictions.items():
        with manifest.recording(files.predictions(part)):
            of_part.save(files.predictions(part))
    with manifest.recording(files.artifacts, *map(files.teacher_predictions, predictions)):
        artifacts.keep(context, predictions, rows)
    soft = soft_labels.of(predictions["test"], context.table.take(test).soft_labels)
    with manifest.recording(files.result):
        write_json(
            files.result,
            {
                "name": recipe.name,
                "model": recipe.model.name,
                "classes": list(context.table.classes),
                "parameters": sum(value.numel() for value in student.parameters()),
                "teacher": ", ".join(recipe.teachers) or (recipe.teacher.answers if recipe.teacher else None),
                "digest": recipe.digest,
                "seed": recipe.seed,
                "stages": stages,
                "seconds": round(sum(stage["seconds"] for stage in stages), 1),
                "cpu_seconds": _total(stage["cpu_seconds"] for stage in stages),
                "teacher_cache": asdict(cost) if cost else None,
                "soft_labels": asdict(soft) if soft else None,
                "fold_teachers": [str(each.run(fold)) for each in folds for fold in range(len(each.recipes))],
                "test_evaluations": len(holdout.evaluations(files.folder)),
            },
        )


def _total(parts: Iterable[float | None]) -> float | None:
    """Return the sum; None where a part is unknown, such as processor time that was not recorded."""
    values = list(parts)
    return None if None in values else round(sum(value for value in values if value is not None), 1)
