"""Train the runs of a grid and compare its methods.

results.json    figures of every run; mean, spread, interval and seconds of every method; significance of differences
results.md      the same, to read
report.html     the comparison page
METHOD/seed-N/  a run folder each; log.txt: its output; failure.json: why it has no result; with folds, a folder of the
                run folders fold-0, fold-1, ...; repetitions are seed-N-split-1, ...
teachers/NAME/  the teachers that the grid trains
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, replace
from html import escape
from pathlib import Path

from filelock import FileLock, Timeout

from dspkd import data, reports
from dspkd.data.training_folds import training_folds
from dspkd.errors import RunError
from dspkd.experiments.compare import grid as grids
from dspkd.experiments.compare import shared_outputs
from dspkd.experiments.compare.executors import Executor
from dspkd.experiments.compare.grid import Comparison, Grid
from dspkd.experiments.compare.planned_run import PlannedRun
from dspkd.reports import comparison_markdown, comparison_results, wording
from dspkd.reports.comparison_results import Results
from dspkd.runs import build, folds, hardware, resume, validate, void_terms
from dspkd.runs.files import RunFiles
from dspkd.runs.run_folder import Run
from dspkd.runtime.files import write_json, write_text

FAILURE = "failure.json"


@dataclass(frozen=True)
class GridResult:
    """Results of a grid: of each comparison, and its page."""

    results: list[Results]
    pages: list[Path]

    @property
    def failed(self) -> int:
        """Return how many runs have no result."""
        return len({folder for results in self.results for folder in results.failed})

    def _repr_html_(self) -> str:
        """Return what a notebook shows: balanced accuracy of each method, and its verdicts against the controls."""
        metric = "balanced_accuracy"
        rows = []
        for results in self.results:
            for arm in results.arms:
                score = arm.figures[metric]
                verdicts = [v for v in results.verdicts if v.one == arm.name and v.metric == metric]
                words = ", ".join(
                    f"against {v.other}: {wording.result(v)}" if v.p is None else
                    f"{wording.result(v)} {'against' if v.word == 'inconclusive' else 'than'} {v.other}"
                    for v in verdicts
                )  # fmt: skip
                cells = (results.name, arm.name, len(arm.runs), f"{score.mean:.3f}", words)
                rows.append("".join(f"<td>{escape(str(cell))}</td>" for cell in cells))
        head = "".join(f"<th>{name}</th>" for name in ("", "method", "runs", "balanced accuracy", "result"))
        failed = f"<p>{self.failed} runs have no result; the same call tries them again.</p>" if self.failed else ""
        return f"<table><tr>{head}</tr>{''.join(f'<tr>{row}</tr>' for row in rows)}</table>{failed}"


def compare(
    grid: Grid,
    out: Path,
    executor: Executor,
    *,
    jobs: int = 1,
    log: Callable[[str], None] = lambda _: None,
    progress: Callable[[int, int], None] = lambda _done, _of: None,
) -> GridResult:
    """Train the runs of a grid that are not finished in `out`, and compare its methods.

    May be killed at any moment: the same call resumes, and ends with the same figures. A failed run is recorded and the
    others go on; the next call retries it.

    Parameters
    ----------
    grid
        The grid.
    out
        Its folder; created if missing.
    executor
        Trains the runs.
    jobs
        How many runs it trains at once: a run whose recipe sets no number of threads gets its share of the cores.
    log
        Called with one line for each run that ends.
    progress
        Called with the number of runs that have ended, and that of all runs to train.

    Raises
    ------
    RecipeError, DataError
        Before anything is trained.
    RunError
        `out` is in use or holds runs of other recipes, or finished ones whose teacher is another one now; or a teacher
        that the grid does not train is missing.
    """
    comparisons = grids.comparisons(grid, _relative_to_working_directory(out))
    teachers, students = _planned_runs(comparisons)
    _check(teachers, students)
    with _locked(out):
        for run in teachers + students:
            _require_same_kind(run)
            RunFiles(run.folder).require_recipe(run.recipe.digest)
        _require_same_teachers(students)
        for run in teachers + students:
            if not _finished(run):
                _write_recipe(run, jobs)
        errors: dict[Path, str] = {}
        to_train = sum(not _finished(run) for run in teachers + students)
        ended = 0

        def end(line: str) -> None:
            nonlocal ended
            ended += 1
            log(line)
            progress(ended, to_train)

        progress(0, to_train)
        taught = [run for run in students if run.recipe.teachers]
        _train([*teachers, *(run for run in students if not run.recipe.teachers)], executor, errors, end)
        _require_same_teachers(taught)  # a teacher that was missing is there again
        ready = [run for run in taught if not (_finished(run) or _failed_teachers(run, errors))]
        shared_outputs.announce(ready, log)
        _train(taught, executor, errors, end)
        return _write_results(grid, comparisons, out, errors)


def _planned_runs(comparisons: Sequence[Comparison]) -> tuple[list[PlannedRun], list[PlannedRun]]:
    """Return the teachers of all comparisons, each once, and the students, seed by seed."""
    teachers = {run.folder: run for comparison in comparisons for run in comparison.teachers}
    seeds = [seed for comparison in comparisons for seed in zip(*comparison.runs.values(), strict=True)]
    return list(teachers.values()), [run for seed in seeds for run in seed]


def _check(teachers: Sequence[PlannedRun], students: Sequence[PlannedRun]) -> None:
    """Check recipes, data, split, and finished teachers before hours are spent."""
    to_train = {str(run.folder) for run in teachers}
    recipes = {replace(run.recipe, seed=0).digest: run.recipe for run in [*teachers, *students]}.values()
    for recipe in recipes:
        validate.check(recipe)
    folds = {recipe.teacher.cross_fit for recipe in recipes if recipe.teacher and recipe.teacher.cross_fit}
    tables = {recipe.data: data.load_table(**build.data_options(recipe)) for recipe in recipes}
    for recipe in recipes:
        void_terms.refuse(recipe, len(tables[recipe.data].classes))
    for recipe in {(recipe.data, recipe.split): recipe for recipe in recipes}.values():
        dataset = build.divided(recipe, tables[recipe.data])
        for count in folds:
            training_folds(dataset.table, dataset.split, count)
    for folder in sorted({folder for recipe in recipes for folder in recipe.teachers} - to_train):
        _ = Run(folder).model


def _require_same_kind(run: PlannedRun) -> None:
    """Refuse to train folds beside a run without folds, or the reverse."""
    above = RunFiles(run.folder.parent).recipe.exists()
    if above or folds.folder_of(run.folder, 0).exists():
        raise RunError(
            f"{run.folder}: the folder has runs {'without' if above else 'of'} folds, and the grid is "
            f"{'with' if above else 'without'} them; choose another folder (--out)"
        )


def _finished(run: PlannedRun) -> bool:
    files = RunFiles(run.folder)
    return files.result.exists() and files.report.exists()


def _require_same_teachers(runs: Iterable[PlannedRun]) -> None:
    for run in runs:
        if (files := RunFiles(run.folder)).result.exists():
            resume.require_taught_by_the_same(files, run.recipe)


def _write_recipe(run: PlannedRun, jobs: int) -> None:
    """Write the run's recipe into its folder, and delete the record of an earlier failure."""
    run.folder.mkdir(parents=True, exist_ok=True)
    RunFiles(run.folder).write_recipe(hardware.of_job(run.recipe, jobs))
    (run.folder / FAILURE).unlink(missing_ok=True)


