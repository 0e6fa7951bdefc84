"""Estimate how long a recipe will take on this machine, and where the time goes, from its first steps; save nothing."""

from __future__ import annotations

import time
from dataclasses import astuple, replace
from functools import partial
from itertools import pairwise
from statistics import median

import numpy as np
import torch
from torch import nn

from dspkd.data.loader import TrainBatches
from dspkd.data.split import Split
from dspkd.data.table import Table
from dspkd.evaluation.inference import predict
from dspkd.models import zoo
from dspkd.recipes.schema import Recipe
from dspkd.recipes.stage import StageConfig
from dspkd.runs import answers, build, fold_teachers, hardware, teacher_cache, unlabelled, validate
from dspkd.runs.cache_estimate import decoded_sample
from dspkd.runs.estimates import CacheEstimate, Plan, StagePlan
from dspkd.runs.explain import explain
from dspkd.runtime import threads
from dspkd.runtime.memory import keep_freed_memory
from dspkd.training import loop
from dspkd.training.distiller import Distiller, Teacher
from dspkd.training.progress import NullProgress
from dspkd.training.teachers.answers import AnswersTeacher
from dspkd.training.teachers.frozen import FrozenTeacher
from dspkd.types import Batch, NetworkSpec, Output

STEPS = 20
"""Steps that are timed in each stage, after two that are not."""


class _PrecomputedTeacher:
    """A teacher that returns an output computed before the step, so that both networks are timed separately."""

    def __init__(self, spec: NetworkSpec, *, by_row: bool) -> None:
        self.spec, self.by_row = spec, by_row
        self.output: Output | None = None

    def answer(self, batch: Batch) -> Output:  # noqa: ARG002
        assert self.output, "computed before the step"
        return self.output


@threads.kept()
def plan(recipe: Recipe, *, steps: int = STEPS, stand_in: FrozenTeacher | None = None) -> Plan:
    """Time `steps` steps of each stage, and a sample of what is computed once before training; save nothing.

    Parameters
    ----------
    recipe
        The recipe.
    steps
        Steps to time in each stage, after two that are not timed.
    stand_in
        The teacher's network with any weights, in place of its finished run: for a plan before it is trained.

    Raises
    ------
    RecipeError, DataError, RunError, WeightsError
        As training would.
    """
    validate.check(recipe)
    keep_freed_memory()
    device = hardware.device(recipe.machine)
    if count := hardware.threads(recipe):
        torch.set_num_threads(count)
    dataset = build.load_data(recipe)
    table, split = dataset.table, dataset.split
    rows = split.rows("train")
    compiled = hardware.compiles(recipe, len(rows))
    counts = tuple(images for images, _ in table.take(rows).counts().values())
    found = unlabelled.load(recipe, table, split, NullProgress())
    all_images = found.after(table) if found else table
    beside = np.arange(len(table), len(all_images))
    teacher = stand_in or answers.teacher_of(recipe, table, split, device, images=all_images)
    student = hardware.placed(build.student(recipe.model, len(table.classes), seed=recipe.seed), device)
    first = build.train_batches(recipe, all_images, rows, device, unlabelled=beside).batches(0)[: steps + 2]
    to_train, decoding = decoded_sample(
        recipe,
        all_images,
        [row for keys in first for row, _ in keys],
        build.augmentation(recipe.images),
        len(rows) + len(beside),
    )
    batches = build.train_batches(recipe, all_images, rows, device, unlabelled=beside, decoded=to_train)
    labelled = build.train_batches(recipe, table, rows, device, decoded=to_train)
    enlarging = CacheEstimate()
    sized = {True: batches, False: labelled}  # with unlabelled images, and without
    if build.larger(recipe):
        seen = build.augmentation(recipe.seen_by_teacher.images)
        shown = [row for keys in first for row, _ in keys]
        to_teach, enlarging = decoded_sample(recipe, all_images, shown, seen, len(rows) + len(beside))
        with_larger = partial(build.train_batches, decoded=to_train, larger=build.larger(recipe, to_teach))
        sized = {
            True: with_larger(recipe, all_images, rows, device, unlabelled=beside),
            False: with_larger(recipe, table, rows, device),
        }
    make = partial(
        build.distiller, student=student, class_counts=counts, balance=recipe.train.balance, seed=recipe.seed
    )
    fast_teacher = teacher.compiled() if teacher and compiled else teacher
    cached = teacher_cache.is_used(recipe)
    measured: list[StagePlan] = []
    earlier = None
    for stage in recipe.stages:
        precomputed = (
            _PrecomputedTeacher(teacher.spec, by_row=cached or teacher.by_row)
            if teacher and not stage.teacher_lr
            else None
        )
        earlier = make(stage, teacher=precomputed or teacher, earlier=earlier).to(device)
        measured.append(
            _measure(
                stage,
                earlier,
                sized[unlabelled.learns(stage)],
                fast_teacher,
                precomputed,
                hardware.step_config(recipe, device, compiled=compiled),
                steps,
            )
        )
    outputs, facts = CacheEstimate(), explain(recipe, stand_in=stand_in)
    if recipe.teacher and facts.passes > len(recipe.teachers) * recipe.teacher.views:  # fold teachers and this one
        measured = [replace(stage, teaching=2 * stage.teaching) for stage in measured]
    if teacher and not isinstance(teacher, AnswersTeacher) and cached:
        count = len(teacher_cache.schedule(recipe, batches))
        seconds = count / batches.batch_size * max(stage.loading + stage.teaching for stage in measured)
        nbytes = teacher_cache.bytes_of_an_output(
            recipe, partial(make, teacher=teacher), student, teacher, sized[True], device
        )
        outputs = CacheEstimate(count, seconds, count * nbytes)
        loading = _loading(batches, steps) if sized[True] is not batches else None
        measured = [
            replace(stage, teaching=0.0, loading=stage.loading if loading is None else loading) for stage in measured
        ]
    cross_fit = recipe.teacher and recipe.teacher.cross_fit
    folds = fold_teachers.planned(recipe, table, split)[0] if cross_fit else []
    evaluated, image = _evaluation(recipe, table, split, student, device, steps)
    parts = [len(split.places(part)) for part in ("val", "test")]
    return Plan(
        device=str(device),
        threads=torch.get_num_threads(),
        workers=hardware.workers(recipe.machine, device),
        compiled=compiled,
        batch_size=batches.batch_size,
        stages=tuple(measured),
        images=CacheEstimate(*map(sum, zip(*map(astuple, (decoding, enlarging, evaluated)), strict=True))),
        teacher_outputs=outputs,
        validation=parts[0] * image,
        evaluation=sum(parts) * image,
        warnings=facts.warnings,
        fold_teachers=CacheEstimate(sum(len(each.missing) for each in folds), sum(each.seconds for each in folds)),
        passes=facts.passes,
    )


