"""Estimate how long a grid will take on this machine: time a few steps of each kind of run; train and save nothing."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from dspkd.data.loader import Key
from dspkd.experiments.compare import grid as grids
from dspkd.experiments.compare.grid import Grid
from dspkd.experiments.compare.planned_run import PlannedRun, without_division
from dspkd.experiments.compare.shared_outputs import shared_settings
from dspkd.recipes.schema import Recipe
from dspkd.runs import build, hardware, teacher_cache, unlabelled
from dspkd.runs.estimates import AROUND, CacheEstimate, Plan
from dspkd.runs.plan import STEPS, plan, stand_in
from dspkd.training.progress import NullProgress
from dspkd.training.teachers.frozen import FrozenTeacher


@dataclass(frozen=True)
class RunsPlan:
    """Runs of a grid that differ in their seed or fold alone.

    Attributes
    ----------
    name
        The method, or the teacher, after the names of data and student where the grid has several.
    count
        Number of runs.
    seconds
        Of one of them, without what is cached for all.
    taught
        Whether they have a teacher, which is trained before them.
    """

    name: str
    count: int
    seconds: float
    taught: bool = False


@dataclass(frozen=True)
class GridPlan:
    """The estimated time of a grid.

    Attributes
    ----------
    teachers, students
        The runs; fold teachers count as teachers.
    images, teacher_outputs
        What the runs compute once and share; for an empty cache.
    jobs, threads
        Runs trained at the same time, and threads of each.
    warnings
        Of all recipes, each once.
    """

    teachers: tuple[RunsPlan, ...]
    students: tuple[RunsPlan, ...]
    images: CacheEstimate
    teacher_outputs: CacheEstimate
    jobs: int
    threads: int
    warnings: tuple[str, ...] = ()

    @property
    def seconds(self) -> float:
        """Return the expected wall time if jobs do not slow each other down."""
        cached = self.images.seconds + self.teacher_outputs.seconds
        first = [*self.teachers, *(each for each in self.students if not each.taught)]
        return cached + self._phase(first) + self._phase(each for each in self.students if each.taught)

    def _phase(self, plans: Iterable[RunsPlan]) -> float:
        """Return the time until all runs have ended, the longest first, each by the job that is free first."""
        busy_until = [0.0] * self.jobs
        for seconds in sorted((each.seconds for each in plans for _ in range(each.count)), reverse=True):
            busy_until[busy_until.index(min(busy_until))] += seconds
        return max(busy_until)


def plan_grid(
    grid: Grid, *, jobs: int = 1, steps: int = STEPS, log: Callable[[str], None] = lambda _: None
) -> GridPlan:
    """Time `steps` steps of each stage of each method and teacher, once whatever the seeds and folds.

    A teacher that the grid trains is replaced by its network with random weights, which takes as long. Runs that read
    the same teacher's outputs compute them together, so that the views of all their seeds are counted once.

    Parameters
    ----------
    jobs
        Runs to train at the same time; each gets its share of the cores.
    log
        Called with a line before each recipe is timed.

    Raises
    ------
    RecipeError, DataError, RunError, WeightsError
        As training would.
    """
    comparisons = grids.comparisons(grid, Path("grid"))
    teachers = {run.folder: run for comparison in comparisons for run in comparison.teachers}
    timed: dict[str, Plan] = {}

    def planned(run: PlannedRun) -> Plan:
        recipe = _typical(run.recipe, jobs)
        key = without_division(recipe).digest  # all folds and repetitions of a method take as long
        if key not in timed:
            log(f"timing {run.recipe.name}")
            trained = next((teachers[folder].recipe for folder in run.waits_for), None)
            untrained = _stand_in(trained) if trained else None
            measured = plan(_without_folds(recipe) if untrained else recipe, steps=steps, stand_in=untrained)
            timed[key] = _all_passes(measured) if untrained else measured
        return timed[key]

    of_teachers = _grouped((run.recipe.name, run) for run in teachers.values())
    students = [
        (" ".join(filter(None, (comparison.name, name))), run)
        for comparison in comparisons
        for name, runs in comparison.runs.items()
        for run in runs
    ]
    teacher_plans = [RunsPlan(name, len(runs), _alone(planned(runs[0]))) for name, runs in of_teachers.items()]
    teacher_plans += _fold_teachers([run for _, run in students], teachers, planned)
    student_plans = [
        RunsPlan(name, len(runs), _alone(planned(runs[0])), bool(runs[0].recipe.teachers))
        for name, runs in _grouped(students).items()
    ]
    everything = [*teachers.values(), *(run for _, run in students)]
    return GridPlan(
        tuple(teacher_plans),
        tuple(student_plans),
        _images(everything, planned),
        _teacher_outputs([run for _, run in students], planned),
        jobs,
        hardware.of_job(students[0][1].recipe, jobs).machine.threads,
        tuple(dict.fromkeys(warning for each in timed.values() for warning in each.warnings)),
    )


def _typical(recipe: Recipe, jobs: int) -> Recipe:
    """Return the recipe that stands for its runs of all seeds and folds."""
    first = None if recipe.split.folds is None else 0
    return hardware.of_job(replace(recipe, seed=0, split=replace(recipe.split, fold=first)), jobs)


def _stand_in(recipe: Recipe) -> FrozenTeacher:
    classes = len(build.load_data(recipe).table.classes)
    return stand_in(recipe.model.name, classes, hardware.device(recipe.machine))


def _without_folds(recipe: Recipe) -> Recipe:
    """Return the recipe without fold teachers, which cannot be planned before their teacher is trained."""
    if recipe.teacher is None or recipe.teacher.cross_fit is None:
        return recipe
    return replace(recipe, teacher=replace(recipe.teacher, cross_fit=None))


def _all_passes(measured: Plan) -> Plan:
    """Return a plan with a stand-in, which makes one pass for each view, as with all passes of the teachers."""
    outputs = measured.teacher_outputs
    stages = tuple(replace(stage, teaching=stage.teaching * measured.passes) for stage in measured.stages)
    return replace(measured, stages=stages, teacher_outputs=replace(outputs, seconds=outputs.seconds * measured.passes))


def _alone(measured: Plan) -> float:
    """Return the seconds of a run whose images and teacher outputs are cached."""
    return replace(measured, images=CacheEstimate(), teacher_outputs=CacheEstimate()).seconds


def _grouped(runs: Iterable[tuple[str, PlannedRun]]) -> dict[str, list[PlannedRun]]:
    groups: dict[str, list[PlannedRun]] = defaultdict(list)
    for name, run in runs:
        groups[name].append(run)
    return groups


def _fold_teachers(
    students: Sequence[PlannedRun], teachers: dict[Path, PlannedRun], planned: Callable[[PlannedRun], Plan]
) -> list[RunsPlan]:
    """Return the fold teachers of ``teacher.cross_fit``, each trained without one fold of its teacher's images."""
    counts = {
        (folder, run.recipe.teacher.cross_fit)
        for run in students
        for folder in run.waits_for
        if run.recipe.teacher and run.recipe.teacher.cross_fit
    }
    plans = []
    for folder, count in sorted(counts):
        trained = _alone(planned(teachers[folder])) - AROUND  # they have no report
        name = f"{teachers[folder].recipe.name}, fold teachers"
        plans.append(RunsPlan(name, count, (count - 1) / count * trained))
    return plans