def _failed_teachers(run: PlannedRun, errors: Mapping[Path, str]) -> list[Path]:
    return [folder for folder in run.waits_for if folder in errors]


def _train(runs: Sequence[PlannedRun], executor: Executor, errors: dict[Path, str], log: Callable[[str], None]) -> None:
    """Train the runs that have no result; record failures in `errors` and in the run folders."""

    def end(folder: Path, error: str | None) -> None:
        if error:
            errors[folder] = error
            write_json(folder / FAILURE, {"error": error})
        log(f"{folder}: {error or 'done'}")

    pending = []
    for run in runs:
        if _finished(run):
            continue
        if failed_teachers := _failed_teachers(run, errors):
            end(run.folder, f"its teacher {failed_teachers[0]} failed")
        else:
            pending.append(run.folder)
    if not pending:
        return
    with closing(executor(pending)) as ended:
        for folder, error in ended:
            end(folder, error)


def _write_results(grid: Grid, comparisons: Sequence[Comparison], out: Path, errors: Mapping[Path, str]) -> GridResult:
    """Write tables and pages of the finished runs."""
    results, pages = [], []
    for comparison in comparisons:
        students = [run for runs in comparison.runs.values() for run in runs]
        done = _done(students)
        results.append(
            comparison_results.tabulate(
                comparison.name,
                done,
                _done(comparison.teachers),
                controls=(comparison.plain, comparison.smoothed),
                failed={
                    str(run.folder): errors[run.folder] + _lost(run)
                    for run in [*comparison.teachers, *students]
                    if run.folder in errors
                },
                unequal=[str(grid.unequal), *comparison.differences] if comparison.differences else [],
                decide_by=grid.decide_by,
            )
        )
        if done:
            pages.append(reports.compare(done, comparison.folder / "report.html", grid.decide_by))
    write_text(out / "results.json", comparison_results.as_json(results))
    write_text(out / "results.md", comparison_markdown.markdown(results))
    return GridResult(results, pages)


def _done(runs: Sequence[PlannedRun]) -> list[Path]:
    """Return the folders of the finished runs; with folds, of those that are finished in all folds and repetitions."""
    finished: dict[Path, bool] = {}
    for run in runs:
        finished[run.unit] = finished.get(run.unit, True) and _finished(run)
    return list(dict.fromkeys(run.whole for run in runs if finished[run.unit]))


def _lost(run: PlannedRun) -> str:
    """Return what else is missing with a run that failed."""
    if run.whole == run.folder:
        return ""
    return f"; without this fold there is no result of {run.unit}"


@contextmanager
def _locked(out: Path) -> Iterator[None]:
    """Lock the folder against other comparisons; create it if missing."""
    if out.is_file():
        raise RunError(f"{out}: is a file; --out names a folder")
    out.mkdir(parents=True, exist_ok=True)
    try:
        with FileLock(out / ".lock", timeout=0):
            yield
    except Timeout:
        raise RunError(
            f"{out}: another dspkd compare is running there; wait, or choose another folder (--out)"
        ) from None


def _relative_to_working_directory(out: Path) -> Path:
    """Return `out` relative to the working directory if it lies below: recipes hold the paths of their teachers."""
    path, here = out.resolve(), Path.cwd()
    return path.relative_to(here) if path.is_relative_to(here) else path
