"""A stage of a recipe and its terms, as strict, frozen, typed data."""

from __future__ import annotations

import math
import os
from dataclasses import replace
from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, ConfigDict, Field, model_validator
from pydantic.dataclasses import dataclass

STRICT = ConfigDict(extra="forbid", strict=True, allow_inf_nan=False)
"""Configuration of every section of a recipe: no unknown keys, no type conversion, no infinite numbers."""

Count = Annotated[int, Field(gt=0, le=1_000_000)]
_LARGEST = 1_000_000
Side = Annotated[int, Field(gt=0, le=4096)]
"""Side of an image in pixels; larger ones would not fit into memory."""

_LONGEST_NAME, _LONGEST_PATH = 255, 3000
"""Bytes of a file's name, and of a path with room for names below it, that Linux takes; other systems take less."""


def _of_usual_length(path: str) -> str:
    """Refuse a path that no file can have: every system call with it would fail."""
    longest = max(len(name.encode("utf-8", "replace")) for name in path.split("/"))
    if longest > _LONGEST_NAME or len(path.encode("utf-8", "replace")) > _LONGEST_PATH:
        raise ValueError(f"too long for the path of a file or folder: {len(path):,} characters; {path[:40]!r}...")
    return path


FilePath = Annotated[str, AfterValidator(os.path.expanduser), AfterValidator(_of_usual_length)]
"""A path, or a name in place of one; ``~`` is the user's home. Whether there is a file is checked where it is used."""


def _of_usual_size(options: dict[str, Any]) -> dict[str, Any]:
    """Refuse an option that is infinite, no number, or larger than any width or count of layers."""
    for name, value in options.items():
        if isinstance(value, int | float) and not abs(value) <= _LARGEST:
            raise ValueError(f"{name}: must be a finite number of at most {_LARGEST:,}, got {value:g}")
    return options


DEFAULT_DECAY = {"adamw": 0.05, "sgd": 1e-4}
"""Weight decay of each optimiser where none is given. SGD's learning rates, by which the decay is multiplied, are some
hundred times AdamW's; its value is inferred."""


@dataclass(frozen=True, kw_only=True, config=STRICT)
class RampConfig:
    """Increase of a term's weight over the first epochs of its stage."""

    epochs: Count
    """Length of the increase in epochs; at most the stage's."""
    shape: Literal["linear", "sigmoid"] = "linear"
    """`linear` begins at 0; `sigmoid` is exp(-5 (1 - t)^2), which begins at 0.007 and rises late."""

    def share(self, elapsed: float) -> float:
        """Return the share of the weight, in [0, 1], once `elapsed` epochs of the stage have passed."""
        t = min(elapsed / self.epochs, 1.0)
        return t if self.shape == "linear" else math.exp(-5 * (1 - t) ** 2)


@dataclass(frozen=True, kw_only=True, config=STRICT)
class TermConfig:
    """One part of a stage's loss."""

    method: str
    """A method of `dspkd methods`."""
    weight: Annotated[float, Field(gt=0)] = 1.0
    """Factor of the term in the loss."""
    share: Annotated[float, Field(gt=0, lt=1)] | None = None
    """Instead of a weight: the share of the gradient into the student that the term keeps, beside the terms that have a
    weight. Its weight follows running averages of the gradient norms; see `dspkd.training.gradient_share`."""
    options: Annotated[dict[str, Any], AfterValidator(_of_usual_size)] = Field(default_factory=dict)
    """Options of the method; `dspkd methods` lists them."""
    ramp: RampConfig | None = None
    """How the weight rises from (nearly) 0; by default it has its full value from the start."""
    carry: bool = False
    """Start this term's own layers from those of the same-named term of the stage before."""

    @model_validator(mode="after")
    def _require_a_weight_or_a_share(self) -> Self:
        if self.share is not None and self.weight != 1:
            raise ValueError(f"weight {self.weight:g} and share {self.share:g} exclude each other; keep one of the two")
        if self.share is not None and self.ramp is not None:
            raise ValueError("a share rises by itself from the first step; leave out ramp or share")
        return self


