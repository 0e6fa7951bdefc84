"""Compute cost of an arm: its own training, its teacher cache, and the training of its teachers.

A teacher is trained once and its outputs are cached once, for many arms. Each arm is charged with all of both, as if it
were the only one, so that it compares with an arm that needs neither; costs of arms must not be added up.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from dspkd.errors import DspkdError
from dspkd.reports import wording
from dspkd.runs.reading import opened
from dspkd.runs.run_folder import Run

CAPTION = (
    "Time of all runs of a method: wall clock, and in brackets processor time (all threads, without loader processes "
    "and GPUs). Each method is charged with all of its teachers' training and cached outputs, though others use them "
    "too, so rows must not be added up. Decoding and the final test-set evaluation are not included; a dash is time "
    "that was not recorded."
)
"""The caption of the table."""

HEADINGS = ("method", "own training", "teacher cache", "teacher training", "total")
"""The columns of the table."""


@dataclass(frozen=True)
class Time:
    """Wall-clock seconds, and processor seconds of all threads; None where not recorded."""

    seconds: float | None
    cpu_seconds: float | None

    @classmethod
    def sum(cls, times: Iterable[Time]) -> Time:
        """Return the sum; None where a part is None."""
        parts = list(times)
        clock, processor = [part.seconds for part in parts], [part.cpu_seconds for part in parts]
        return cls(_sum(clock), _sum(processor))


@dataclass(frozen=True)
class ComputeCost:
    """The compute cost of the runs of an arm.

    Attributes
    ----------
    own
        Training of all its runs, with validation after each epoch; without decoding and the final test-set evaluation.
    cache
        Computing the cached teacher outputs. They serve all seeds, so it is the maximum over the runs with one division
        of the images, and the sum over divisions. 0 without a cache: then the teacher's forward passes are part of
        `own`.
    teachers
        Training of its teachers, with their own teachers and caches.
    """

    own: Time
    cache: Time
    teachers: Time

    @property
    def all(self) -> Time:
        """The sum."""
        return Time.sum([self.own, self.cache, self.teachers])


def of(runs: Sequence[Run]) -> ComputeCost:
    """Compute the cost of the runs of one recipe."""
    caches: dict[int, list[Time]] = {}
    for run in runs:
        if cache := _cache_cost(run):
            caches.setdefault(run.recipe.split.seed, []).append(cache)
    folders = dict.fromkeys(folder for run in runs for folder in _teachers(run))
    return ComputeCost(
        own=Time.sum(Time(run.result.seconds, run.result.cpu_seconds) for run in runs),
        cache=Time.sum(map(_most, caches.values())),
        teachers=Time.sum(_trained(folder) for folder in folders),
    )


def _cache_cost(run: Run) -> Time | None:
    """Return the cost of a run's teacher cache; None for a run without one, unknown times where it was not recorded."""
    if run.result.teacher_cache:
        return Time(run.result.teacher_cache.seconds, run.result.teacher_cache.cpu_seconds)
    cached = run.teachers and run.recipe.images.views != "fresh"
    return Time(None, None) if run.result.cpu_seconds is None and cached else None


def rows(costs: Mapping[str, ComputeCost]) -> list[list[str]]:
    """Return a line of the table for each arm."""
    return [
        [
            name,
            *(
                f"{_duration(part.seconds)} ({_duration(part.cpu_seconds)})"
                for part in (it.own, it.cache, it.teachers, it.all)
            ),
        ]
        for name, it in costs.items()
    ]


def _duration(seconds: float | None) -> str:
    return "\N{EN DASH}" if seconds is None else wording.duration(seconds)


def _teachers(run: Run) -> list[Path]:
    """Return the run folders of a run's teachers, those of its folds included."""
    return [*run.teachers, *map(Path, run.result.fold_teachers)]


def _trained(folder: Path) -> Time:
    """Return the training time of a teacher's run with its own teachers and cache; unknown where the run is gone."""
    try:
        run = opened(folder)
        own = Time(run.result.seconds, run.result.cpu_seconds)
        return Time.sum([own, *([cache] if (cache := _cache_cost(run)) else []), *map(_trained, _teachers(run))])
    except DspkdError:
        return Time(None, None)


def _sum(seconds: Sequence[float | None]) -> float | None:
    return None if None in seconds else round(sum(value for value in seconds if value is not None), 1)


def _most(times: Sequence[Time]) -> Time:
    """Return the longest wall-clock and processor times; None where one was not recorded."""
    clock, processor = ([getattr(time, name) for time in times] for name in ("seconds", "cpu_seconds"))
    return Time(*(None if None in several else max(several) for several in (clock, processor)))