def _images(runs: Iterable[PlannedRun], planned: Callable[[PlannedRun], Plan]) -> CacheEstimate:
    """Return the cost of decoding: once for each data set and size, the largest of the runs that share it."""
    shared: dict[tuple[object, ...], CacheEstimate] = {}
    for run in runs:
        key = (run.recipe.data.path, run.recipe.images.size, tuple(run.recipe.images.artefacts))
        shared[key] = max(shared.get(key, CacheEstimate()), planned(run).images, key=lambda cost: cost.seconds)
    return _sum(shared.values())


def _teacher_outputs(students: Iterable[PlannedRun], planned: Callable[[PlannedRun], Plan]) -> CacheEstimate:
    """Return the cost of the teachers' outputs: for runs that share them, of the views of all together."""
    groups: dict[str, list[PlannedRun]] = defaultdict(list)
    for run in students:
        if teacher_cache.is_used(run.recipe) and planned(run).teacher_outputs.count:
            groups[shared_settings(run.recipe)].append(run)
    costs = []
    for group in groups.values():
        each = [planned(run).teacher_outputs for run in group]
        views: set[Key] = set().union(*(_views(run.recipe) for run in group))
        seconds, nbytes = (max(getattr(cost, name) / cost.count for cost in each) for name in ("seconds", "nbytes"))
        costs.append(CacheEstimate(len(views), len(views) * seconds, len(views) * nbytes))
    return _sum(costs)


def _views(recipe: Recipe) -> set[Key]:
    """Return all views of all images that a run shows its teacher."""
    dataset = build.load_data(recipe)
    table, rows = dataset.table, dataset.split.rows("train")
    found = unlabelled.load(recipe, table, dataset.split, NullProgress())
    images = found.after(table) if found else table
    beside = np.arange(len(table), len(images))
    batches = build.train_batches(recipe, images, rows, hardware.device(recipe.machine), unlabelled=beside)
    return teacher_cache.schedule(recipe, batches)


def _sum(costs: Iterable[CacheEstimate]) -> CacheEstimate:
    total = CacheEstimate()
    for cost in costs:
        total = CacheEstimate(total.count + cost.count, total.seconds + cost.seconds, total.nbytes + cost.nbytes)
    return total