def stand_in(model: str, classes: int, device: torch.device) -> FrozenTeacher:
    """Return a network with random weights as a teacher, for a plan before the teacher is trained."""
    network = hardware.placed(zoo.make(model, classes=classes), device)
    return FrozenTeacher(network, network.spec, name=model)


def _loading(batches: TrainBatches, steps: int) -> float:
    """Return the median seconds in which a batch is loaded."""
    epoch, laps = batches.epoch(0), []
    for _ in range(min(steps + 2, len(batches))):
        started = time.perf_counter()
        next(epoch)
        laps.append(time.perf_counter() - started)
    return median(laps[2:] or laps)


def _evaluation(
    recipe: Recipe, table: Table, split: Split, student: nn.Module, device: torch.device, steps: int
) -> tuple[CacheEstimate, float]:
    """Return the cost of decoding validation and test set, and the seconds of evaluating an image."""
    crop = build.centre_crop(recipe.images)
    rows = split.rows("val")
    sample = rows[: steps * recipe.train.batch_size]
    count = len(rows) + len(split.places("test"))
    decoded, decoding = decoded_sample(recipe, table, sample.tolist(), crop, count)
    started = time.perf_counter()
    loader = build.eval_loader(recipe, table, sample, device, decoded=decoded)
    predict(student, table, loader, device=device, bf16=hardware.bf16(recipe.train, device))
    return decoding, (time.perf_counter() - started) / len(sample)


def _measure(
    stage: StageConfig,
    distiller: Distiller,
    batches: TrainBatches,
    teacher: Teacher | None,
    precomputed: _PrecomputedTeacher | None,
    config: loop.StepConfig,
    steps: int,
) -> StagePlan:
    timed_apart = bool(precomputed) and any(term.needs_teacher for term in distiller.terms.values())
    optimizer = loop.make_optimizer(stage, distiller.trainable())
    objective = loop.objective_of(distiller, config)
    distiller.train()
    epoch = batches.epoch(0)
    laps: list[tuple[float, ...]] = []
    for _ in range(min(steps + 2, len(batches))):
        times = [_now(config.device)]
        batch = next(epoch).to(config.device)
        times.append(_now(config.device))
        with torch.autocast(config.device.type, torch.bfloat16, enabled=config.bf16):
            if timed_apart:
                assert precomputed
                assert teacher
                precomputed.output = teacher.answer(
                    batch.with_derived(rotated=distiller.rotated, strong_aug=distiller.strong_aug)
                )
            times.append(_now(config.device))
            loss = objective(batch)["total"]
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        times.append(_now(config.device))
        loop.update(loop.owners(distiller.trainable()), optimizer, stage.lr, config.clip)
        times.append(_now(config.device))
        laps.append(tuple(after - before for before, after in pairwise(times)))
    loading, teaching, learning, updating = (median(lap) for lap in zip(*(laps[2:] or laps), strict=True))
    usual = loading + teaching + learning + updating
    compiling = max(sum(laps[0]) - usual, 0.0) if config.compiled else 0.0
    return StagePlan(stage.name, stage.epochs, len(batches), loading, teaching, learning, updating, compiling)


def _now(device: torch.device) -> float:
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return time.perf_counter()
