"""From a recipe's settings to data, networks and objectives; no other module does that."""

from __future__ import annotations

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
from dspkd.data.loader import Decode, Larger, TrainBatches, in_order
from dspkd.data.mixup import Mixing
from dspkd.data.sampling import class_draws
from dspkd.data.split import Split
from dspkd.data.table import Table
from dspkd.data.transforms import Augmentation, CentreCrop
from dspkd.errors import DataError, RecipeError
from dspkd.models import zoo
from dspkd.models.tapped import Tapped
from dspkd.recipes import schema
from dspkd.recipes.schema import Recipe
from dspkd.recipes.stage import StageConfig
from dspkd.runs import class_priors, hardware, seen_images, void_terms
from dspkd.runs.run_folder import Run
from dspkd.runtime.distributed import SINGLE, World
from dspkd.runtime.seeds import seed_for
from dspkd.training.distiller import Distiller, Teacher
from dspkd.training.progress import NullProgress, ProgressListener
from dspkd.training.teachers.cached import CachedTeacher
from dspkd.training.teachers.ensemble import EnsembleTeacher, Weights
from dspkd.training.teachers.frozen import FrozenTeacher
from dspkd.types import Batch

AnyTeacher = FrozenTeacher | EnsembleTeacher
"""A teacher that computes its outputs."""


def data_options(recipe: Recipe) -> dict[str, Any]:
    """Return the arguments of `dspkd.data.load` for the recipe's images, without their split."""
    return {
        "path": Path(recipe.data.path),
        "layout": recipe.data.layout,
        "group": recipe.data.group,
        "columns": data.Columns(**asdict(recipe.data.columns)),
        "licences": recipe.data.licences,
        "classes": None if recipe.data.classes is None else Path(recipe.data.classes),
        "merge_copies": recipe.data.merge_copies,
    }


def load_data(recipe: Recipe) -> data.Dataset:
    """Return the recipe's images and their split; errors as for `dspkd.data.load_table` and `divided`."""
    return divided(recipe, data.load_table(**data_options(recipe)))


def divided(recipe: Recipe, table: Table) -> data.Dataset:
    """Return a table with the recipe's split.

    Raises
    ------
    DataError
        A part is empty, a class cannot be trained, or the initial weights were trained on validation or test images.
    RecipeError
        A term teaches nothing about so many classes.
    """
    void_terms.refuse(recipe, len(table.classes))
    terms = [term for stage in recipe.stages for term in stage.terms]
    if table.soft_labels is None and any(term.options.get("soft_labels") for term in terms):
        raise DataError(f"{table.root}: gives each image one class and no weights; leave out soft_labels = true")
    dataset = data.Dataset.of(table, data.SplitOptions(**asdict(recipe.split)))
    splits.require_training_images(table, dataset.split)
    splits.require_no_empty_part(table, dataset.split)
    seen_images.require_unseen_before(recipe, table, dataset.split)
    return dataset


def augmentation(images: schema.ImagesConfig) -> Augmentation:
    """Return the transform of training images."""
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
    unlabelled: NDArray[np.int64] | None = None,
    strong_aug: bool = False,
    decoded: Decode | None = None,
    larger: Larger | None = None,
    world: World = SINGLE,
) -> TrainBatches:
    """Return the training batches of these rows; other arguments as in `dspkd.data.loader`.

    They have strongly augmented images where a term needs them, or with `strong_aug`.
    """
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
        strong_aug=strong_aug or any(term.wants_strong_aug for term in terms),
        decoded=decoded,
        larger=larger,
        workers=hardware.workers(recipe.machine, device, world),
        pin=device.type == "cuda",
        world=world,
        unlabelled=unlabelled,
        ratio=recipe.data.unlabelled_ratio,
    )


def larger(recipe: Recipe, decoded: Decode | None = None) -> Larger | None:
    """Return the second size of training images, which the teacher sees; None where it is the student's."""
    size = recipe.seen_by_teacher.images.size
    return Larger(size, decoded) if size != recipe.images.size else None


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
    """Return a loader of these rows for evaluation, in order. Every evaluation uses this one.

    Loader processes are the recipe's. Without `decoded`, images are first decoded into the recipe's cache, as for
    training, with progress to `listener`; where the recipe caches nothing, each is decoded when needed.
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


def centre_crop(images: schema.ImagesConfig) -> CentreCrop:
    """Return the transform of images for evaluation and prediction."""
    return CentreCrop(size=images.size, artefacts=images.artefacts)


def mixing(train: schema.TrainConfig) -> Mixing | None:
    """Return the mixing of a batch's images (MixUp, CutMix); None where the recipe mixes none."""
    return Mixing(mixup=train.mixup, cutmix=train.cutmix) if train.mixup or train.cutmix else None


