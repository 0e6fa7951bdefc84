"""The paper's tables, one by one, with its figures, ours, and why the two do not compare."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from dspkd.errors import RecipeError, RunError, WeightsError
from dspkd.experiments.compare.compare import compare
from dspkd.experiments.compare.executors import Engine
from dspkd.experiments.paper import side_by_side_page, table1_sizes, table6_latency, trained_tables, training_grid
from dspkd.experiments.paper.datasets import PaperImages, paper_data, prepare
from dspkd.experiments.paper.scale import FULL, PAPER, RUNGS, Choice, Cost, Networks, Scale, choose, given_up
from dspkd.models import zoo
from dspkd.recipes import catalog, schema
from dspkd.runs import plan
from dspkd.runtime.files import write_json

TABLES = tuple(f"table{number}" for number in range(1, 8))
STEPS = 6
"""Steps that are timed at each scale."""

RUN_SECONDS = 5.0
"""What starts and ends a run: reading, weights, test images, page. Inferred: about what it takes on two cores."""

CHOSEN = "scale.json"


@dataclass(frozen=True)
class Reproduced:
    """Files of a table, the page last, and how many runs have no result."""

    files: list[Path]
    failed: int = 0


def reproduce(
    table: str,
    out: Path,
    engine: Engine,
    *,
    data: Path | None = None,
    budget: float | None = None,
    runs: Sequence[Path] = (),
    jobs: int = 1,
    log: Callable[[str], None] = lambda _: None,
) -> Reproduced:
    """Write a table of the paper with ours beside it into `out`, training what it needs.

    May be stopped at any moment: the same call goes on. Tables of one data set share scale, teachers and runs if they
    share `out`: the scale is chosen once and kept in ``scale.json``.

    Parameters
    ----------
    table
        One of `TABLES`.
    out
        Folder; made if missing.
    engine
        Trains the runs; see `dspkd.experiments.compare.executors`.
    data
        A data set of a known layout; synthetic lesions by default.
    budget
        Seconds of wall clock; without it, the full scale.
    runs
        Finished runs whose figures stand in tables 1 and 6, which train nothing.
    jobs
        How many runs the engine trains at once.
    log
        Is told what goes on, in lines.

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
    shown = prepare(number, data, out, budget, log)
    folder = out / ("six-classes" if paper_data(number) == "PSD" else "eight-classes")
    choice = _chosen(number, shown, folder, budget, jobs, log)
    for line in choice.given_up:
        log(f"gives up {line}")
    wanted = training_grid.grid(number, choice.scale, shown.path)
    training_grid.write(wanted, folder / f"{table}-grid.toml")
    started = time.perf_counter()
    compared = compare(wanted, folder, engine, jobs=jobs, log=log)
    expected = "" if choice.seconds is None else f"; the whole table was expected to take {choice.seconds / 60:.1f}"
    log(f"this call took {(time.perf_counter() - started) / 60:.1f} minutes{expected}")
    (results,) = compared.results
    made = trained_tables.build(number, choice, shown, results)
    return Reproduced(side_by_side_page.write(made, out), compared.failed)


def _chosen(
    table: int, shown: PaperImages, folder: Path, budget: float | None, jobs: int, log: Callable[[str], None]
) -> Choice:
    """Return the scale that was chosen in this folder before, or choose one and keep it."""
    kept = folder / CHOSEN
    if kept.exists():
        choice = _read(kept, shown)
        log(f"{kept}: goes on at the scale chosen before; delete the folder to choose another")
        return choice
    if budget is None:
        first, why = _weights(PAPER)
        scale = replace(FULL, weights=first)
        choice = Choice(scale, None, given_up(scale, why))
    else:
        log("measuring steps")
        measure = partial(_measure, table=table, shown=shown, jobs=jobs)
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
            "data": str(shown.path),
            "given_up": list(choice.given_up),
            "expected_seconds": choice.seconds,
        },
    )
    return choice


def _read(kept: Path, shown: PaperImages) -> Choice:
    said = json.loads(kept.read_text(encoding="utf-8"))
    if said["data"] != str(shown.path):
        raise RunError(f"{kept.parent}: was trained on {said['data']}, not {shown.path}; choose another --out")
    networks = next(networks for networks, _ in RUNGS if networks.name == said["networks"])
    scale = Scale(networks, said["size"], said["epochs"], said["seeds"], said["weights"])
    return Choice(scale, said["expected_seconds"], tuple(said["given_up"]))


def _weights(networks: Networks) -> tuple[str, str]:
    """Return ``imagenet`` where all these networks can have its weights here; else ``none``, and why."""
    if not networks.pretrained:
        return "none", "these networks have none"
    try:
        for name in (networks.student, *networks.teachers.values()):
            zoo.make(name, classes=2, weights="imagenet")
    except WeightsError as error:
        return "none", str(error).splitlines()[0]
    return "imagenet", ""


def _measure(scale: Scale, *, table: int, shown: PaperImages, jobs: int) -> Cost:
    """Return the seconds of an epoch at a scale, by the first steps of its plain student and of its dearest teacher."""
    wanted = training_grid.grid(table, scale, shown.path)
    plain = next(arm for arm in wanted.arms if arm.name == training_grid.PLAIN)
    student = schema.load(catalog.find(plain.recipe), [*wanted.set, *plain.set])
    of_student = plan.plan(student, steps=STEPS)
    dearest = 0.0
    for teacher in wanted.teachers:
        made = schema.load(catalog.find(str(teacher.recipe)), [*wanted.set, *teacher.set])
        dearest = max(dearest, _epoch(plan.plan(made, steps=STEPS)))
    return Cost(_epoch(of_student) / jobs, dearest, RUN_SECONDS / jobs)


def _epoch(planned: plan.Plan) -> float:
    (stage,) = planned.stages
    return stage.seconds / stage.epochs + planned.validation
