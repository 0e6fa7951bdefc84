"""Reads the files of a run folder that a report is made of."""

from __future__ import annotations

import dataclasses
import tomllib
from pathlib import Path
from typing import Annotated, TypeVar

from pydantic import AfterValidator, Field, TypeAdapter, ValidationError
from pydantic.dataclasses import dataclass

from dspkd import data
from dspkd.data import metadata
from dspkd.data.data_card import Attribute
from dspkd.data.leakage import Leak
from dspkd.errors import DataError, RunError
from dspkd.evaluation.predictions import Predictions
from dspkd.runs import holdout
from dspkd.runs.holdout import TestEvaluation

T = TypeVar("T")

_MADE_BY = {
    "recipe.toml": "training writes it when it starts",
    "environment.json": "training writes it when it starts",
    "data.json": "training writes it when the images are split",
    "metrics.jsonl": "training writes it, a line for each epoch",
    "predictions/val.csv": "training writes it after the last stage",
    "predictions/test.csv": "training writes it after the last stage",
    "result.json": "training writes it last; train the same recipe into this folder and it goes on where it stopped",
}


def _with(key: str) -> AfterValidator:
    """Return the rule that a dict has this key."""

    def check(numbers: dict[str, float]) -> dict[str, float]:
        if key not in numbers:
            raise ValueError(f"has no {key!r}")
        return numbers

    return AfterValidator(check)


@dataclass(frozen=True)
class StageResult:
    """A stage that has ended; `best_epoch` counts from 0, `best_score` is its balanced accuracy on validation."""

    name: str
    epochs: int
    best_epoch: int
    best_score: float
    seconds: float


@dataclass(frozen=True)
class TeacherCost:
    """What a teacher's answers in a cache took when they were made, whoever waited; None where not written down."""

    views: int
    seconds: float | None
    cpu_seconds: float | None


@dataclass(frozen=True)
class Result:
    """``result.json``: what was trained. `teacher` is the folder of the teacher's run, or None.

    `cpu_seconds` is None for a run made before it was kept, `teacher_cache` for one without a cache.
    """

    name: str
    model: str
    classes: tuple[str, ...]
    parameters: int
    teacher: str | None
    digest: str
    seed: int
    stages: Annotated[tuple[StageResult, ...], Field(min_length=1)]
    seconds: float
    test_evaluations: int
    cpu_seconds: float | None = None
    teacher_cache: TeacherCost | None = None


@dataclass(frozen=True)
class DataSummary:
    """``data.json``: where the images are and how many: ``{part: {class: (images, groups)}}``.

    `leak` is how the split leaks, or None; `card` who is in the images, or None for a run made before that was kept.
    """

    layout: str
    path: str
    synthetic: bool
    digest: str
    split_digest: str
    counts: dict[str, dict[str, tuple[int, int]]]
    leak: Leak | None = None
    card: dict[str, Attribute] | None = None


@dataclass(frozen=True)
class Epoch:
    """A line of ``metrics.jsonl``. `epoch` counts from 0 in each stage; `train` is the loss: total, weighted parts."""

    stage: str
    epoch: int
    lr: float
    train: Annotated[dict[str, float], _with("total")]
    val: Annotated[dict[str, float], _with("balanced_accuracy")]

    @property
    def parts(self) -> dict[str, float]:
        """The weighted terms that add up to the loss, in the order they were logged."""
        return {name: value for name, value in self.train.items() if name != "total"}