def student(model: schema.ModelConfig, classes: int, *, seed: int) -> Tapped:
    """Return the student with its initial weights, which depend on `seed` alone."""
    torch.manual_seed(seed_for(seed, "student"))
    return zoo.make(model.name, classes=classes, weights=model.weights, partial_weights=model.partial_weights)


def teacher(
    runs: Sequence[str],
    images: Table,
    parts: Split,
    device: torch.device,
    *,
    views: int = 1,
    weights: Weights = "mean",
) -> AnyTeacher | None:
    """Return the networks of finished runs as one frozen teacher for these images; None where `runs` is empty.

    `views` and `weights` as for `FrozenTeacher` and `EnsembleTeacher`.

    Raises
    ------
    RunError
        A run is not finished.
    DataError
        A run has other classes or another order of them, or it or a run that its weights or teachers are from was
        trained on lesions of the student's validation or test set.
    """
    members = [_member(Path(run), images, parts, device).averaging(views) for run in runs]
    return members[0] if len(members) == 1 else EnsembleTeacher(members, weights) if members else None


def evaluated_teacher(recipe: Recipe, table: Table, split: Split, device: torch.device) -> AnyTeacher | None:
    """Return the recipe's teacher of all training images, for images of any set; None where it has none.

    Weights by the label are for training: in evaluation all weigh the same. Raises as `teacher` does.
    """
    if not (config := recipe.teacher):
        return None
    weights: Weights = "mean" if config.weights == "label" else config.weights
    return teacher(config.run, table, split, device, views=config.views, weights=weights)


def _member(run: Path, images: Table, parts: Split, device: torch.device) -> FrozenTeacher:
    made_by = Run(run)
    network, classes = made_by.model, made_by.classes
    if classes != images.classes:
        raise DataError(
            f"teacher {run}: its classes are {', '.join(classes)}; the data's are {', '.join(images.classes)}; "
            'data.classes = "FILE" renames, merges, drops and orders them'
        )
    seen_images.require_unseen(f"teacher {run}", run, "its student's", images, parts)
    seen_images.require_unseen_before(made_by.recipe, images, parts, teacher=run)
    spec = replace(network.spec, class_prior=class_priors.of_run(made_by, network.spec))
    return FrozenTeacher(hardware.placed(network, device), spec, name=network.name)


def distiller(
    stage: StageConfig,
    student: Tapped,
    teacher: Teacher | None,
    class_counts: tuple[int, ...],
    *,
    seed: int,
    balance: float,
    earlier: Distiller | None = None,
) -> Distiller:
    """Return the stage's objective; `seed` and the stage's name determine the initial layers of its terms.

    Terms know the number of training images of each class, `class_counts`, and how many an epoch draws with this
    `balance`. A term with ``carry`` takes over its layers from `earlier`, the objective of the stage before.

    Raises
    ------
    RecipeError
        A term does not fit the networks, its layers do not fit those that it carries over, or the teacher cannot learn.
    """
    torch.manual_seed(seed_for(seed, stage.name, "terms"))
    draws = tuple(class_draws(np.array(class_counts, dtype=np.int64), balance=balance).tolist())
    spec = replace(student.spec, class_counts=class_counts, class_draws=draws)
    shapes = (spec, teacher.spec if teacher else None)
    terms = [methods.find(term.method)(*shapes, **term.options) for term in stage.terms]
    weights = [term.weight for term in stage.terms]
    ramps = {name: ramp.share for name, ramp in stage.ramps.items()}
    weighted = list(zip(stage.part_names, weights, terms, strict=True))
    trainable_copy = _trainable_copy(teacher, stage) if stage.teacher_lr else None
    shares = {name: term.share for name, term in zip(stage.part_names, stage.terms, strict=True) if term.share}
    objective = Distiller(student, teacher, weighted, ramps, trainable_copy, shares)
    for name in stage.carried:
        assert earlier is not None, "`validate.check` refuses carry = true in the first stage"
        try:
            objective.terms[name].load_state_dict(earlier.terms[name].state_dict())
        except RuntimeError:
            raise RecipeError(
                f"stage {stage.name!r}: the layers of {name!r} have other shapes than those of the stage before, which "
                "carry = true takes over; give both the same options"
            ) from None
    return objective


def _trainable_copy(teacher: Teacher | None, stage: StageConfig) -> nn.Module:
    if isinstance(teacher, CachedTeacher):
        teacher = teacher.live
    if not isinstance(teacher, FrozenTeacher):
        raise RecipeError(f"stage {stage.name!r}: teacher_lr: one network can learn; name the run of one teacher")
    return teacher.trainable_copy()
