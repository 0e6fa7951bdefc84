"""A recipe: everything that a run depends on, as strict, frozen, typed data read from TOML.

An unknown key, a wrong type or a number out of range is a `RecipeError` that names the place. There is no inheritance
between recipes: one file is the whole experiment, so its digest names the result. `dspkd.runs.validate` checks methods.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any, Literal, Self, TypeVar

import tomli_w
from pydantic import Field, TypeAdapter, ValidationError, model_validator
from pydantic.dataclasses import dataclass

from dspkd.errors import RecipeError, suggest
from dspkd.recipes.machine import MachineConfig
from dspkd.recipes.overrides import override
from dspkd.recipes.stage import STRICT, Count, RampConfig, StageConfig, TermConfig

Fraction = Annotated[float, Field(gt=0, lt=1)]
T = TypeVar("T")


@dataclass(frozen=True, kw_only=True, config=STRICT)
class DataConfig:
    """Which images: a folder (or CSV file) of a known layout."""

    path: str
    layout: str = "auto"
    """One of `dspkd.data.LAYOUTS`, or `auto` to recognise it."""
    group: str | None = None
    """Column that names the lesion or patient, for layouts where it has no fixed name."""
    classes: str | None = None
    """A file that renames, merges and drops classes; see `dspkd.data.class_map`."""


@dataclass(frozen=True, kw_only=True, config=STRICT)
class SplitConfig:
    """Which images train, choose the epoch, and judge; or a file, or a column of the data, that says so."""

    val: Fraction = 0.15
    test: Fraction = 0.2
    seed: int = 0
    by: Literal["group", "image"] = "group"
    """`image` lets photographs of one lesion fall into several parts; only to imitate papers that did so. Where that
    happens, training asks for a waiver."""
    file: str | None = None
    """A CSV with the columns id, group, label and part, such as a run's own split.csv."""
    column: str | None = None
    """Column of the data set that says train, val or test: an official split."""
    waiver: str | None = None
    """Why a lesion or patient may be in several parts, for example "imitates the image-level split of ...". Without it
    such a split is refused; with it, every report of the run prints it. Not part of the digest."""

    @model_validator(mode="after")
    def _something_is_left_to_train_on(self) -> Self:
        if self.val + self.test >= 1:
            raise ValueError(
                f"val {self.val} and test {self.test} leave nothing to train on; they must sum to less than 1"
            )
        if self.file is not None and self.column is not None:
            raise ValueError("file and column both say which part an image is in; keep one of the two")
        return self

    @model_validator(mode="after")
    def _a_waiver_says_why(self) -> Self:
        if self.waiver is not None and not self.waiver.strip():
            raise ValueError("waiver is empty; say why lesions may be in several parts, or leave it out")
        return self


@dataclass(frozen=True, kw_only=True, config=STRICT)
class ModelConfig:
    """The network that is trained."""

    name: str
    weights: str = "none"
    """`none`, `imagenet` (downloaded by the network's own library) or a file of weights."""


@dataclass(frozen=True, kw_only=True, config=STRICT)
class RandAugmentConfig:
    """RandAugment (Cubuk et al. 2020). The paper names it without numbers; 2 and 9 are torchvision's (inferred)."""

    num_ops: Annotated[int, Field(ge=0)] = 2
    magnitude: Annotated[int, Field(ge=0, le=30)] = 9


@dataclass(frozen=True, kw_only=True, config=STRICT)
class ImagesConfig:
    """How an image becomes a square image. The defaults are inferred: the paper gives no numbers."""

    size: Count = 224
    """Side of the image in pixels."""
    min_area: Annotated[float, Field(gt=0, le=1)] = 0.3
    """Least share of the image that a training crop covers."""
    rotation: Annotated[float, Field(ge=0, le=180)] = 180.0
    """Training images are rotated by up to this many degrees either way."""
    flips: bool = True
    erasing: Annotated[float, Field(ge=0, le=1)] = 0.0
    """Probability that a rectangle of a training image becomes black (random erasing, Zhong et al. 2020)."""
    artefacts: tuple[str, ...] = ()
    """What is taken out of each image, in this order, in training and in use alike: `hair`, `shading`, `dark_corner`,
    `colour_constancy`. The paper removes "pseudo-shadows" and does not say how; none of these is claimed to be it."""
    views: Annotated[int, Field(gt=0)] | Literal["fresh"] = "fresh"
    """How many different training images are made of an image. `fresh` makes another each time; a number makes so
    many, the same for every seed, and a teacher is asked about each only once: see `teacher_cache`."""
    randaugment: RandAugmentConfig = Field(default_factory=RandAugmentConfig)


@dataclass(frozen=True, kw_only=True, config=STRICT)
class TeacherCacheConfig:
    """How a teacher's answers are kept, where `images.views` is a number."""

    maps: Literal["float16", "float32"] = "float16"
    """Type of the stored maps; logits and pooled vectors are always float32."""


