"""Names to objects: the only place where the words of a recipe become classes, networks and data."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn
from torch.utils.data import DataLoader

from dspkd import data, methods
from dspkd.data import split as splits
from dspkd.data.decode_cache import DecodeCache
from dspkd.data.loader import Decode, TrainBatches, in_order
from dspkd.data.mixup import Mixing
from dspkd.data.sampling import class_draws
from dspkd.data.split import Split
from dspkd.data.table import Table
from dspkd.data.transforms import Augmentation, CentreCrop
from dspkd.errors import DataError, RecipeError, RunError
from dspkd.models import zoo
from dspkd.models.tapped import Tapped
from dspkd.recipes import schema
from dspkd.recipes.schema import Recipe
from dspkd.recipes.stage import StageConfig
from dspkd.runs import hardware
from dspkd.runs.files import RunFiles
from dspkd.runtime.distributed import SINGLE, World
from dspkd.runtime.seeds import seed_for
from dspkd.training.distiller import Distiller, Teacher
from dspkd.training.loop import StepConfig
from dspkd.training.progress import NullProgress, ProgressListener
from dspkd.training.teachers.cached import CachedTeacher
from dspkd.training.teachers.ensemble import EnsembleTeacher
from dspkd.training.teachers.frozen import FrozenTeacher
from dspkd.types import Batch

AnyTeacher = FrozenTeacher | EnsembleTeacher


def data_options(recipe: Recipe) -> dict[str, Any]:
    """Return the arguments with which `dspkd.data.load` reads the recipe's images, without their split."""
    return {
        "path": Path(recipe.data.path),
        "layout": recipe.data.layout,
        "group": recipe.data.group,
        "classes": None if recipe.data.classes is None else Path(recipe.data.classes),
    }


def split_options(recipe: Recipe) -> data.SplitOptions:
    """Return how the recipe splits its images."""
    return data.SplitOptions(**asdict(recipe.split))


def load_data(recipe: Recipe) -> data.Dataset:
    """Return the recipe's images and their split.

    Raises
    ------
    DataError
        See `dspkd.data.load`.
    """
    return data.load(**data_options(recipe), split=split_options(recipe))


def augmentation(images: schema.ImagesConfig) -> Augmentation:
    """Return what makes training images."""
    return Augmentation(
        size=images.size,
        min_area=images.min_area,
        rotation=images.rotation,
        flips=images.flips,
        num_ops=images.randaugment.num_ops,
        magnitude=images.randaugment.magnitude,
        erasing=images.erasing,
        artefacts=images.artefacts,
    )


def train_batches(
    recipe: Recipe,
    table: Table,
    rows: NDArray[np.int64],
    device: torch.device,
    *,
    decoded: Decode | None = None,
    world: World = SINGLE,
) -> TrainBatches:
    """Return the training batches of these rows; `decoded` and `world` as in `dspkd.data.loader`."""
    terms = [methods.find(term.method) for stage in recipe.stages for term in stage.terms]
    return TrainBatches(
        table,
        rows,
        augmentation(recipe.images),
        batch_size=recipe.train.batch_size,
        seed=recipe.seed,
        views=None if recipe.images.views == "fresh" else recipe.images.views,
        balance=recipe.train.balance,
        mixing=mixing(recipe.train),
        strong_aug=any(term.wants_strong_aug for term in terms),
        decoded=decoded,
        workers=hardware.workers(recipe.machine, device, world),
        pin=device.type == "cuda",
        world=world,
    )


def eval_loader(
    recipe: Recipe,
    table: Table,
    rows: Sequence[int] | NDArray[np.int64],
    device: torch.device,
    *,
    decoded: Decode | None = None,
    listener: ProgressListener | None = None,
    world: World = SINGLE,
) -> DataLoader[Batch]:
    """Return the images of these rows for evaluation, in order: the one loader of every evaluation.

    It has the recipe's loader processes and pinned memory. Without `decoded`, images are decoded into the recipe's
    cache, as for training, which `listener` follows; where the recipe caches nothing, each is decoded when needed.
    """
    crop = centre_crop(recipe.images)
    folder = hardware.cache_folder(recipe.machine)
    if decoded is None and folder is not None:
        listener = listener or NullProgress()
        decoded = DecodeCache(
            table,
            rows,
            crop.decode_side,
            folder,
            artefacts=crop.artefacts,
            progress=listener.prepare,
            log=listener.note,
        )
    return in_order(
        table,
        rows,
        crop,
        batch_size=recipe.train.batch_size,
        decoded=decoded,
        workers=hardware.workers(recipe.machine, device, world),
        pin=device.type == "cuda",
        world=world,
    )


def step_config(recipe: Recipe, device: torch.device, world: World = SINGLE) -> StepConfig:
    """Return how the recipe's training steps are computed on `device`."""
    return StepConfig(
        device=device,
        bf16=hardware.bf16(recipe.train, device),
        compiled=hardware.compiles(recipe.machine, world),
        clip=recipe.train.clip,
        world=world,
    )


def centre_crop(images: schema.ImagesConfig) -> CentreCrop:
    """Return what makes the images by which a network is judged."""
    return CentreCrop(size=images.size, artefacts=images.artefacts)


