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
from dspkd.data.table import Table
from dspkd.recipes.schema import Recipe
from dspkd.recipes.stage import StageConfig
from dspkd.recipes.teacher import TeacherConfig
from dspkd.runs import build, hardware
from dspkd.runs.context import RunContext
from dspkd.runs.teaching import AnyTrainingTeacher
from dspkd.training.distiller import Distiller
from dspkd.training.teachers.cached import CacheCost, CachedTeacher, image_keys, stored_bytes
from dspkd.training.teachers.cross_fit import CrossFitTeacher
from dspkd.training.teachers.fields_read import fields_read
from dspkd.types import Batch, Output, derived_views

_PACKAGES = ("dspkd", "torch", "torchvision", "timm")
"""Packages whose versions are part of the cache's key: another one may compute other outputs."""


def is_used(recipe: Recipe) -> bool:
    """Return whether the recipe's teacher outputs are cached: it has a teacher, and a fixed number of views."""
    return bool(recipe.teachers) and recipe.images.views != "fresh" and any(map(_uses_teacher, recipe.stages))


def cached_teacher(
    context: RunContext, teacher: AnyTrainingTeacher, make: Callable[..., Distiller], batches: TrainBatches
) -> tuple[CachedTeacher, CacheCost]:
    """Compute and cache missing teacher outputs; return a teacher that reads them, and the cost of computing all.

    Parameters
    ----------
    context
        The run, with the recipe and the images.
    teacher
        The teacher that answers in training.
    make
        Returns the objective of a stage, given that of the stage before as `earlier`.
    batches
        The training batches.

    Raises
    ------
    DataError, RunError
        See `CachedTeacher.fill`.
    """
    recipe, device, world = context.recipe, context.device, context.world
    folder = hardware.cache_folder(recipe.machine)
    assert folder, "`validate.check` refuses machine.cache = none"
    rotated, strong_aug = _derived(recipe)
    shown = context.train_batches(for_teacher=True) if build.larger(recipe) else batches

    def show(views: Sequence[list[Key]]) -> Iterator[Batch]:
        for batch in shown.show(views):
            yield batch.to(device).with_derived(rotated=rotated, strong_aug=strong_aug)

    def forward(batch: Batch, of: AnyTrainingTeacher) -> Output:
        with torch.autocast(device.type, torch.bfloat16, enabled=context.bf16):
            return of.answer(batch)

    first_two = next(shown.show([batches.keys(0)[:2]])).to(device)
    read = fields(recipe, make, context.student, partial(forward, of=teacher), first_two)
    teacher, settings = _reading(read, teacher, recipe.teacher)
    fast_teacher = teacher.compiled() if context.compiled else teacher
    about = {
        **build.augmentation(recipe.images).about,
        "made by": ", ".join([DECODER, *(f"{name} {version(name)}" for name in _PACKAGES)]),
        "precision": "bfloat16" if context.bf16 else "float32",
        **settings,
    }

    def open_cache() -> CachedTeacher:
        names = _names(context.table, by_label=settings.get("teacher weights") == "label")
        images = image_keys(fingerprints(context.table.paths), names)
        return CachedTeacher(teacher, read, images, about, folder, maps=recipe.teacher_cache.maps)

    cached = world.on_all(open_cache)
    views = schedule(recipe, batches)
    cached.fill(
        views,
        show,
        derived=derived_views(rotated=rotated, strong_aug=strong_aug),
        batch_size=batches.batch_size,
        compute=partial(forward, of=fast_teacher),
        progress=context.listener.prepare,
        log=context.listener.note,
        world=world,
    )
    # Rank 0 records the cost; another rank might read it too early.
    return cached, world.on_rank_zero(lambda: cached.cost(len(views)))


def _reading(
    fields: set[str], teacher: AnyTrainingTeacher, config: TeacherConfig | None
) -> tuple[AnyTrainingTeacher, dict[str, object]]:
    """Return the teacher without the passes that these fields do not need, and its settings for the cache's key.

    Settings at their defaults are left out of the key, so that caches filled before there were any still match.
    """
    assert config, "see `is_used`"
    settings: dict[str, object] = {"teacher size": config.size} if config.size else {}
    if config.weights != "mean":
        settings["teacher weights"] = config.weights
    if config.views > 1 and fields & {"logits", "pooled"}:
        settings["teacher views"] = config.views
    elif config.views > 1:
        teacher = teacher.averaging(1)
    if isinstance(teacher, CrossFitTeacher) and fields <= {"logits"}:
        teacher = teacher.without_features()
    return teacher, settings


def _names(table: Table, *, by_label: bool) -> Sequence[str]:
    """Return each image's ID, with its label where the teacher's output depends on that."""
    return [f"{name} {label}" for name, label in zip(table.ids, table.labels, strict=True)] if by_label else table.ids


def bytes_of_an_output(
    recipe: Recipe,
    make: Callable[..., Distiller],
    student: nn.Module,
    teacher: AnyTrainingTeacher,
    batches: TrainBatches,
    device: torch.device,
) -> float:
    """Return the bytes cached for one view and the views derived from it, measured on two images."""
    rotated, strong_aug = _derived(recipe)
    batch = next(batches.show([batches.keys(0)[:2]])).to(device)
    read = fields(recipe, make, student, teacher.answer, batch)
    output = teacher.answer(batch.with_derived(rotated=rotated, strong_aug=strong_aug))
    return stored_bytes(output, read, recipe.teacher_cache.maps) / len(batch)


def _derived(recipe: Recipe) -> tuple[bool, bool]:
    """Return whether terms read teacher outputs for rotated, and for strongly augmented views."""
    terms = [methods.find(term.method) for stage in recipe.stages if _uses_teacher(stage) for term in stage.terms]
    return any(term.wants_rotated for term in terms), any(term.wants_strong_aug for term in terms)


def _uses_teacher(stage: StageConfig) -> bool:
    """Return whether this stage uses the frozen teacher, not a trainable copy of it."""
    return not stage.teacher_lr and any(methods.find(term.method).needs_teacher for term in stage.terms)


def schedule(recipe: Recipe, batches: TrainBatches) -> set[Key]:
    """Return the views of all epochs whose teacher outputs are needed."""
    views: set[Key] = set()
    first = 0
    for stage in recipe.stages:
        if _uses_teacher(stage):
            views.update(key for epoch in range(first, first + stage.epochs) for key in batches.keys(epoch))
        first += stage.epochs
    return views


def fields(
    recipe: Recipe, make: Callable[..., Distiller], student: nn.Module, forward: Callable[[Batch], Output], batch: Batch
) -> set[str]:
    """Return the fields of the teacher's outputs that the recipe's terms read, found by one call of each stage."""
    read: set[str] = set()
    earlier = None
    training = student.training
    for stage in recipe.stages:
        earlier = make(stage, earlier=earlier).to(batch.images.device)
        if _uses_teacher(stage):
            views = batch.with_derived(rotated=earlier.rotated, strong_aug=earlier.strong_aug)
            with torch.no_grad():
                output = earlier.parted(student.eval()(views.images))
            terms = earlier.terms.values()
            read |= fields_read(terms, output, earlier.parted(forward(views)), batch)  # type: ignore[arg-type]
    student.train(training)
    return read
