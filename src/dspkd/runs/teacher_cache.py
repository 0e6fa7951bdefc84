"""Fills a teacher's cache with all that a recipe will ask."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from importlib.metadata import version

import torch
from torch import nn

from dspkd import methods
from dspkd.data.decode_cache import DECODER, fingerprints
from dspkd.data.loader import Key, TrainBatches
from dspkd.recipes.schema import Recipe
from dspkd.recipes.stage import StageConfig
from dspkd.runs import build
from dspkd.runs.context import RunContext
from dspkd.training.distiller import Distiller
from dspkd.training.progress import ProgressListener
from dspkd.training.teachers.cached import CacheCost, CachedTeacher, image_keys, stored_bytes
from dspkd.training.teachers.fields_read import fields_read
from dspkd.types import Batch, Output, derived_views


def wanted(recipe: Recipe) -> bool:
    """Return whether the recipe's teacher is to be asked about each image once only."""
    return bool(recipe.teachers) and recipe.images.views != "fresh" and any(map(_asks, recipe.stages))


def cached_teacher(
    recipe: Recipe,
    make: Callable[..., Distiller],
    student: nn.Module,
    inputs: RunContext,
    batches: TrainBatches,
    listener: ProgressListener,
) -> tuple[CachedTeacher, CacheCost]:
    """Return the teacher as one that reads its answers, once it has answered what is missing; and what they cost.

    Parameters
    ----------
    recipe
        The recipe.
    make
        Returns the objective of a stage, given the one before as `earlier`.
    student
        The network that will learn.
    inputs
        The live teacher, the table, and how to compute.
    batches
        Show the images.
    listener
        Is told what will be stored, and how it goes.

    Raises
    ------
    DataError, RunError
        See `CachedTeacher.fill`.
    """
    folder = build.cache(recipe.machine)
    teacher, device = inputs.teacher, inputs.device
    assert teacher, "a recipe is checked before it is run"
    assert folder, "a recipe is checked before it is run"
    rotated, strong_aug = _made(recipe)

    def show(views: Sequence[list[Key]]) -> Iterator[Batch]:
        for batch in batches.show(views):
            yield batch.to(device).with_derived(rotated=rotated, strong_aug=strong_aug)

    def ask(batch: Batch, of: build.AnyTeacher) -> Output:
        with torch.autocast(device.type, torch.bfloat16, enabled=inputs.bf16):
            return of.answer(batch)

    first_two = next(batches.show([batches.keys(0)[:2]])).to(device)
    fields = _fields(recipe, make, student, partial(ask, of=teacher), first_two)
    quick = teacher.compiled() if build.compiles(recipe.machine, inputs.world) else teacher
    about = {
        **build.augmentation(recipe.images).about,
        "made by": f"{DECODER}, torchvision {version('torchvision')}",
        "precision": "bfloat16" if inputs.bf16 else "float32",
    }

    def opened() -> CachedTeacher:
        images = image_keys(fingerprints(inputs.table.paths), inputs.table.ids)
        return CachedTeacher(teacher, fields, images, about, folder, maps=recipe.teacher_cache.maps)

    cached = inputs.world.on_all(opened)
    views = schedule(recipe, batches)
    cached.fill(
        views,
        show,
        derived=derived_views(rotated=rotated, strong_aug=strong_aug),
        batch_size=batches.batch_size,
        compute=partial(ask, of=quick),
        progress=listener.prepare,
        log=listener.note,
        world=inputs.world,
    )
    # Rank 0 has written down what its answers took; another rank might look before that.
    return cached, inputs.world.on_rank_zero(lambda: cached.cost(len(views)))


def bytes_of_an_answer(
    recipe: Recipe,
    make: Callable[..., Distiller],
    student: nn.Module,
    teacher: build.AnyTeacher,
    batches: TrainBatches,
    device: torch.device,
) -> float:
    """Return the bytes that a cache keeps for one image, those made from it included, by the answer to two."""
    rotated, strong_aug = _made(recipe)
    batch = next(batches.show([batches.keys(0)[:2]])).to(device)
    fields = _fields(recipe, make, student, teacher.answer, batch)
    answered = teacher.answer(batch.with_derived(rotated=rotated, strong_aug=strong_aug))
    return stored_bytes(answered, fields, recipe.teacher_cache.maps) / len(batch)


def _made(recipe: Recipe) -> tuple[bool, bool]:
    """Return whether the teacher is also asked about rotated images, and about strong ones."""
    terms = [methods.find(term.method) for stage in recipe.stages if _asks(stage) for term in stage.terms]
    return any(term.wants_rotated for term in terms), any(term.wants_strong_aug for term in terms)


def _asks(stage: StageConfig) -> bool:
    """Return whether the frozen teacher answers in this stage; a copy of it that learns does so in its stead."""
    return not stage.teacher_lr and any(methods.find(term.method).needs_teacher for term in stage.terms)


def schedule(recipe: Recipe, batches: TrainBatches) -> set[Key]:
    """Return the images about which the teacher will be asked."""
    shown: set[Key] = set()
    first = 0
    for stage in recipe.stages:
        if _asks(stage):
            shown.update(key for epoch in range(first, first + stage.epochs) for key in batches.keys(epoch))
        first += stage.epochs
    return shown


def _fields(
    recipe: Recipe, make: Callable[..., Distiller], student: nn.Module, ask: Callable[[Batch], Output], batch: Batch
) -> set[str]:
    """Return which parts of the teacher's answers the recipe's terms read."""
    fields: set[str] = set()
    earlier = None
    training = student.training
    for stage in recipe.stages:
        earlier = make(stage, earlier=earlier).to(batch.images.device)
        if _asks(stage):
            shown = batch.with_derived(rotated=earlier.rotated, strong_aug=earlier.strong_aug)
            with torch.no_grad():
                output = earlier.parted(student.eval()(shown.images))
            terms = earlier.terms.values()
            fields |= fields_read(terms, output, earlier.parted(ask(shown)), batch)  # type: ignore[arg-type]
    student.train(training)
    return fields
