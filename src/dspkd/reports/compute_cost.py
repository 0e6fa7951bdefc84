"""What an arm cost: its own training, and its full share of what it needs and others may have paid for.

A teacher is trained once and its answers are stored once, for many arms. To compare an arm with one that needs
neither, it is charged with all of both, as if it were the only one; arms are therefore not to be added up.
"""

from __future__ import annotations

import json
import tomllib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from dspkd.reports import wording
from dspkd.runs.run_folder import Run

CAPTION = (
    "What each took, all its runs together: by the clock, and in brackets of the processor (all threads; loader "
    "processes and GPUs are not in it). Each is charged with all of its teachers' training and stored answers, "
    "though others use them too, so rows are not to be added up. Decoding and the final test are left out; a dash is "
    "time that nobody wrote down."
)
"""What must be known to read the table."""

HEADINGS = ("arm", "own training", "teacher's answers", "teachers' training", "all")
"""Of the table."""


@dataclass(frozen=True)
class Time:
    """Seconds by the clock, and of the processor (all threads together); None where nobody wrote them down."""

    seconds: float | None
    cpu_seconds: float | None

    @classmethod
    def sum(cls, times: Iterable[Time]) -> Time:
        """Return the sum; a part that is not known leaves it unknown."""
        several = list(times)
        clock, processor = [each.seconds for each in several], [each.cpu_seconds for each in several]
        return cls(_sum(clock), _sum(processor))


@dataclass(frozen=True)
class ComputeCost:
    """What the runs of an arm took.

    Attributes
    ----------
    own
        Training of all its runs, validation after each epoch included; decoding and the final test are not.
    cache
        Its teacher's stored answers, as they took when they were made; they serve all seeds, so the most that one of
        its runs reads. Nothing without a cache: then asking the teacher is part of `own`.
    teachers
        Training of its teachers, with theirs and their caches.
    """

    own: Time
    cache: Time
    teachers: Time

    @property
    def all(self) -> Time:
        """The sum."""
        return Time.sum([self.own, self.cache, self.teachers])


def of(runs: Sequence[Run]) -> ComputeCost:
    """Return what the runs of one recipe took."""
    caches = [cache for run in runs if (cache := _cache_cost(run))]
    folders = dict.fromkeys(folder for run in runs for folder in run.teachers)
    return ComputeCost(
        own=Time.sum(Time(run.result.seconds, run.result.cpu_seconds) for run in runs),
        cache=Time(_most([cache.seconds for cache in caches]), _most([cache.cpu_seconds for cache in caches])),
        teachers=Time.sum(_trained(folder) for folder in folders),
    )


def _cache_cost(run: Run) -> Time | None:
    """Return what a run's cache took; None for a run without one. Of a run made before that was kept, nobody knows."""
    if run.result.teacher_cache:
        return Time(run.result.teacher_cache.seconds, run.result.teacher_cache.cpu_seconds)
    views = tomllib.loads(run.recipe).get("images", {}).get("views", "fresh")
    return Time(None, None) if run.result.cpu_seconds is None and run.teachers and views != "fresh" else None


def rows(spent: Mapping[str, ComputeCost]) -> list[list[str]]:
    """Return a line of the table for each arm."""
    return [
        [
            name,
            *(f"{_said(part.seconds)} ({_said(part.cpu_seconds)})" for part in (it.own, it.cache, it.teachers, it.all)),
        ]
        for name, it in spent.items()
    ]


def _said(seconds: float | None) -> str:
    return "\N{EN DASH}" if seconds is None else wording.duration(seconds)


def _trained(run: Path) -> Time:
    """Return what the run of a teacher took, its own teachers and cache included; nothing known where it is gone."""
    try:
        result = json.loads((run / "result.json").read_text(encoding="utf-8"))
        named = tomllib.loads((run / "recipe.toml").read_text(encoding="utf-8")).get("teacher", [])
    except (OSError, ValueError):
        return Time(None, None)
    parts = [result, result["teacher_cache"]] if result.get("teacher_cache") else [result]
    earlier = [Path(folder) for folder in ([named] if isinstance(named, str) else named)]
    return Time.sum([*(Time(part.get("seconds"), part.get("cpu_seconds")) for part in parts), *map(_trained, earlier)])


def _sum(known: Sequence[float | None]) -> float | None:
    return None if None in known else round(sum(value for value in known if value is not None), 1)


def _most(known: Sequence[float | None]) -> float | None:
    return None if None in known else max((value for value in known if value is not None), default=0.0)
