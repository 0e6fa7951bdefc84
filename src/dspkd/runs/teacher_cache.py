"""Compute and cache all teacher outputs that a recipe needs."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import Self

import torch
from torch import nn

from dspkd import methods
from dspkd.data.decode_cache import DECODER, fingerprints
from dspkd.data.loader import Key, TrainBatches
from dspkd.data.table import Table
from dspkd.errors import RecipeError
from dspkd.methods import Term
from dspkd.recipes.schema import Recipe
from dspkd.recipes.stage import StageConfig
from dspkd.recipes.teacher import TeacherConfig
from dspkd.runs import build, hardware, unlabelled
from dspkd.runs.context import RunContext
from dspkd.runs.teaching import AnyTrainingTeacher
from dspkd.runtime.files import write_json
from dspkd.training.distiller import Distiller
from dspkd.training.teachers.cache_cost import CacheCost
from dspkd.training.teachers.cached import CachedTeacher, image_keys, stored_bytes
from dspkd.training.teachers.cross_fit import CrossFitTeacher
from dspkd.training.teachers.fields_read import fields_read
from dspkd.types import Batch, Output, derived_views

_PACKAGES = ("dspkd", "torch", "torchvision", "timm")
"""Packages whose versions are part of the cache's key: another one may compute other outputs."""


@dataclass(frozen=True)
class TeacherReads:
    """What terms read of a teacher's outputs.

    Attributes
    ----------
    fields
        ``logits``, ``pooled`` and names of maps.
    rotated, strong_aug
        Whether they also read the outputs for rotated, and for strongly augmented images.
    """

    fields: frozenset[str] = frozenset()
    rotated: bool = False
    strong_aug: bool = False

    def __or__(self, other: TeacherReads) -> TeacherReads:
        """Return what the terms of both read."""
        return TeacherReads(
            self.fields | other.fields, self.rotated or other.rotated, self.strong_aug or other.strong_aug
        )

    def save(self, path: Path) -> None:
        """Write it as JSON."""
        write_json(path, {"fields": sorted(self.fields), "rotated": self.rotated, "strong_aug": self.strong_aug})

    @classmethod
    def load(cls, path: Path) -> Self:
        """Read what `save` wrote; nothing is read where there is no file."""
        if not path.exists():
            return cls()
        saved = json.loads(path.read_text(encoding="utf-8"))
        return cls(frozenset(saved["fields"]), saved["rotated"], saved["strong_aug"])


def is_used(recipe: Recipe) -> bool:
    """Return whether the recipe's teacher outputs are cached: it has a teacher, and a fixed number of views."""
    return bool(recipe.teachers) and recipe.images.views != "fresh" and any(map(_uses_teacher, recipe.stages))


def cached_teacher(
    context: RunContext,
    teacher: AnyTrainingTeacher,
    make: Callable[..., Distiller],
    batches: TrainBatches,
    *,
    views: set[Key] | None = None,
    fields: frozenset[str] = frozenset(),
) -> tuple[CachedTeacher, CacheCost]:
    """Compute and cache missing teacher outputs; return a teacher that reads them, and the cost of computing all.

    What is missing is also computed for the other runs of a comparison, named in the run folder's
    ``shared_outputs.json``, so that one forward pass of the teacher serves all of them.

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
    views
        Those to cache; None for those of all epochs.
    fields
        Parts of the outputs to read besides those that terms read.

    Raises
    ------
    RecipeError
        Terms read maps, and CutMix pastes images.
    DataError, RunError
        See `CachedTeacher.fill`.
    """
    recipe, device, world = context.recipe, context.device, context.world
    folder = hardware.cache_folder(recipe.machine)
    assert folder, "`validate.check` refuses machine.cache = none"

    def forward(batch: Batch, of: AnyTrainingTeacher) -> Output:
        with torch.autocast(device.type, torch.bfloat16, enabled=context.bf16):
            return of.answer(batch)

    sized = context.train_batches(for_teacher=True) if build.larger(recipe) else batches
    first_two = next(sized.show([batches.keys(0)[:2]])).to(device)
    own = reads(recipe, make, context.student, partial(forward, of=teacher), first_two) | TeacherReads(fields)
    _refuse_pasted_maps(recipe, own)
    stored = world.on_rank_zero(lambda: own | TeacherReads.load(context.files.shared_outputs))
    shown = sized
    if stored.strong_aug and not own.strong_aug:
        shown = context.train_batches(for_teacher=True, strong_aug=True)

    def show(views: Sequence[list[Key]]) -> Iterator[Batch]:
        for batch in shown.show(views):
            yield batch.to(device).with_derived(rotated=stored.rotated, strong_aug=stored.strong_aug)

    teacher, settings = _reading(stored.fields, teacher, recipe.teacher)
    fast_teacher = teacher.compiled() if context.compiled else teacher
    about = {
        **build.augmentation(recipe.images).about,
        "made by": ", ".join([DECODER, *(f"{name} {version(name)}" for name in _PACKAGES)]),
        "precision": "bfloat16" if context.bf16 else "float32",
        **settings,
    }

    def open_cache() -> CachedTeacher:
        table = context.images
        names = _names(table, by_label=settings.get("teacher weights") == "label")
        images = image_keys(fingerprints(table.paths), names)
        return CachedTeacher(
            teacher, own.fields, images, about, folder, also=stored.fields, maps=recipe.teacher_cache.maps
        )

    cached = world.on_all(open_cache)
    views = schedule(recipe, batches) if views is None else views
    cached.fill(
        views,
        show,
        derived=derived_views(rotated=stored.rotated, strong_aug=stored.strong_aug),
        batch_size=batches.batch_size,
        compute=partial(forward, of=fast_teacher),
        progress=context.listener.prepare,
        log=context.listener.note,
        world=world,
    )
    # Rank 0 records the cost; another rank might read it too early.
    return cached, world.on_rank_zero(lambda: cached.cost(len(views)))


