"""Names to objects: the only place where the strings of a recipe become classes, networks and tables."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from dspkd import data, methods
from dspkd.data import class_map, leakage
from dspkd.data import split as splits
from dspkd.data.loader import Decode, TrainBatches
from dspkd.data.mixup import Mixing
from dspkd.data.sampling import class_draws
from dspkd.data.split import Split
from dspkd.data.table import Table
from dspkd.data.transforms import Augmentation, CentreCrop
from dspkd.errors import DataError, RecipeError, RunError
from dspkd.models import zoo
from dspkd.models.tapped import Tapped
from dspkd.recipes import schema
from dspkd.recipes.machine import MachineConfig
from dspkd.recipes.schema import Recipe
from dspkd.recipes.stage import StageConfig
from dspkd.runtime.cores import available_cores
from dspkd.runtime.distributed import SINGLE, World
from dspkd.runtime.seeds import seed_for
from dspkd.training.distiller import Distiller, Teacher
from dspkd.training.loop import StepConfig
from dspkd.training.teachers.cached import CachedTeacher
from dspkd.training.teachers.ensemble import EnsembleTeacher
from dspkd.training.teachers.frozen import FrozenTeacher

AnyTeacher = FrozenTeacher | EnsembleTeacher
M = TypeVar("M", bound=nn.Module)


def table(images: schema.DataConfig) -> Table:
    """Return the table of the images that a recipe names, in the classes that it wants."""
    found = data.read(images.layout, Path(images.path), group=images.group)
    return found if images.classes is None else class_map.load(Path(images.classes)).apply(found)


def split(wanted: schema.SplitConfig, images: Table) -> Split:
    """Return the split of `images` that the recipe asks for, made, or read from its file or its column.

    Raises
    ------
    DataError
        The file does not fit the images, a class has no training image, or a lesion or patient is in several parts and
        the recipe has no waiver.
    """
    if wanted.file is not None:
        made, where = splits.load(Path(wanted.file), images, by="image"), wanted.file
    elif wanted.column is not None:
        made, where = splits.from_column(images, wanted.column, by="image"), f"split.column = {wanted.column!r}"
    else:
        made = splits.split(images, val=wanted.val, test=wanted.test, seed=wanted.seed, by=wanted.by)
        where = f"split.by = {wanted.by!r}"
    leakage.accept(images, made, waiver=wanted.waiver, where=where)
    return made


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


def batches(
    wanted: Recipe,
    images: Table,
    rows: NDArray[np.int64],
    device: torch.device,
    *,
    decoded: Decode | None = None,
    world: World = SINGLE,
) -> TrainBatches:
    """Return what trains on these rows, as the recipe says; `decoded` and `ranks` as in `dspkd.data.loader`."""
    terms = [methods.find(term.method) for stage in wanted.stages for term in stage.terms]
    return TrainBatches(
        images,
        rows,
        augmentation(wanted.images),
        batch_size=wanted.train.batch_size,
        seed=wanted.seed,
        views=None if wanted.images.views == "fresh" else wanted.images.views,
        balance=wanted.train.balance,
        mixing=mixing(wanted.train),
        strong_aug=any(term.wants_strong_aug for term in terms),
        decoded=decoded,
        workers=workers(wanted.machine, device, world),
        pin=device.type == "cuda",
        world=world,
    )


def arithmetic(wanted: Recipe, device: torch.device, world: World = SINGLE) -> StepConfig:
    """Return how the recipe's steps are computed on `device`."""
    return StepConfig(
        device=device,
        bf16=bf16(wanted.train, device),
        compiled=compiles(wanted.machine, world),
        clip=wanted.train.clip,
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
    if not (run / "model.safetensors").exists():
        raise RunError(f"{run}: no finished run (no model.safetensors); make it with: dspkd train RECIPE --out {run}")
    made_by = schema.load(run / "recipe.toml")
    classes = tuple(json.loads((run / "data.json").read_text(encoding="utf-8"))["classes"])
    network = zoo.make(made_by.model.name, classes=len(classes), weights=str(run / "model.safetensors"))
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
    # What the student's own split lets cross, with a waiver, may cross here too, but no image may teach and judge.
    crossing = set(splits.crossing(images, parts))
    groups, ids = splits.trained_groups(run / "split.csv"), splits.trained_images(run / "split.csv")
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
            f"teacher {run}: was trained on {len(leaked)} of the lesions or patients that are to judge its student, "
            f"e.g. {leaked[0]}; split both runs alike (same data, split.seed, val and test), or give both split.file"
        )
    return FrozenTeacher(placed(network, device), network.spec, name=network.name)


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
    """Return the stage's objective; layers of its terms are initialised as every run with this seed does it.

    Terms are told the training images of each class, `class_counts`, and how many images of it an epoch shows with
    this `balance`. Layers that a term carries over are those of `earlier`, the objective of the stage before.

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


def cache(machine: MachineConfig) -> Path | None:
    """Return the folder of what runs share, or None for a recipe that wants nothing kept."""
    if machine.cache == "none":
        return None
    if machine.cache == "auto":
        return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "dspkd"
    return Path(machine.cache)


def workers(machine: MachineConfig, device: torch.device, world: World = SINGLE) -> int:
    """Return how many processes load images for this one."""
    if machine.workers != "auto":
        return machine.workers
    # Of a machine that is shared out, as by SLURM, a process may not use all cores.
    cores = available_cores()
    return 0 if device.type == "cpu" else max(min(cores // world.local_size - 1, 16), 0)


def bf16(train: schema.TrainConfig, device: torch.device) -> bool:
    """Return whether to compute in bfloat16, as the recipe says; `auto` does so on a GPU."""
    return train.precision == "bfloat16" or (train.precision == "auto" and device.type == "cuda")


def compiles(machine: MachineConfig, world: World = SINGLE) -> bool:
    """Return whether networks are compiled; `auto` leaves them as they are. RecipeError where several ranks are to."""
    if machine.compile is True and world.size > 1:
        raise RecipeError(
            f"machine.compile = true: {world.size} ranks normalise each batch together, which is not compiled; "
            "start one, or set it to false"
        )
    return machine.compile is True


def device(machine: MachineConfig, world: World = SINGLE) -> torch.device:
    """Return the device that the recipe asks for; `auto` takes a GPU where there is one. Each rank has its own GPU."""
    if world.size > 1 and machine.device in {"auto", "cuda"} and torch.cuda.is_available():
        if world.local_size > torch.cuda.device_count():
            raise RecipeError(
                f"{world.local_size} ranks on a machine with {torch.cuda.device_count()} GPUs, and each needs one; "
                'start as many as there are, or set machine.device = "cpu"'
            )
        return torch.device("cuda", world.local_rank)
    if world.size > 1 and machine.device.startswith("cuda:"):
        raise RecipeError(f'machine.device = {machine.device!r}: several ranks need a GPU each; set it to "cuda"')
    if machine.device == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        wanted = torch.device(machine.device)
        torch.empty(0, device=wanted).cpu()
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        raise RecipeError(f"machine.device = {machine.device!r}: {str(error).splitlines()[0]}") from None
    return wanted


def placed(network: M, device: torch.device) -> M:
    """Return the network on `device`, its weights laid out channels last, which convolutions compute faster."""
    return network.to(device).to(memory_format=torch.channels_last)
