"""What a student learns from, as strict, frozen, typed data."""

from __future__ import annotations

from typing import Annotated, Any, Literal, Self

from pydantic import BeforeValidator, Field, model_validator
from pydantic.dataclasses import dataclass

from dspkd.recipes.stage import STRICT, FilePath, Side


def _folders(value: Any) -> tuple[str, ...]:
    """Return one run folder, or a list of them, as a tuple."""
    runs = (value,) if isinstance(value, str) else tuple(value) if isinstance(value, list | tuple) else ()
    if not runs or not all(isinstance(run, str) and run for run in runs):
        raise ValueError(f"write a run folder or a list of run folders, got {value!r}")
    if len(set(runs)) != len(runs):
        raise ValueError(f"a run folder is named twice, got {list(runs)}")
    return runs


def _folders_or_none(value: Any) -> tuple[str, ...]:
    """Return run folders, none where the teacher is a file: a recipe in a run folder has that written out."""
    return () if value in ([], ()) else _folders(value)


@dataclass(frozen=True, kw_only=True, config=STRICT)
class TeacherConfig:
    """The table `[teacher]`."""

    run: Annotated[
        tuple[FilePath, ...], BeforeValidator(_folders_or_none, json_schema_input_type=str | tuple[str, ...])
    ] = ()
    """The teacher's run folder, relative to the working directory; `teacher = "runs/teacher"` says the same. With
    several, the student learns from the mean of their probabilities and the maps of the first."""
    answers: FilePath | None = None
    """In place of a run: a CSV or parquet file with logits, probabilities or embeddings of each training image, of any
    model anywhere; see `dspkd.data.answer_files`. They are the same for all views of an image."""
    weights: Literal["mean", "agreement", "label"] = "mean"
    """Weights of several teachers: all the same, or for each image by their agreement with each other, or with its
    label."""
    views: Literal[1, 2, 8] = 1
    """Average logits and pooled vectors over the image alone, over it and its left-right flip, or over all flips and
    quarter turns. Maps are those of the image as it is."""
    size: Side | None = None
    """Side in pixels of the images that the teacher sees, at least `images.size`: the same crop with the detail of the
    file, not the student's image enlarged. By default the student's size."""
    cross_fit: Annotated[int, Field(ge=2, le=1000)] | None = None
    """Number of folds of the training lesions. As many teachers are trained, each without one fold, and answer only
    about the lesions that they never saw. The teacher of `run` is evaluated, and gives maps and pooled vectors."""

    @model_validator(mode="after")
    def _require_a_run_or_answers(self) -> Self:
        if bool(self.run) == (self.answers is not None):
            raise ValueError("name either a run folder, run = ..., or a file of answers, answers = ...")
        settings = {
            "weights": self.weights != "mean",
            "views": self.views != 1,
            "size": self.size,
            "cross_fit": self.cross_fit,
        }
        if self.answers and any(settings.values()):
            name = next(name for name, value in settings.items() if value)
            raise ValueError(f"{name} is for a teacher that is run, and answers = ... are in a file; leave one out")
        return self

    @model_validator(mode="after")
    def _require_enough_teachers(self) -> Self:
        if self.weights == "label" and len(self.run) < 2:
            raise ValueError('weights = "label" chooses among teachers, and run names one; name two or more')
        if self.weights == "agreement" and len(self.run) < 3:
            raise ValueError(
                f'weights = "agreement" needs three teachers, got {len(self.run)}: two agree equally with each other; '
                'name a third, or set weights = "label" or "mean"'
            )
        return self


def as_table(value: Any) -> Any:
    """Return a teacher's run folder, or a list of them, as the table with `run` alone that it is short for.

    Raises
    ------
    ValueError
        It is neither, nor a table.
    """
    if value is None or isinstance(value, dict | TeacherConfig):
        return value
    return TeacherConfig(run=_folders(value))