@dataclass(frozen=True, kw_only=True, config=STRICT)
class TrainConfig:
    """What all stages share."""

    batch_size: Count = 64
    balance: Annotated[float, Field(ge=0, le=1)] = 0.0
    """0 draws each image once an epoch, 1 all classes equally often; between, class c in proportion to
    N_c^(1-balance)."""
    mixup: Annotated[float, Field(ge=0)] = 0.0
    """Mix images in pairs: alpha of MixUp's Beta(alpha, alpha) distribution, e.g. 0.2; 0 leaves them single."""
    cutmix: Annotated[float, Field(ge=0)] = 0.0
    """The same for CutMix, e.g. 1.0; where both are on, each batch has one of them. Neither goes with a cache."""
    clip: Annotated[float, Field(gt=0)] = 5.0
    """Largest gradient norm."""
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
    data: DataConfig
    model: ModelConfig
    stages: Annotated[tuple[StageConfig, ...], Field(min_length=1)]
    seed: int = 0
    teacher: str | tuple[str, ...] | None = None
    """The teacher's run folder, relative to where the command runs. Of several, the mean of the probabilities teaches,
    and the first one's maps."""
    split: SplitConfig = Field(default_factory=SplitConfig)
    images: ImagesConfig = Field(default_factory=ImagesConfig)
    teacher_cache: TeacherCacheConfig = Field(default_factory=TeacherCacheConfig)
    train: TrainConfig = Field(default_factory=TrainConfig)
    machine: MachineConfig = Field(default_factory=MachineConfig)

    @model_validator(mode="after")
    def _stages_have_names_of_their_own(self) -> Self:
        names = [stage.name for stage in self.stages]
        if len(set(names)) != len(names):
            raise ValueError(f"stage names must differ, got {names}")
        return self

    @property
    def teachers(self) -> tuple[str, ...]:
        """Return the run folders of all teachers; none for a recipe that trains from labels alone."""
        return (self.teacher,) if isinstance(self.teacher, str) else self.teacher or ()

    @property
    def digest(self) -> str:
        """Return 12 hex digits that change whenever any setting does that can change the result."""
        settings = dataclasses.asdict(self)
        del settings["machine"], settings["split"]["waiver"]
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
        The file cannot be read, is not TOML, or says something that no recipe can say.
    """
    settings = read(path)
    for setting in overrides:
        override(settings, setting)
    return parse(settings, place=str(path))


def read(path: Path) -> dict[str, Any]:
    """Return what a TOML file says.

    Raises
    ------
    RecipeError
        The file cannot be read or is not TOML.
    """
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise RecipeError(f"{path}: cannot be read: {error.strerror}") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise RecipeError(f"{path}: not TOML: {error}") from error


def parse(settings: dict[str, Any], *, place: str = "recipe") -> Recipe:
    """Return the recipe that `settings`, as read from TOML, describe; `place` begins each message."""
    return checked(Recipe, settings, place, _keys_beside)


def checked(kind: type[T], settings: dict[str, Any], place: str, keys_beside: Callable[[list[str]], list[str]]) -> T:
    """Return `settings`, as read from TOML, as a strict dataclass.

    Parameters
    ----------
    kind
        The dataclass.
    settings
        What the file says.
    place
        Begins each message.
    keys_beside
        Returns the keys that could stand where an unknown one does, given its place.

    Raises
    ------
    RecipeError
        A line for each mistake.
    """
    try:
        return TypeAdapter(kind).validate_json(json.dumps(settings))
    except TypeError as error:  # a TOML date
        raise RecipeError(f"{place}: {error}; dates and times mean nothing in a recipe") from error
    except ValidationError as error:
        found = error.errors(include_url=False)
        inner = {e["loc"][: len(e["loc"]) - 1] for e in found}
        told = [e for e in found if e["type"] != "too_short" or not any(i[: len(e["loc"])] == e["loc"] for i in inner)]
        raise RecipeError("\n".join(f"{place}: {_tell(e, keys_beside)}" for e in told)) from None


def dump(recipe: Recipe) -> str:
    """Return the recipe as TOML with every default written out; `parse` gives it back."""
    return tomli_w.dumps(_without_none(dataclasses.asdict(recipe)))


def _without_none(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _without_none(item) for key, item in value.items() if item is not None}
    if isinstance(value, list | tuple):
        return [_without_none(item) for item in value]
    return value


def _tell(error: Any, keys_beside: Callable[[list[str]], list[str]]) -> str:
    """Return one line for one of pydantic's findings: place, what is wrong, what would do."""
    place = [str(part) for part in error["loc"]]
    message = error["msg"].removeprefix("Value error, ")
    if error["type"] == "unexpected_keyword_argument":
        known = keys_beside(place)
        if (new := _RENAMED.get(place[-1])) in known:
            return f"{'.'.join(place)}: renamed; write {'.'.join([*place[:-1], str(new)])}"
        message = f"no such key; {suggest(place[-1], known)}"
    elif error["type"] != "value_error" and not isinstance(error["input"], dict | list):
        message += f", got {error['input']!r}"
    return f"{'.'.join(place)}: {message}" if place else message


_SECTIONS: dict[str, type] = {
    "data": DataConfig,
    "split": SplitConfig,
    "model": ModelConfig,
    "images": ImagesConfig,
    "randaugment": RandAugmentConfig,
    "teacher_cache": TeacherCacheConfig,
    "train": TrainConfig,
    "machine": MachineConfig,
    "stages": StageConfig,
    "terms": TermConfig,
    "ramp": RampConfig,
}

_RENAMED = {"pictures": "images", "bank": "teacher_cache"}
"""Keys of recipes written before they had the field's words."""


def _keys_beside(place: list[str]) -> list[str]:
    sections = [part for part in place[:-1] if part in _SECTIONS]
    section = _SECTIONS[sections[-1]] if sections else Recipe
    return [field.name for field in dataclasses.fields(section)]
