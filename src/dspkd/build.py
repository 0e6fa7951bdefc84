"""Names to objects: the only place where the strings of a recipe become classes, networks and tables."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import TypeVar

import torch
from torch import nn

from dspkd import data, methods, recipe
from dspkd.data import artefacts
from dspkd.data import split as splits
from dspkd.data.mixing import Mixing
from dspkd.data.split import Split
from dspkd.data.table import Table
from dspkd.data.transforms import Augmentation, CentreCrop
from dspkd.distiller import Distiller, Teacher
from dspkd.errors import DataError, RecipeError, RunError
from dspkd.models import zoo
from dspkd.models.tapped import Tapped
from dspkd.recipe import Recipe
from dspkd.seed import seed_for
from dspkd.stage import Stage
from dspkd.teacher.bank import BankedTeacher
from dspkd.teacher.ensemble import EnsembleTeacher
from dspkd.teacher.live import LiveTeacher
from dspkd.types import Spec

AnyTeacher = LiveTeacher | EnsembleTeacher
M = TypeVar("M", bound=nn.Module)


def check(wanted: Recipe) -> None:
    """Check all that can be known before any data are read: names, options, and that a teacher is there if needed.

    Raises
    ------
    RecipeError
        Names the place in the recipe.
    """
    side = wanted.pictures.size
    try:
        with torch.device("meta"):
            zoo.make(wanted.model.name, classes=2).eval()(torch.empty(1, 3, side, side))
    except RecipeError as error:
        raise RecipeError(f"model.name: {error}") from None
    _check_pictures(wanted)
    before: tuple[str, ...] = ()
    for s, stage in enumerate(wanted.stages):
        for t, (name, term) in enumerate(zip(stage.part_names, stage.terms, strict=True)):
            place = f"stages.{s}.terms.{t}"
            try:
                method = methods.find(term.method)
                methods.check_options(term.method, term.options)
            except RecipeError as error:
                raise RecipeError(f"{place}: {error}") from None
            if method.needs_teacher and not wanted.teachers:
                raise RecipeError(f'{place}: {term.method!r} learns from a teacher; name its run: teacher = "runs/..."')
            if method.needs_one_label and mixing(wanted.train):
                raise RecipeError(
                    f"{place}: {term.method!r} reads one label for each picture, and a mixed one has two; "
                    "set train.mixup and train.cutmix to 0"
                )
            if term.carry and name not in before:
                there = f"that has {', '.join(before)}" if before else "there is none"
                raise RecipeError(
                    f"{place}: carry = true takes over the layers of {name!r} in the stage before; {there}"
                )
        before = stage.part_names
        if stage.teacher_lr and not any(methods.find(term.method).trains_teacher for term in stage.terms):
            able = ", ".join(name for name in methods.names() if methods.find(name).trains_teacher)
            raise RecipeError(f"stages.{s}.teacher_lr: no term of this stage trains a teacher; those that do: {able}")


def _check_pictures(wanted: Recipe) -> None:
    try:
        artefacts.check(wanted.pictures.artefacts)
    except DataError as error:
        raise RecipeError(f"pictures.artefacts: {error}") from None
    if not wanted.teachers or wanted.pictures.views == "fresh":
        return
    if wanted.machine.cache == "none":
        raise RecipeError(
            'machine.cache = "none": a teacher\'s answers to a fixed number of views are kept in a folder; name one, '
            'or set pictures.views = "fresh"'
        )
    if mixing(wanted.train):
        raise RecipeError(
            f"pictures.views = {wanted.pictures.views}: a teacher's answers are kept for single pictures, and "
            'train.mixup or train.cutmix makes new mixtures of them in every batch; set pictures.views = "fresh", '
            "or both to 0"
        )


def table(images: recipe.Data) -> Table:
    """Return the table of the images that a recipe names."""
    return data.read(images.layout, Path(images.path), group=images.group)


def split(wanted: recipe.Split, images: Table) -> Split:
    """Return the split of `images` that the recipe asks for, made or read from its file."""
    if wanted.file is not None:
        return splits.load(Path(wanted.file), images, by=wanted.by)
    return splits.split(images, val=wanted.val, test=wanted.test, seed=wanted.seed, by=wanted.by)


def augmentation(pictures: recipe.Pictures) -> Augmentation:
    """Return what makes training pictures."""
    return Augmentation(
        size=pictures.size,
        min_area=pictures.min_area,
        rotation=pictures.rotation,
        flips=pictures.flips,
        num_ops=pictures.randaugment.num_ops,
        magnitude=pictures.randaugment.magnitude,
        erasing=pictures.erasing,
        artefacts=pictures.artefacts,
    )


def centre_crop(pictures: recipe.Pictures) -> CentreCrop:
    """Return what makes the pictures by which a network is judged."""
    return CentreCrop(size=pictures.size, artefacts=pictures.artefacts)


def mixing(train: recipe.Train) -> Mixing | None:
    """Return what mixes the pictures of a batch, or None for a recipe that leaves them single."""
    return Mixing(mixup=train.mixup, cutmix=train.cutmix) if train.mixup or train.cutmix else None


def wants_strong(wanted: Recipe) -> bool:
    """Return whether any term of any stage asks for strong pictures."""
    return any(methods.find(term.method).wants_strong for stage in wanted.stages for term in stage.terms)


def student(model: recipe.Model, classes: int, *, seed: int) -> Tapped:
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
    made_by = recipe.load(run / "recipe.toml")
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


def _member(run: Path, images: Table, parts: Split, device: torch.device) -> LiveTeacher:
    network, _, classes = trained(run)
    if classes != images.classes:
        raise DataError(
            f"teacher {run}: its classes are {', '.join(classes)}; the data's are {', '.join(images.classes)}"
        )
    taught = splits.trained_groups(run / "split.csv")
    leaked = sorted({images.groups[row] for part in ("val", "test") for row in parts.rows(part)} & taught)
    if leaked:
        raise DataError(
            f"teacher {run}: was trained on {len(leaked)} of the lesions or patients that are to judge its student, "
            f"e.g. {leaked[0]}; split both runs alike (same data, split.seed, val and test), or give both split.file"
        )
    return LiveTeacher(placed(network, device), network.spec, name=network.name)


def distiller(
    stage: Stage,
    learner: Tapped,
    teacher: Teacher | None,
    class_counts: tuple[int, ...],
    *,
    seed: int,
    earlier: Distiller | None = None,
) -> Distiller:
    """Return the stage's objective; layers of its terms are initialised as every run with this seed does it.

    Layers that a term carries over are those of `earlier`, the objective of the stage before.

    Raises
    ------
    RecipeError
        A term does not fit the networks, its layers do not fit those that it carries over, or the teacher cannot learn.
    """
    torch.manual_seed(seed_for(seed, stage.name, "terms"))
    spec = learner.spec
    spec = Spec(spec.classes, spec.pooled, spec.channels, class_counts)
    shapes = (spec, teacher.spec if teacher else None)
    made = [methods.find(term.method)(*shapes, **term.options) for term in stage.terms]
    weights = [term.weight for term in stage.terms]
    ramps = {name: term.ramp.share for name, term in zip(stage.part_names, stage.terms, strict=True) if term.ramp}
    parts = list(zip(stage.part_names, weights, made, strict=True))
    whole = Distiller(learner, teacher, parts, ramps, _apprentice(teacher, stage) if stage.teacher_lr else None)
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


def _apprentice(teacher: Teacher | None, stage: Stage) -> nn.Module:
    if isinstance(teacher, BankedTeacher):
        teacher = teacher.live
    if not isinstance(teacher, LiveTeacher):
        raise RecipeError(f"stage {stage.name!r}: teacher_lr: one network can learn, not an ensemble; name one teacher")
    return teacher.apprentice()


def cache(machine: recipe.Machine) -> Path | None:
    """Return the folder of what runs share, or None for a recipe that wants nothing kept."""
    if machine.cache == "none":
        return None
    if machine.cache == "auto":
        return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "dspkd"
    return Path(machine.cache)


def half(train: recipe.Train, device: torch.device) -> bool:
    """Return whether to compute in bfloat16, as the recipe says; `auto` does so on a GPU."""
    return train.precision == "bfloat16" or (train.precision == "auto" and device.type == "cuda")


def device(machine: recipe.Machine) -> torch.device:
    """Return the device that the recipe asks for; `auto` takes a GPU where there is one."""
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
