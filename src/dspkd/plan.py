"""How long a recipe will take here, and where the time goes: measured on its first steps, keeping nothing."""

from __future__ import annotations

import time
from dataclasses import dataclass, replace
from itertools import pairwise
from statistics import median

import torch

from dspkd import banking, build, checks
from dspkd.data.loader import TrainBatches, in_order
from dspkd.distiller import Distiller, Teacher
from dspkd.evaluate.predict import predict
from dspkd.recipe import Recipe
from dspkd.stage import Stage
from dspkd.train import loop
from dspkd.train.allocator import keep_freed_memory
from dspkd.types import Batch, Output, Spec

STEPS = 20
"""Steps that are measured of each stage, after two that are not."""


@dataclass(frozen=True)
class StagePlan:
    """A stage's steps, and the seconds that one of them takes: medians over the steps that were measured.

    Attributes
    ----------
    name, epochs, steps
        As in the recipe; steps an epoch.
    loading
        Making a batch of pictures in this process, or waiting for those that do.
    asking
        The teacher's answer; 0 where none is asked, or where answers are read from a bank.
    learning
        Student and terms, forward and backward.
    updating
        Clipping and optimiser.
    """

    name: str
    epochs: int
    steps: int
    loading: float
    asking: float
    learning: float
    updating: float

    @property
    def seconds(self) -> float:
        """Return the seconds of all epochs, validation left out."""
        return self.epochs * self.steps * (self.loading + self.asking + self.learning + self.updating)


@dataclass(frozen=True)
class Plan:
    """What a run will take.

    Attributes
    ----------
    device, threads, workers, batch_size
        With what it was measured.
    stages
        The stages.
    pictures
        How many pictures the teacher answers before training, where answers are kept in a bank; else 0. As if the bank
        were empty.
    filling
        Seconds that this takes.
    judging
        Seconds of the validation images after one epoch.
    """

    device: str
    threads: int
    workers: int
    batch_size: int
    stages: tuple[StagePlan, ...]
    pictures: int
    filling: float
    judging: float

    @property
    def seconds(self) -> float:
        """Return the seconds of the whole run, but for start and report."""
        epochs = sum(stage.epochs for stage in self.stages)
        return self.filling + sum(stage.seconds for stage in self.stages) + epochs * self.judging


class _Said:
    """A teacher whose answer was asked for beforehand, so that asking and learning are timed apart."""

    def __init__(self, spec: Spec) -> None:
        self.spec = spec
        self.output: Output | None = None

    def answer(self, batch: Batch) -> Output:  # noqa: ARG002
        assert self.output, "asked before"
        return self.output


def plan(recipe: Recipe, *, steps: int = STEPS) -> Plan:
    """Measure `steps` steps of each stage; images are decoded each time, where a run keeps them decoded.

    Raises
    ------
    RecipeError, DataError, RunError, WeightsError
        As training would.
    """
    checks.check(recipe)
    keep_freed_memory()
    if recipe.machine.threads:
        torch.set_num_threads(recipe.machine.threads)
    device = build.device(recipe.machine)
    table = build.table(recipe.data)
    split = build.split(recipe.split, table)
    rows = split.rows("train")
    counts = tuple(images for images, _ in table.take(rows).counts().values())
    teacher = build.teacher(recipe.teachers, table, split, device)
    student = build.placed(build.student(recipe.model, len(table.classes), seed=recipe.seed), device)
    batches = build.batches(recipe, table, rows, device)
    measured: list[StagePlan] = []
    earlier = None
    for stage in recipe.stages:
        said = _Said(teacher.spec) if teacher and not stage.teacher_lr else None
        earlier = build.distiller(
            stage, student, said or teacher, counts, balance=recipe.train.balance, seed=recipe.seed, earlier=earlier
        )
        measured.append(
            _measure(stage, earlier.to(device), batches, teacher, said, build.arithmetic(recipe, device), steps)
        )
    crop = build.centre_crop(recipe.pictures)
    judged = split.rows("val")
    some = judged[: steps * batches.batch_size]
    started = time.perf_counter()
    shown = in_order(table, some, crop, batch_size=batches.batch_size)
    predict(student, table, shown, device=device, half=build.half(recipe.train, device))
    judging = (time.perf_counter() - started) * len(judged) / len(some)
    pictures, filling = 0, 0.0
    if banking.wanted(recipe):
        pictures = len(banking.schedule(recipe, batches))
        filling = pictures / batches.batch_size * max(stage.asking for stage in measured)
        measured = [replace(stage, asking=0.0) for stage in measured]
    return Plan(
        device=str(device),
        threads=torch.get_num_threads(),
        workers=build.workers(recipe.machine, device),
        batch_size=batches.batch_size,
        stages=tuple(measured),
        pictures=pictures,
        filling=filling,
        judging=judging,
    )


def _measure(
    stage: Stage,
    distiller: Distiller,
    batches: TrainBatches,
    teacher: Teacher | None,
    said: _Said | None,
    arithmetic: loop.Arithmetic,
    steps: int,
) -> StagePlan:
    asks = bool(said) and any(term.needs_teacher for term in distiller.terms.values())
    optimizer = loop.make_optimizer(stage, distiller.trainable())
    distiller.train()
    shown = batches.epoch(0)
    laps: list[tuple[float, ...]] = []
    for _ in range(min(steps + 2, len(batches))):
        times = [_now(arithmetic.device)]
        batch = next(shown).to(arithmetic.device)
        times.append(_now(arithmetic.device))
        with torch.autocast(arithmetic.device.type, torch.bfloat16, enabled=arithmetic.half):
            if asks:
                assert said
                assert teacher
                said.output = teacher.answer(batch.with_made(turned=distiller.turned, strong=distiller.strong))
            times.append(_now(arithmetic.device))
            loss = distiller(batch)["total"]
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        times.append(_now(arithmetic.device))
        loop.update(loop.owners(distiller.trainable()), optimizer, stage.lr, arithmetic.clip)
        times.append(_now(arithmetic.device))
        laps.append(tuple(after - before for before, after in pairwise(times)))
    loading, asking, learning, updating = (median(lap) for lap in zip(*(laps[2:] or laps), strict=True))
    return StagePlan(stage.name, stage.epochs, len(batches), loading, asking, learning, updating)


def _now(device: torch.device) -> float:
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return time.perf_counter()
