"""A recipe: everything that a run depends on, as strict, frozen, typed data read from TOML.

An unknown key, a wrong type or a number out of range is a `RecipeError` that names the place. Recipes do not inherit
from each other: one file is the whole experiment, so its digest identifies the result. `dspkd.runs.validate` checks
methods, models and layouts.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any, Literal, Self, get_args, get_type_hints

import tomli_w
from pydantic import BeforeValidator, Field, ValidationError, model_validator
from pydantic.dataclasses import dataclass

from dspkd.errors import RecipeError
from dspkd.recipes.data import ColumnsConfig, DataConfig, SplitConfig
from dspkd.recipes.machine import MachineConfig
from dspkd.recipes.overrides import assign, parsed
from dspkd.recipes.parsing import read_toml, validated
from dspkd.recipes.stage import STRICT, Count, FilePath, Side, StageConfig
from dspkd.recipes.teacher import TeacherConfig, as_table


@dataclass(frozen=True, kw_only=True, config=STRICT)
class ModelConfig:
    """The network to train."""

    name: str
    """A network of `dspkd models`, or the name of any timm model, or `torchvision:NAME`."""
    weights: FilePath = "none"
    """`none`, `imagenet` (downloaded by the network's own library) or a file of weights."""
    partial_weights: bool = False
    """Accept a file that lacks tensors of the network besides the classifier's; they stay random. Not part of the
    digest."""


@dataclass(frozen=True, kw_only=True, config=STRICT)
class RandAugmentConfig:
    """RandAugment (Cubuk et al. 2020). The paper names it without numbers; 2 and 9 are torchvision's (inferred)."""

    num_ops: Annotated[int, Field(ge=0, le=100)] = 2
    """Number of random operations on each image; 0 turns it off."""
    magnitude: Annotated[int, Field(ge=0, le=30)] = 9
    """Strength of the operations."""


@dataclass(frozen=True, kw_only=True, config=STRICT)
class ImagesConfig:
    """Image size, cleaning and augmentation. The defaults are inferred: the paper gives no numbers."""

    size: Side = 224
    """Side of the square network input in pixels."""
    min_area: Annotated[float, Field(gt=0, le=1)] = 0.3
    """Smallest share of the image area that a training crop covers."""
    rotation: Annotated[float, Field(ge=0, le=180)] = 180.0
    """Training images are rotated by up to this many degrees either way."""
    flips: bool = True
    """Whether training images are flipped at random, left to right and top to bottom."""
    erasing: Annotated[float, Field(ge=0, le=1)] = 0.0
    """Probability that a rectangle of a training image becomes black (random erasing, Zhong et al. 2020)."""
    artefacts: tuple[str, ...] = ()
    """Artefacts to remove from each image, in this order, in training and in use: `hair`, `shading`, `dark_corner`,
    `colour_constancy`. The paper removes "pseudo-shadows" without stating how; none of these is claimed to be it."""
    views: Count | Literal["fresh"] = "fresh"
    """Number of augmented views of each training image. `fresh` augments it differently each time; with a number, the
    views are the same for every seed, and the teacher's outputs for them are computed once: see `teacher_cache`."""
    randaugment: RandAugmentConfig = Field(default_factory=RandAugmentConfig)


@dataclass(frozen=True, kw_only=True, config=STRICT)
class TeacherCacheConfig:
    """How a teacher's outputs are cached, where `images.views` is a number."""

    maps: Literal["float16", "float32"] = "float16"
    """Type of the stored maps; logits and pooled vectors are always float32."""


@dataclass(frozen=True, kw_only=True, config=STRICT)
class TrainConfig:
    """Settings of all stages."""

    batch_size: Count = 64
    """Images in a step, over all processes."""
    balance: Annotated[float, Field(ge=0, le=1)] = 0.0
    """Class balance of sampling: 0 draws each image once an epoch, 1 all classes equally often; in between, class c in
    proportion to N_c^(1-balance)."""
    mixup: Annotated[float, Field(ge=0)] = 0.0
    """Alpha of MixUp's Beta(alpha, alpha) distribution, e.g. 0.2; 0 turns it off."""
    cutmix: Annotated[float, Field(ge=0)] = 0.0
    """The same for CutMix, e.g. 1.0. With both, each batch gets one of them."""
    mix_teacher_outputs: bool = False
    """With MixUp or CutMix: learn from the teacher's cached outputs for the two images of a mixture, each loss weighted
    by the image's share, as for two labels (inferred). False: the teacher runs on the mixtures themselves, which needs
    ``images.views = "fresh"``."""
    clip: Annotated[float, Field(gt=0)] = 5.0
    """Largest gradient norm; the record of each epoch has the share of steps whose gradient was larger, `clipped`."""
    ema: Annotated[float, Field(ge=0, lt=1)] = 0.0
    """Decay of an exponential moving average of the student's weights and batch-norm statistics, e.g. 0.998 (inferred);
    0 turns it off. The average is then what is validated, kept and saved. Step t of a stage, from 0, has the decay
    min(ema, (1 + t) / (10 + t)), so that a short stage does not average its own start."""
    precision: Literal["auto", "float32", "bfloat16"] = "auto"
    """`auto`: bfloat16 autocast on a GPU, float32 elsewhere."""

    @property
    def mixes_images(self) -> bool:
        """Return whether training images are mixed in pairs."""
        return bool(self.mixup or self.cutmix)


@dataclass(frozen=True, kw_only=True, config=STRICT)
class Recipe:
    """A whole experiment. A teacher is a run too: of a recipe without a teacher."""

    name: str
    """Name of the run in reports."""
    data: DataConfig
    model: ModelConfig
    stages: tuple[StageConfig, ...]
    """What is trained, in order; `[]` trains nothing: the network of `model.weights`, a file, is used as it is."""
    seed: int = 0
    """Seed of initial weights, order of images and every other random choice but the split."""
    teacher: Annotated[
        TeacherConfig | None,
        BeforeValidator(as_table, json_schema_input_type=str | tuple[str, ...] | TeacherConfig | None),
    ] = None
    """What the student learns from; a run folder or a list of them is short for a table with `run` alone."""
    split: SplitConfig = Field(default_factory=SplitConfig)
    images: ImagesConfig = Field(default_factory=ImagesConfig)
    teacher_cache: TeacherCacheConfig = Field(default_factory=TeacherCacheConfig)
    train: TrainConfig = Field(default_factory=TrainConfig)
    machine: MachineConfig = Field(default_factory=MachineConfig)

    @model_validator(mode="after")
    def _require_different_stage_names(self) -> Self:
        names = [stage.name for stage in self.stages]
        if len(set(names)) != len(names):
            raise ValueError(f"stage names must differ, got {names}")
        return self

    @property
    def teachers(self) -> tuple[str, ...]:
        """Return the run folders of all teachers; none without a teacher, or where it is a file of answers."""
        return self.teacher.run if self.teacher else ()

    def with_teachers(self, runs: Sequence[str]) -> Recipe:
        """Return the recipe with other teachers, and its other settings of the teacher.

        Raises
        ------
        RecipeError
            These settings need more teachers.
        """
        run = tuple(runs)
        try:
            teacher = replace(self.teacher, run=run) if self.teacher else TeacherConfig(run=run)
        except ValidationError as error:
            raise RecipeError(
                f"{self.name}: teacher: {error.errors()[0]['msg'].removeprefix('Value error, ')}"
            ) from None
        return replace(self, teacher=teacher)

    @property
    def seen_by_teacher(self) -> Recipe:
        """Return the recipe with images of the size that the teacher sees."""
        size = self.teacher.size if self.teacher else None
        return replace(self, images=replace(self.images, size=size)) if size else self

    @property
    def digest(self) -> str:
        """Return 12 hex digits that change with any setting that can change the result by more than rounding.

        The settings of `machine` can change the last bits (device, threads, compile) and are left out, so that a run
        may be resumed on another machine; ``environment.json`` of the run folder has what was used.
        """
        settings = dataclasses.asdict(self)
        del settings["machine"], settings["split"]["waiver"]
        del settings["data"]["malignant"], settings["data"]["benign"], settings["model"]["partial_weights"]
        if self.split.folds is None:  # so that runs from before there were folds can be resumed
            del settings["split"]["folds"], settings["split"]["fold"]
        # so that runs from before these keys can be resumed
        if self.split.labelled is None:
            del settings["split"]["labelled"]
        if self.data.columns == ColumnsConfig():
            del settings["data"]["columns"]
        else:  # the order of the names is that of the classes
            settings["data"]["columns"]["names"] = list(self.data.columns.names.items())
        if not self.data.licences:
            del settings["data"]["licences"]
        return hashlib.sha256(json.dumps(settings, sort_keys=True).encode()).hexdigest()[:12]

    @property
    def epochs(self) -> int:
        """Return the epochs of all stages together."""
        return sum(stage.epochs for stage in self.stages)


def load(path: Path, overrides: tuple[str, ...] | list[str] = ()) -> Recipe:
    """Return the recipe in the TOML file `path`, with `overrides` such as ``stages.0.epochs=2`` applied.

    Raises
    ------
    RecipeError
        The file cannot be read, is not TOML, or has an invalid key or value.
    """
    settings = read_toml(path)
    if "methods" in settings and "stages" not in settings:
        raise RecipeError(f"{path}: is a grid of methods, not a recipe; compare them: dspkd compare {path} --out DIR")
    assign(settings, [parsed(setting) for setting in overrides])
    return parse(settings, place=str(path))


def parse(settings: dict[str, Any], *, place: str = "recipe") -> Recipe:
    """Return the recipe with these `settings`, as read from TOML; error messages begin with `place`."""
    return validated(Recipe, settings, place, _keys_beside)


def dump(recipe: Recipe) -> str:
    """Return the recipe as TOML with all defaults written out; the inverse of `parse`."""
    return tomli_w.dumps(_without_none(dataclasses.asdict(recipe)))


def _without_none(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _without_none(item) for key, item in value.items() if item is not None}
    if isinstance(value, list | tuple):
        return [_without_none(item) for item in value]
    return value


def sections_in(section: type) -> dict[str, type]:
    """Return the section that each field of a section holds, or holds a list of, by the name of the field."""
    inner = {name: _sections(hint) for name, hint in get_type_hints(section).items()}
    return {name: sections[0] for name, sections in inner.items() if sections}


def _sections(hint: Any) -> list[type]:
    if dataclasses.is_dataclass(hint) and isinstance(hint, type):
        return [hint]
    return [section for inner in get_args(hint) for section in _sections(inner)]


def _keys_beside(place: list[str]) -> list[str]:
    section: type = Recipe
    for part in place[:-1]:
        section = sections_in(section).get(part, section)
    return [field.name for field in dataclasses.fields(section)]