def mixing(train: schema.TrainConfig) -> Mixing | None:
    """Return what mixes the images of a batch, or None for a recipe that leaves them single."""
    return Mixing(mixup=train.mixup, cutmix=train.cutmix) if train.mixup or train.cutmix else None


def student(model: schema.ModelConfig, classes: int, *, seed: int) -> Tapped:
    """Return the network that learns, initialised as every run with this seed initialises it."""
    torch.manual_seed(seed_for(seed, "student"))
    return zoo.make(model.name, classes=classes, weights=model.weights)


def trained(run: Path) -> tuple[Tapped, Recipe, tuple[str, ...]]:
    """Return the network of a finished run, its recipe, and its classes.

    Raises
    ------
    RunError
        There is no finished run in the folder.
    """
    files = RunFiles(run)
    if not files.weights.exists():
        raise RunError(f"{run}: no finished run (no model.safetensors); make it with: dspkd train RECIPE --out {run}")
    made_by = schema.load(files.recipe)
    classes = tuple(json.loads(files.data.read_text(encoding="utf-8"))["classes"])
    network = zoo.make(made_by.model.name, classes=len(classes), weights=str(files.weights))
    return network, made_by, classes


def teacher(runs: Sequence[str], images: Table, parts: Split, device: torch.device) -> AnyTeacher | None:
    """Return the networks of these finished runs as one teacher for these images; None where there are no runs.

    Raises
    ------
    RunError
        A run is not finished.
    DataError
        It has other classes, or in another order, or was trained on lesions by which the student is to be judged.
    """
    members = [_member(Path(run), images, parts, device) for run in runs]
    return members[0] if len(members) == 1 else EnsembleTeacher(members) if members else None


def _member(run: Path, images: Table, parts: Split, device: torch.device) -> FrozenTeacher:
    network, _, classes = trained(run)
    if classes != images.classes:
        raise DataError(
            f"teacher {run}: its classes are {', '.join(classes)}; the data's are {', '.join(images.classes)}; "
            'data.classes = "FILE" renames, merges, drops and orders them'
        )
    # A group that the student's own split has in several parts, with a waiver, may be so here too; an image may not.
    crossing = set(splits.crossing(images, parts))
    groups, ids = splits.trained_groups(RunFiles(run).split), splits.trained_images(RunFiles(run).split)
    leaked = sorted(
        {
            group
            for part in ("val", "test")
            for row in parts.places(part)
            if (group := images.groups[row]) in groups and (group not in crossing or images.ids[row] in ids)
        }
    )
    if leaked:
        raise DataError(
            f"teacher {run}: was trained on {len(leaked)} lesions or patients of its student's validation or test set, "
            f"e.g. {leaked[0]}; give both runs the same data and [split], or both the same split.file"
        )
    return FrozenTeacher(hardware.placed(network, device), network.spec, name=network.name)


def distiller(
    stage: StageConfig,
    learner: Tapped,
    teacher: Teacher | None,
    class_counts: tuple[int, ...],
    *,
    seed: int,
    balance: float,
    earlier: Distiller | None = None,
) -> Distiller:
    """Return the stage's objective; `seed` and the stage's name determine the initial layers of its terms.

    Terms know the number of training images of each class, `class_counts`, and how many an epoch draws with this
    `balance`. Layers that a term carries over are those of `earlier`, the objective of the stage before.

    Raises
    ------
    RecipeError
        A term does not fit the networks, its layers do not fit those that it carries over, or the teacher cannot learn.
    """
    torch.manual_seed(seed_for(seed, stage.name, "terms"))
    draws = tuple(class_draws(np.array(class_counts, dtype=np.int64), balance=balance).tolist())
    spec = replace(learner.spec, class_counts=class_counts, class_draws=draws)
    shapes = (spec, teacher.spec if teacher else None)
    made = [methods.find(term.method)(*shapes, **term.options) for term in stage.terms]
    weights = [term.weight for term in stage.terms]
    ramps = {name: term.ramp.share for name, term in zip(stage.part_names, stage.terms, strict=True) if term.ramp}
    parts = list(zip(stage.part_names, weights, made, strict=True))
    whole = Distiller(learner, teacher, parts, ramps, _trainable_copy(teacher, stage) if stage.teacher_lr else None)
    for name in stage.carried:
        assert earlier is not None, "a recipe is checked before it is built"
        try:
            whole.terms[name].load_state_dict(earlier.terms[name].state_dict())
        except RuntimeError:
            raise RecipeError(
                f"stage {stage.name!r}: the layers of {name!r} have other shapes than those of the stage before, which "
                "carry = true takes over; give both the same options"
            ) from None
    return whole


def _trainable_copy(teacher: Teacher | None, stage: StageConfig) -> nn.Module:
    if isinstance(teacher, CachedTeacher):
        teacher = teacher.live
    if not isinstance(teacher, FrozenTeacher):
        raise RecipeError(f"stage {stage.name!r}: teacher_lr: one network can learn, not an ensemble; name one teacher")
    return teacher.trainable_copy()
