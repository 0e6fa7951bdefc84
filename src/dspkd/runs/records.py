"""What the JSON files of a run folder hold, checked when they are read."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, TypeVar

from pydantic import AfterValidator, TypeAdapter, ValidationError
from pydantic.dataclasses import dataclass

from dspkd.data.data_card import Attribute
from dspkd.data.leakage import Leak
from dspkd.errors import RunError
from dspkd.evaluation.soft_labels import SoftScores

T = TypeVar("T")

Facts = dict[str, str | int | float | None]
"""Versions and machine."""

EARLIER, FROM_EPOCH = "earlier", "from epoch"
Environment = dict[str, str | int | float | list[Facts] | None]
"""``environment.json``: facts, and where a run was resumed with others, the first epoch of these and a list of those.

Epochs count from 1 over all stages.
"""


def _with(key: str) -> AfterValidator:
    """Return the rule that a dict has this key."""

    def check(numbers: dict[str, float]) -> dict[str, float]:
        if key not in numbers:
            raise ValueError(f"has no {key!r}")
        return numbers

    return AfterValidator(check)


@dataclass(frozen=True)
class StageResult:
    """A finished stage; `best_epoch` counts from 1, `best_score` is its balanced accuracy on the validation set."""

    name: str
    epochs: int
    best_epoch: int
    best_score: float
    seconds: float


@dataclass(frozen=True)
class TeacherCost:
    """What computing the cached teacher outputs cost, whichever run did it; None where it was not recorded."""

    views: int
    seconds: float | None
    cpu_seconds: float | None


@dataclass(frozen=True)
class Result:
    """``result.json``: what was trained. `teacher` is the folder of the teacher's run, or None.

    `cpu_seconds` is None where an epoch's was not recorded, `teacher_cache` where outputs were not cached.
    `fold_teachers` are the run folders of the fold teachers that taught. `soft_labels` compares the predictions of the
    test set with labels that are weights of several classes; None where each image has one class.
    """

    name: str
    model: str
    classes: tuple[str, ...]
    parameters: int
    teacher: str | None
    digest: str
    seed: int
    stages: tuple[StageResult, ...]
    seconds: float
    test_evaluations: int
    cpu_seconds: float | None = None
    teacher_cache: TeacherCost | None = None
    fold_teachers: tuple[str, ...] = ()
    soft_labels: SoftScores | None = None


@dataclass(frozen=True)
class NetworkLatency:
    """``latency.json``: milliseconds of one processor core for one image, timed in turns; `teacher` may be unknown."""

    student: float
    teacher: float | None


@dataclass(frozen=True)
class DataSummary:
    """``data.json``: where the images are and how many: ``{part: {class: (images, groups)}}``.

    `leak` is how the split leaks, or None; `card` the data card; `split_how` how the split was made; `notes` how the
    data set was read; `warnings` what a reader of results must know; `content` the SHA-256 of the images' content.
    Older runs lack the last four.
    """

    layout: str
    path: str
    synthetic: bool
    classes: tuple[str, ...]
    digest: str
    split_digest: str
    counts: dict[str, dict[str, tuple[int, int]]]
    leak: Leak | None = None
    card: dict[str, Attribute] | None = None
    split_how: str = ""
    notes: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()
    content: str = ""


@dataclass(frozen=True)
class Epoch:
    """A line of ``metrics.jsonl``. `epoch` counts from 1 in each stage; `train` is the loss: total, weighted parts."""

    stage: str
    epoch: int
    lr: float
    train: Annotated[dict[str, float], _with("total")]
    val: Annotated[dict[str, float], _with("balanced_accuracy")]

    @property
    def parts(self) -> dict[str, float]:
        """The weighted terms that add up to the loss, in the order they were logged."""
        return {name: value for name, value in self.train.items() if name != "total"}


def read(kind: TypeAdapter[T], path: Path) -> T:
    """Return the content of a JSON file.

    Raises
    ------
    RunError
        Names the file and its first fault.
    """
    return parse(kind, text_of(path), str(path))


def text_of(path: Path) -> str:
    """Return the text of a file in UTF-8; RunError where it is none."""
    try:
        return path.read_text(encoding="utf-8")
    except UnicodeDecodeError:
        raise RunError(
            f"{path}: not text in UTF-8, so it is not as training wrote it; restore it from a copy"
        ) from None


def parse(kind: TypeAdapter[T], text: str, place: str) -> T:
    """Return what `text` holds in JSON; RunError about its first fault, beginning with `place`."""
    try:
        return kind.validate_json(text)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        raise RunError(
            f"{place}: {where + ': ' if where else ''}{first['msg']}; it is not as training wrote it"
        ) from None