@dataclass(frozen=True, kw_only=True, config=STRICT)
class StageConfig:
    """A stage of training, with one objective and a new optimiser."""

    name: Annotated[str, Field(pattern=r"^[A-Za-z0-9_-]+$")]
    """Name of the stage in records and reports: letters, digits, `_` and `-`."""
    epochs: Count
    """Length of the stage in passes over the training set."""
    lr: Annotated[float, Field(gt=0)]
    """Peak learning rate."""
    terms: Annotated[tuple[TermConfig, ...], Field(min_length=1)]
    optimizer: Literal["adamw", "sgd"] = "adamw"
    """`sgd` has momentum 0.9 and no Nesterov step."""
    weight_decay: Annotated[float, Field(ge=0, json_schema_extra={"default": DEFAULT_DECAY["adamw"]})] = math.nan
    """Weight decay of matrices and kernels; biases and norms have none. With `sgd` the default is 1e-4 (inferred)."""
    warmup: Annotated[float, Field(ge=0)] = 0.0
    """Epochs of linear increase of the learning rate; then it falls to 0 along a cosine. In a stage that is not longer,
    the increase takes half of the stage."""
    start: Literal["previous", "initial"] = "previous"
    """Initial student: that of the stage before (in the first stage, the initial one), or the initial one again."""
    keep: Literal["best", "last"] = "best"
    """Which epoch's student to keep: the best on the validation set, or the last, where validation scores are
    meaningless (a stage without labels, or one that trains a method's own layers)."""
    teacher_lr: Annotated[float, Field(gt=0)] | None = None
    """Peak learning rate of a copy of the teacher that is trained in this stage and dropped at its end; by default only
    the student and the terms' own layers are trained."""

    @model_validator(mode="after")
    def _take_the_decay_of_the_optimizer(self) -> Self:
        if math.isnan(self.weight_decay):
            object.__setattr__(self, "weight_decay", DEFAULT_DECAY[self.optimizer])
        return self

    @model_validator(mode="after")
    def _require_a_weight_beside_shares(self) -> Self:
        shares = [term.share for term in self.terms if term.share is not None]
        if shares and len(shares) == len(self.terms):
            raise ValueError("each term has a share; give one of them, such as labels, a weight that they refer to")
        if sum(shares) >= 1:
            raise ValueError(f"shares sum to {sum(shares):g}, which leaves nothing to the others; they must be below 1")
        return self

    @property
    def part_names(self) -> tuple[str, ...]:
        """Return the name of each term: its method's, and ``method#2`` for the second of one method."""
        methods = [term.method for term in self.terms]
        earlier = [methods[:t].count(method) for t, method in enumerate(methods)]
        return tuple(f"{method}#{n + 1}" if n else method for method, n in zip(methods, earlier, strict=True))

    @property
    def warmup_epochs(self) -> float:
        """Return `warmup`, or half of the stage where that would leave no epoch for the cosine."""
        return self.warmup if self.warmup < self.epochs else self.epochs / 2

    @property
    def ramps(self) -> dict[str, RampConfig]:
        """Return the ramp of each term that has one, by the term's name; none is longer than the stage."""
        terms = zip(self.part_names, self.terms, strict=True)
        ramps = {name: term.ramp for name, term in terms if term.ramp}
        return {name: replace(ramp, epochs=min(ramp.epochs, self.epochs)) for name, ramp in ramps.items()}

    @property
    def shortened(self) -> tuple[str, ...]:
        """Return a line for each warm-up and ramp that does not fit into the stage, with its length in use."""
        lines = []
        if self.warmup_epochs != self.warmup:
            lines.append(f"warm-up shortened from {self.warmup:g} to {self.warmup_epochs:g} of {self.epochs} epochs")
        for name, term in zip(self.part_names, self.terms, strict=True):
            if term.ramp and term.ramp.epochs > self.epochs:
                lines.append(f"ramp of {name} shortened from {term.ramp.epochs} to {self.epochs} epochs")
        return tuple(lines)

    @property
    def carried(self) -> tuple[str, ...]:
        """Return the names of the terms whose layers start from the stage before."""
        return tuple(name for name, term in zip(self.part_names, self.terms, strict=True) if term.carry)
