"""Compute and cache all teacher outputs that a recipe needs."""

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
from dspkd.runs import build, hardware
from dspkd.runs.context import RunContext
from dspkd.training.distiller import Distiller
from dspkd.training.teachers.cached import CacheCost, CachedTeacher, image_keys, stored_bytes
from dspkd.training.teachers.fields_read import fields_read
from dspkd.types import Batch, Output, derived_views


def wanted(recipe: Recipe) -> bool:
    """Return whether the recipe's teacher outputs are cached: it has a teacher, and a fixed number of views."""
    return bool(recipe.teachers) and recipe.images.views != "fresh" and any(map(_uses_teacher, recipe.stages))


def cached_teacher(
    context: RunContext, make: Callable[..., Distiller], batches: TrainBatches
) -> tuple[CachedTeacher, CacheCost]:
    """Return the teacher as one that reads its cached outputs, and what computing them cost; missing ones are computed.

    Parameters
    ----------
    context
        The recipe, the frozen teacher, the images, and how to compute.
    make
        Returns the objective of a stage, given the one before as `earlier`.
    batches
        The training batches.

    Raises
    ------
    DataError, RunError
        See `CachedTeacher.fill`.
    """
    recipe, teacher, device, world = context.recipe, context.teacher, context.device, context.world
    folder = hardware.cache_folder(recipe.machine)
    assert teacher, "a recipe is checked before it is run"
    assert folder, "a recipe is checked before it is run"
    rotated, strong_aug = _derived(recipe)

    def show(views: Sequence[list[Key]]) -> Iterator[Batch]:
        for batch in batches.show(views):
            yield batch.to(device).with_derived(rotated=rotated, strong_aug=strong_aug)

    def forward(batch: Batch, of: build.AnyTeacher) -> Output:
        with torch.autocast(device.type, torch.bfloat16, enabled=context.bf16):
            return of.answer(batch)

    first_two = next(batches.show([batches.keys(0)[:2]])).to(device)
    fields = _fields(recipe, make, context.student, partial(forward, of=teacher), first_two)
    quick = teacher.compiled() if context.compiled else teacher
    about = {
        **build.augmentation(recipe.images).about,
        "made by": f"{DECODER}, torchvision {version('torchvision')}",
        "precision": "bfloat16" if context.bf16 else "float32",
    }

    def opened() -> CachedTeacher:
        images = image_keys(fingerprints(context.table.paths), context.table.ids)
        return CachedTeacher(teacher, fields, images, about, folder, maps=recipe.teacher_cache.maps)

    cached = world.on_all(opened)
    views = schedule(recipe, batches)
    cached.fill(
        views,
        show,
        derived=derived_views(rotated=rotated, strong_aug=strong_aug),
        batch_size=batches.batch_size,
        compute=partial(forward, of=quick),
        progress=context.listener.prepare,
        log=context.listener.note,
        world=world,
    )
    # Rank 0 has recorded the cost; another rank might read it too early.
    return cached, world.on_rank_zero(lambda: cached.cost(len(views)))


def bytes_of_an_output(
    recipe: Recipe,
    make: Callable[..., Distiller],
    student: nn.Module,
    teacher: build.AnyTeacher,
    batches: TrainBatches,
    device: torch.device,
) -> float:
    """Return the bytes that are cached for one view, those derived from it included, measured on two."""
    rotated, strong_aug = _derived(recipe)
    batch = next(batches.show([batches.keys(0)[:2]])).to(device)
    fields = _fields(recipe, make, student, teacher.answer, batch)
    answered = teacher.answer(batch.with_derived(rotated=rotated, strong_aug=strong_aug))
    return stored_bytes(answered, fields, recipe.teacher_cache.maps) / len(batch)


def _derived(recipe: Recipe) -> tuple[bool, bool]:
    """Return whether the teacher also computes rotated, and strongly augmented, views."""
    terms = [methods.find(term.method) for stage in recipe.stages if _uses_teacher(stage) for term in stage.terms]
    return any(term.wants_rotated for term in terms), any(term.wants_strong_aug for term in terms)


def _uses_teacher(stage: StageConfig) -> bool:
    """Return whether this stage uses the frozen teacher, and not a trainable copy of it."""
    return not stage.teacher_lr and any(methods.find(term.method).needs_teacher for term in stage.terms)


def schedule(recipe: Recipe, batches: TrainBatches) -> set[Key]:
    """Return the views whose teacher outputs are needed."""
    shown: set[Key] = set()
    first = 0
    for stage in recipe.stages:
        if _uses_teacher(stage):
            shown.update(key for epoch in range(first, first + stage.epochs) for key in batches.keys(epoch))
        first += stage.epochs
    return shown


def _fields(
    recipe: Recipe, make: Callable[..., Distiller], student: nn.Module, forward: Callable[[Batch], Output], batch: Batch
) -> set[str]:
    """Return which fields of the teacher's outputs the recipe's terms read."""
    fields: set[str] = set()
    earlier = None
    training = student.training
    for stage in recipe.stages:
        earlier = make(stage, earlier=earlier).to(batch.images.device)
        if _uses_teacher(stage):
            shown = batch.with_derived(rotated=earlier.rotated, strong_aug=earlier.strong_aug)
            with torch.no_grad():
                output = earlier.parted(student.eval()(shown.images))
            terms = earlier.terms.values()
            fields |= fields_read(terms, output, earlier.parted(forward(shown)), batch)  # type: ignore[arg-type]
    student.train(training)
    return fields