def _reading(
    fields: frozenset[str], teacher: AnyTrainingTeacher, config: TeacherConfig | None
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
    batch = next(batches.show([batches.keys(0)[:2]])).to(device)
    read = reads(recipe, make, student, teacher.answer, batch)
    output = teacher.answer(batch.with_derived(rotated=read.rotated, strong_aug=read.strong_aug))
    return stored_bytes(output, read.fields, recipe.teacher_cache.maps) / len(batch)


def _refuse_pasted_maps(recipe: Recipe, read: TeacherReads) -> None:
    """Refuse CutMix beside cached maps: each position of a map belongs to one of the two images, not to both."""
    maps = sorted(read.fields - {"logits", "pooled"})
    if recipe.train.cutmix and maps:
        raise RecipeError(
            f"train.cutmix = {recipe.train.cutmix:g}: terms read the teacher's cached maps ({', '.join(maps)}), and a "
            'pasted image has a map of neither; use train.mixup instead, or images.views = "fresh"'
        )


def reads_together(recipes: Sequence[Recipe]) -> TeacherReads:
    """Return what the terms of several recipes read of their teacher; they have the same data, images and teacher.

    Two images are decoded, and both networks compute their outputs for them on the CPU.

    Raises
    ------
    RecipeError, DataError, RunError, WeightsError
        As training would.
    """
    device = torch.device("cpu")
    dataset = build.load_data(recipes[0])
    rows = dataset.split.rows("train")
    teacher = build.evaluated_teacher(recipes[0], dataset.table, dataset.split, device)
    assert teacher, "see `is_used`"
    counts = tuple(images for images, _ in dataset.table.take(rows).counts().values())
    together = TeacherReads()
    for recipe in recipes:
        student = build.student(recipe.model, len(dataset.table.classes), seed=recipe.seed)
        batches = build.train_batches(recipe, dataset.table, rows, device)
        make = partial(
            build.distiller,
            student=student,
            teacher=teacher,
            class_counts=counts,
            seed=recipe.seed,
            balance=recipe.train.balance,
        )
        together |= reads(recipe, make, student, teacher.answer, next(batches.show([batches.keys(0)[:2]])))
    return together


def _uses_teacher(stage: StageConfig) -> bool:
    """Return whether this stage uses the frozen teacher, not a trainable copy of it."""
    return not stage.teacher_lr and any(methods.find(term.method).needs_teacher for term in stage.terms)


def schedule(recipe: Recipe, batches: TrainBatches) -> set[Key]:
    """Return the views of all epochs whose teacher outputs are needed."""
    views: set[Key] = set()
    first = 0
    for stage in recipe.stages:
        if _uses_teacher(stage):
            beside = unlabelled.learns(stage)
            for epoch in range(first, first + stage.epochs):
                views.update(batches.keys(epoch, unlabelled=beside))
        first += stage.epochs
    return views


def reads(
    recipe: Recipe, make: Callable[..., Distiller], student: nn.Module, forward: Callable[[Batch], Output], batch: Batch
) -> TeacherReads:
    """Return what the recipe's terms read of the teacher's outputs, found by one call of each stage."""
    read = TeacherReads()
    earlier = None
    training = student.training
    for stage in recipe.stages:
        earlier = make(stage, earlier=earlier).to(batch.images.device)
        if _uses_teacher(stage):
            views = batch.with_derived(rotated=earlier.rotated, strong_aug=earlier.strong_aug)
            with torch.no_grad():
                output = earlier.parted(student.eval()(views.images))
            terms: Iterable[Term] = earlier.terms.values()  # type: ignore[assignment]
            fields = fields_read(terms, output, earlier.parted(forward(views)), batch)
            read |= TeacherReads(frozenset(fields), earlier.rotated, earlier.strong_aug)
    student.train(training)
    return read