@dataclasses.dataclass(frozen=True, eq=False)
class Run:
    """All that a report says of a run.

    `openings` of the test part are None for a run made before they were counted; those that are `early` too can have
    been learnt from. `attributes` of the test images are None where neither the run nor its data set is there to tell.
    """

    folder: Path
    recipe: str
    result: Result
    data: DataSummary
    environment: dict[str, str | int | float | None]
    epochs: tuple[Epoch, ...]
    val: Predictions
    test: Predictions
    openings: tuple[TestEvaluation, ...] | None = None
    early: tuple[TestEvaluation, ...] = ()
    attributes: dict[str, tuple[str, ...]] | None = None

    @property
    def teachers(self) -> tuple[Path, ...]:
        """The run folders of the teachers, as the recipe names them: relative to where it was run."""
        named = tomllib.loads(self.recipe).get("teacher", [])
        return tuple(map(Path, [named] if isinstance(named, str) else named))

    def history(self, stage: StageResult) -> list[Epoch]:
        """Return the epochs of a stage, in order."""
        return [epoch for epoch in self.epochs if epoch.stage == stage.name]


def read(folder: Path) -> Run:
    """Read a run folder.

    Raises
    ------
    RunError
        Where a file is missing or is not what training writes; names the file and what makes it.
    DataError
        Where a file of predictions is broken.
    """
    if not folder.is_dir():
        raise RunError(f"{folder}: no such run folder")
    for name, maker in _MADE_BY.items():
        if not (folder / name).is_file():
            raise RunError(f"{folder}: {name} is missing; {maker}")
    metrics = folder / "metrics.jsonl"
    lines = metrics.read_text(encoding="utf-8").splitlines()
    run = Run(
        folder=folder,
        recipe=(folder / "recipe.toml").read_text(encoding="utf-8"),
        result=_parsed(TypeAdapter(Result), folder / "result.json"),
        data=_parsed(TypeAdapter(DataSummary), folder / "data.json"),
        environment=_parsed(TypeAdapter(dict[str, str | int | float | None]), folder / "environment.json"),
        epochs=tuple(_valid(TypeAdapter(Epoch), line, f"{metrics}, line {n}") for n, line in enumerate(lines, start=1)),
        val=Predictions.load(folder / "predictions/val.csv"),
        test=Predictions.load(folder / "predictions/test.csv"),
    )
    _require_one_run(run)
    opened = holdout.evaluations(folder)
    return dataclasses.replace(
        run,
        openings=None if opened is None else tuple(opened),
        early=tuple(holdout.early(folder, opened or [])),
        attributes=_attributes(run),
    )


def _attributes(run: Run) -> dict[str, tuple[str, ...]] | None:
    """Return what is known of the test images: as the run wrote it down, or from the data set where it did not."""
    kept = run.folder / metadata.FILE
    if kept.is_file():
        return metadata.load(kept, run.test.ids)
    try:
        table = data.read(run.data.layout, Path(run.data.path))
    except DataError:
        return None
    row_of = {name: row for row, name in enumerate(table.ids)}
    if not all(name in row_of for name in run.test.ids):
        return None
    rows = [row_of[name] for name in run.test.ids]
    return {name: tuple(each.values[row] for row in rows) for name, each in metadata.told(table).items()}


def _parsed(kind: TypeAdapter[T], path: Path) -> T:
    return _valid(kind, path.read_text(encoding="utf-8"), str(path))


def _valid(kind: TypeAdapter[T], text: str, place: str) -> T:
    """Return what `text` says in JSON, or a `RunError` about its first fault."""
    try:
        return kind.validate_json(text)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        raise RunError(
            f"{place}: {where + ': ' if where else ''}{first['msg']}; it is not as training wrote it"
        ) from None


def _require_one_run(run: Run) -> None:
    """Refuse a folder whose files come from different runs."""
    for part, predictions in (("val", run.val), ("test", run.test)):
        if predictions.classes != run.result.classes:
            raise RunError(
                f"{run.folder}: predictions/{part}.csv has the classes {', '.join(predictions.classes)}, "
                f"result.json {', '.join(run.result.classes)}; one of them is of another run"
            )
    for stage in run.result.stages:
        if stage.best_epoch not in [epoch.epoch for epoch in run.history(stage)]:
            raise RunError(
                f"{run.folder}: metrics.jsonl lacks epoch {stage.best_epoch} of stage {stage.name!r}, which "
                "result.json calls its best; one of them is of another run"
            )
