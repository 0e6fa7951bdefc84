"""Reproduce the paper's tables: its figures, ours, and why they are not comparable."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from dspkd.errors import RecipeError, RunError, WeightsError
from dspkd.experiments.compare.compare import compare
from dspkd.experiments.compare.executors import Executor
from dspkd.experiments.paper import side_by_side_page, table1_sizes, table6_latency, trained_tables, training_grid
from dspkd.experiments.paper.datasets import PaperImages, paper_data, prepare
from dspkd.experiments.paper.scale import FULL, PAPER, RUNGS, Choice, Cost, Networks, Scale, choose, given_up
from dspkd.models import zoo
from dspkd.recipes import catalog, schema
from dspkd.runs import plan
from dspkd.runs.estimates import Plan
from dspkd.runtime.files import write_json

TABLES = tuple(f"table{number}" for number in range(1, 8))
STEPS = 6
"""Steps timed at each scale."""

RUN_SECONDS = 5.0
"""Seconds for the start and end of a run: reading, weights, test set, report. Inferred: about that on two cores."""

CHOSEN = "scale.json"


@dataclass(frozen=True)
class Reproduced:
    """Files of a table, the page last, and the number of runs without a result."""

    files: list[Path]
    failed: int = 0


def reproduce(
    table: str,
    out: Path,
    executor: Executor,
    *,
    data: Path | None = None,
    budget: float | None = None,
    runs: Sequence[Path] = (),
    jobs: int = 1,
    log: Callable[[str], None] = lambda _: None,
) -> Reproduced:
    """Train what a table of the paper needs, and write the table with our figures beside the paper's into `out`.

    May be stopped at any moment: the same call resumes. Tables of one data set share scale, teachers and runs if they
    share `out`: the scale is chosen once and kept in ``scale.json``.

    Parameters
    ----------
    table
        One of `TABLES`.
    out
        Folder; created if missing.
    executor
        Trains the runs; see `dspkd.experiments.compare.executors`.
    data
        A data set of a known layout; synthetic lesions by default.
    budget
        Seconds of wall clock; without it, the full scale.
    runs
        Finished runs whose scores are shown in tables 1 and 6, which train nothing.
    jobs
        How many runs the executor trains at once.
    log
        Called with lines about the progress.

    Raises
    ------
    RecipeError
        There is no such table.
    DataError, RunError
        The data cannot be read; `out` holds other runs.
    """
    if table not in TABLES:
        raise RecipeError(f"no table is called {table!r}; the paper has {', '.join(TABLES)}")
    number = int(table.removeprefix("table"))
    if number == 1:
        return Reproduced(side_by_side_page.write(table1_sizes.build(runs), out))
    if number == 6:
        return Reproduced(side_by_side_page.write(table6_latency.build(runs, log), out))
    dataset = prepare(number, data, out, budget, log)
    folder = out / ("six-classes" if paper_data(number) == "PSD" else "eight-classes")
    choice = _chosen(number, dataset, folder, budget, jobs, log)
    for line in choice.given_up:
        log(f"reduced: {line}")
    grid = training_grid.grid(number, choice.scale, dataset.path)
    training_grid.write(grid, folder / f"{table}-grid.toml")
    started = time.perf_counter()
    compared = compare(grid, folder, executor, jobs=jobs, log=log)
    expected = "" if choice.seconds is None else f"; expected for the whole table: {choice.seconds / 60:.1f}"
    log(f"this call took {(time.perf_counter() - started) / 60:.1f} minutes{expected}")
    (results,) = compared.results
    reproduced = trained_tables.build(number, choice, dataset, results)
    return Reproduced(side_by_side_page.write(reproduced, out), compared.failed)


def _chosen(
    table: int, dataset: PaperImages, folder: Path, budget: float | None, jobs: int, log: Callable[[str], None]
) -> Choice:
    """Return the scale chosen earlier in this folder, or choose one and record it."""
    kept = folder / CHOSEN
    if kept.exists():
        choice = _read(kept, dataset)
        log(f"{kept}: keeping the scale chosen earlier; delete the folder to choose another")
        return choice
    if budget is None:
        initial, why = _weights(PAPER)
        scale = replace(FULL, weights=initial)
        choice = Choice(scale, None, given_up(scale, why))
    else:
        log("timing steps")
        measure = partial(_measure, table=table, dataset=dataset, jobs=jobs)
        choice = choose(budget, partial(training_grid.work, table), measure, _weights)
        assert choice.seconds is not None
        log(f"expected: {choice.seconds / 60:.1f} minutes of {budget / 60:.1f}")
    scale = choice.scale
    folder.mkdir(parents=True, exist_ok=True)
    write_json(
        kept,
        {
            "networks": scale.networks.name,
            "size": scale.size,
            "epochs": scale.epochs,
            "seeds": scale.seeds,
            "weights": scale.weights,
            "data": str(dataset.path),
            "given_up": list(choice.given_up),
            "expected_seconds": choice.seconds,
        },
    )
    return choice


def _read(kept: Path, dataset: PaperImages) -> Choice:
    content = json.loads(kept.read_text(encoding="utf-8"))
    if content["data"] != str(dataset.path):
        raise RunError(
            f"{kept.parent}: was trained on {content['data']}, not {dataset.path}; choose another folder (--out)"
        )
    networks = next(networks for networks, _ in RUNGS if networks.name == content["networks"])
    scale = Scale(networks, content["size"], content["epochs"], content["seeds"], content["weights"])
    return Choice(scale, content["expected_seconds"], tuple(content["given_up"]))


def _weights(networks: Networks) -> tuple[str, str]:
    """Return ``imagenet`` if all these networks can have its weights here; else ``none``, and why."""
    if not networks.pretrained:
        return "none", "these networks have none"
    try:
        for name in (networks.student, *networks.teachers.values()):
            zoo.make(name, classes=2, weights="imagenet")
    except WeightsError as error:
        return "none", str(error).splitlines()[0]
    return "imagenet", ""


def _measure(scale: Scale, *, table: int, dataset: PaperImages, jobs: int) -> Cost:
    """Return the seconds of an epoch at a scale, from the first steps of its plain student and its slowest teacher."""
    grid = training_grid.grid(table, scale, dataset.path)
    plain = next(method for method in grid.methods if method.name == training_grid.PLAIN)
    student = schema.load(catalog.find(plain.recipe), [*grid.set, *plain.set])
    of_student = plan.plan(student, steps=STEPS)
    slowest = 0.0
    for teacher in grid.teachers:
        recipe = schema.load(catalog.find(str(teacher.recipe)), [*grid.set, *teacher.set])
        slowest = max(slowest, _epoch(plan.plan(recipe, steps=STEPS)))
    return Cost(_epoch(of_student) / jobs, slowest, RUN_SECONDS / jobs)


def _epoch(planned: Plan) -> float:
    (stage,) = planned.stages
    return stage.seconds / stage.epochs + planned.validation
