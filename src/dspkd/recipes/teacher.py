"""What a student learns from, as strict, frozen, typed data."""

from __future__ import annotations

from typing import Annotated, Any, Self

from pydantic import BeforeValidator, model_validator
from pydantic.dataclasses import dataclass

from dspkd.recipes.stage import STRICT


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

    run: Annotated[tuple[str, ...], BeforeValidator(_folders_or_none)] = ()
    """The teacher's run folder, relative to the working directory. With several, the student learns from the mean of
    their probabilities and the maps of the first."""
    answers: str | None = None
    """In place of a run: a CSV or parquet file with logits, probabilities or embeddings of each training image, of any
    model anywhere; see `dspkd.data.answer_files`. They are the same for all views of an image."""

    @model_validator(mode="after")
    def _require_a_run_or_answers(self) -> Self:
        if bool(self.run) == (self.answers is not None):
            raise ValueError("name either a run folder, run = ..., or a file of answers, answers = ...")
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
