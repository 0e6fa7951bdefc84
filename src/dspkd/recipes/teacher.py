"""What a student learns from, as strict, frozen, typed data."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import BeforeValidator
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


@dataclass(frozen=True, kw_only=True, config=STRICT)
class TeacherConfig:
    """The table `[teacher]`."""

    run: Annotated[tuple[str, ...], BeforeValidator(_folders)]
    """The teacher's run folder, relative to the working directory. With several, the student learns from the mean of
    their probabilities and the maps of the first."""


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
