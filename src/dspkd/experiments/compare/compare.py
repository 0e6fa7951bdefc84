"""A grid of runs becomes a table of verdicts.

results.json   every run's figures, every arm's mean, spread, interval and seconds, every verdict
results.md     the same to read
report.html    the comparison page
ARM/seed-N/    a run folder each; log.txt: what it said; failure.json: why it has no result
teachers/NAME/ the teachers that the grid trains
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from filelock import FileLock, Timeout

from dspkd import reports
from dspkd.errors import RunError
from dspkd.experiments.compare import grid
from dspkd.experiments.compare.executors import Engine
from dspkd.experiments.compare.grid import Comparison, Grid, PlannedRun
from dspkd.recipes import schema
from dspkd.reports import comparison_markdown, comparison_results
from dspkd.reports.comparison_results import Results
from dspkd.runs import build, validate
from dspkd.runtime.cores import available_cores
from dspkd.runtime.files import write_json, write_text

FAILURE = "failure.json"


@dataclass(frozen=True)
class GridResult:
    """What a grid came to: the results of each block, and its page."""

    results: list[Results]
    pages: list[Path]

    @property
    def failed(self) -> int:
        """Return how many runs have no result."""
        return len({folder for found in self.results for folder in found.failed})


def compare(
    wanted: Grid, out: Path, engine: Engine, *, jobs: int = 1, log: Callable[[str], None] = lambda _: None
) -> GridResult:
    """Train what a grid asks for and is not finished in `out`, then say what came of it.

    May be killed at any moment: the same call goes on, and ends with the same figures. A run that fails is recorded
    and the others go on; the next call tries again.

    Parameters
    ----------
    wanted
        The grid.
    out
        Its folder; made if missing.
    engine
        Trains the runs.
    jobs
        How many it trains at once: a run whose recipe names no number of threads has its share of the cores.
    log
        Is told, in a line, of each run that ends.

    Raises
    ------
    RecipeError, DataError
        Before anything is trained.
    RunError
        `out` is in use or holds runs of other recipes, or a teacher that the grid does not train is not there.
    """
    blocks = grid.blocks(wanted, _as_seen_from_here(out))
    teachers, students = _cells(blocks)
    _check(teachers, students)
    with _alone(out):
        for cell in teachers + students:
            _require_same_recipe(cell)
        for cell in teachers + students:
            if not _finished(cell):
                _claim(cell, max(1, _cores() // jobs))
        errors: dict[Path, str] = {}
        for cells in (teachers, students):
            _train(cells, engine, errors, log)
        return _conclude(wanted, blocks, out, errors)


def _cells(blocks: Sequence[Comparison]) -> tuple[list[PlannedRun], list[PlannedRun]]:
    """Return the teachers of all blocks, each once, and the students, seed by seed."""
    teachers = {cell.folder: cell for block in blocks for cell in block.teachers}
    seeds = [seed for block in blocks for seed in zip(*block.cells.values(), strict=True)]
    return list(teachers.values()), [cell for seed in seeds for cell in seed]


def _check(teachers: Sequence[PlannedRun], students: Sequence[PlannedRun]) -> None:
    """Check what can be known before hours are spent: recipes, data, split, and teachers that are not to be trained."""
    to_train = {str(cell.folder) for cell in teachers}
    arms = {replace(cell.recipe, seed=0).digest: cell.recipe for cell in [*teachers, *students]}.values()
    for made in arms:
        validate.check(made)
    for recipe in {json.dumps([asdict(made.data), asdict(made.split)]): made for made in arms}.values():
        build.load_data(recipe)
    for run in {run for made in arms for run in made.teachers} - to_train:
        build.trained(Path(run))


def _require_same_recipe(cell: PlannedRun) -> None:
    """Refuse a folder in which a run of another recipe lies."""
    there = cell.folder / "recipe.toml"
    if there.exists() and (found := schema.load(there)).digest != cell.recipe.digest:
        raise RunError(
            f"{cell.folder}: holds a run of recipe {found.digest}, but the grid asks for {cell.recipe.digest}; choose "
            "another --out, or delete this folder"
        )


def _finished(cell: PlannedRun) -> bool:
    return all((cell.folder / name).exists() for name in ("result.json", "report.html"))


def _claim(cell: PlannedRun, threads: int) -> None:
    """Write the run's recipe into its folder."""
    cell.folder.mkdir(parents=True, exist_ok=True)
    machine = cell.recipe.machine
    made = replace(cell.recipe, machine=replace(machine, threads=machine.threads or threads))
    write_text(cell.folder / "recipe.toml", schema.dump(made))
    (cell.folder / FAILURE).unlink(missing_ok=True)


def _train(cells: Sequence[PlannedRun], engine: Engine, errors: dict[Path, str], log: Callable[[str], None]) -> None:
    """Train the runs that have no result; add what goes wrong to `errors`, and to the run's folder."""

    def end(folder: Path, error: str | None) -> None:
        if error:
            errors[folder] = error
            write_json(folder / FAILURE, {"error": error})
        log(f"{folder}: {error or 'done'}")

    pending = []
    for cell in cells:
        lacking = [folder for folder in cell.waits_for if folder in errors]
        if lacking and not _finished(cell):
            end(cell.folder, f"its teacher {lacking[0]} failed")
        elif not _finished(cell):
            pending.append(cell.folder)
    if not pending:
        return
    with closing(engine(pending)) as ended:
        for folder, error in ended:
            end(folder, error)


def _conclude(wanted: Grid, blocks: Sequence[Comparison], out: Path, errors: Mapping[Path, str]) -> GridResult:
    """Write tables and pages."""
    found, pages = [], []
    for block in blocks:
        students = [cell for cells in block.cells.values() for cell in cells]
        done = [cell.folder for cell in students if _finished(cell)]
        found.append(
            comparison_results.tabulate(
                block.name,
                done,
                [cell.folder for cell in block.teachers if _finished(cell)],
                controls=(block.plain, block.smoothed),
                failed={
                    str(cell.folder): errors[cell.folder]
                    for cell in [*block.teachers, *students]
                    if cell.folder in errors
                },
                unequal=[str(wanted.unequal), *block.unlike] if block.unlike else [],
            )
        )
        if done:
            pages.append(reports.compare(done, block.folder / "report.html"))
    write_text(out / "results.json", comparison_results.as_json(found))
    write_text(out / "results.md", comparison_markdown.markdown(found))
    return GridResult(found, pages)


@contextmanager
def _alone(out: Path) -> Iterator[None]:
    """Keep other comparisons out of the folder, making it if missing."""
    if out.is_file():
        raise RunError(f"{out}: is a file; --out names a folder")
    out.mkdir(parents=True, exist_ok=True)
    try:
        with FileLock(out / ".lock", timeout=0):
            yield
    except Timeout:
        raise RunError(f"{out}: another dspkd compare is at work there; wait for it, or choose another --out") from None


def _as_seen_from_here(out: Path) -> Path:
    """Return `out` relative to the working directory if it lies below: runs name their teachers by it."""
    whole, here = out.resolve(), Path.cwd()
    return whole.relative_to(here) if whole.is_relative_to(here) else whole


def _cores() -> int:
    return available_cores()
