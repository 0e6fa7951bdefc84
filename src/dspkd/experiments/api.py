"""The functions behind ``import dspkd``: the same work as the command's, for notebooks and scripts."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any

from dspkd.deploy.bundle.predictor import Predictor
from dspkd.errors import RecipeError, RunError
from dspkd.experiments import single_run
from dspkd.experiments.compare import compare as comparing
from dspkd.experiments.compare import executors
from dspkd.experiments.compare import grid as grids
from dspkd.experiments.compare.compare import GridResult
from dspkd.experiments.compare.grid import Grid
from dspkd.experiments.fastest import measure
from dspkd.recipes import catalog, schema
from dspkd.recipes.overrides import Override, assign
from dspkd.recipes.parsing import as_toml, plain, read_toml, validated
from dspkd.recipes.schema import Recipe
from dspkd.runs import evaluate as evaluating
from dspkd.runs.evaluate import Evaluation
from dspkd.runs.run_folder import Run
from dspkd.runtime.console import ConsoleProgress, terminal
from dspkd.training.progress import NullProgress, ProgressListener

PathLike = str | Path


def train(
    recipe: PathLike | Recipe,
    out: PathLike,
    *,
    data: PathLike | None = None,
    teacher: PathLike | Run | Sequence[PathLike | Run] | None = None,
    set: Mapping[str, Any] | None = None,
    progress: bool | ProgressListener = True,
) -> Run:
    """Train and evaluate what a recipe describes, and write its report; continue where an interrupted call stopped.

    Parameters
    ----------
    recipe
        The name of a recipe that comes with the package (``dspkd recipes ls``), a TOML file, or a `Recipe`.
    out
        Run folder; made if missing.
    data
        Folder or CSV file of the images, in place of the recipe's.
    teacher
        A finished run or its folder; of several, the mean of the probabilities teaches. In place of the recipe's.
    set
        Other settings to change, such as ``{"stages.0.epochs": 2}``.
    progress
        Print progress; or a listener that receives it.

    Returns
    -------
    Run
        ``run.test.balanced_accuracy``, ``run.history``, ``run.predictions("test")``, ``run.model``, ``run.report``.

    Raises
    ------
    DspkdError
        See `dspkd.runs.train.train`.
    """
    changes = dict(set or {})
    if data is not None:
        changes["data.path"] = str(data)
    if teacher is not None:
        folders = [str(each.folder if isinstance(each, Run) else each) for each in _several(teacher)]
        changes["teacher.run"] = folders
    with _listener(progress) as listener:
        single_run.train(_recipe(recipe, changes), Path(out), listener)
    return Run(out)


def evaluate(
    run: PathLike | Run,
    data: PathLike | None = None,
    *,
    part: str | None = None,
    group: str | None = None,
    classes: PathLike | None = None,
    progress: bool | ProgressListener = False,
) -> Evaluation:
    """Evaluate the student of a finished run on other labelled images, or on a part of its own.

    Parameters
    ----------
    run
        The run or its folder.
    data
        Folder or CSV file of a known layout; by default the run's own images.
    part
        ``train``, ``val`` or ``test`` of the run's own images; the test set by default, which is recorded in the run.
    group
        Column of `data` that names the lesion or patient, where the layout leaves that open.
    classes
        A class map that gives the images of `data` the student's classes.
    progress
        Print progress; or a listener that receives it.

    Raises
    ------
    DspkdError
        See `dspkd.runs.evaluate.evaluate`.
    """
    with _listener(progress) as listener:
        return evaluating.evaluate(
            run.folder if isinstance(run, Run) else Path(run),
            folder=None if data is None else Path(data),
            part=part,
            group=group,
            classes=None if classes is None else Path(classes),
            listener=listener,
        )


def compare(
    methods: Sequence[PathLike] | PathLike,
    out: PathLike,
    *,
    data: PathLike | None = None,
    teacher: PathLike | Run | Sequence[PathLike | Run] | None = None,
    seeds: int | Sequence[int] | None = None,
    folds: int | None = None,
    repeats: int = 1,
    set: Mapping[str, Any] | None = None,
    recipes: str | None = None,
    jobs: int | None = None,
    progress: bool | ProgressListener = True,
) -> GridResult:
    """Train methods over several seeds on equal terms, and say which differ significantly; continue where it stopped.

    Parameters
    ----------
    methods
        Recipes: TOML files, names of recipes that come with the package, or names without a folder, such as ``"kd"``,
        of the folder `recipes`. Or one grid: a TOML file, or a name such as ``"grids/demo"``; then only `out`, `jobs`
        and `progress` may be given. A plain student and label smoothing are added where they are missing.
    out
        Folder of all runs and results; made if missing.
    data
        Folder or CSV file of the images, in place of the recipes'.
    teacher
        Of the methods that need one: a finished run or its folder, or a recipe, which is trained first. Of several,
        each teaches each method.
    seeds
        How many seeds, from 0, or which; 3 by default.
    folds
        Number of folds of a cross-validation, in each of which all is trained; None: one split.
    repeats
        Number of cross-validations, each with other folds.
    set
        Other settings of all runs to change, such as ``{"stages.0.epochs": 2}``.
    recipes
        Where names without a folder are looked up; the folder ``demo`` by default.
    jobs
        Runs trained at once, each in a process of its own; None: as many as ``dspkd plan --fastest`` measured to be
        fastest, or else one.
    progress
        Print progress; or a listener that receives it.

    Returns
    -------
    GridResult
        ``results``: figures and verdicts; ``pages``: the reports.

    Raises
    ------
    DspkdError
        See `dspkd.experiments.compare.compare.compare`.
    """
    if isinstance(methods, str | Path):
        of_a_list = {"data": data, "teacher": teacher, "seeds": seeds, "folds": folds, "recipes": recipes}
        given = [name for name, value in of_a_list.items() if value is not None]
        if given := [*given, *(["repeats"] if repeats != 1 else []), *(["set"] if set else [])]:
            raise RecipeError(f"compare: {', '.join(given)}: for methods in a list; the grid {methods} has its own")
        grid = grids.load(catalog.find_grid(str(methods)))
    else:
        changes = dict(set or {}) | ({} if data is None else {"data.path": data})
        recipes, seeds = recipes or "demo", plain(3 if seeds is None else seeds)
        settings = {
            "methods": [{"recipe": _named(each, recipes)} for each in methods],
            "seeds": list(range(seeds)) if isinstance(seeds, int) else list(seeds),
            "folds": folds,
            "repeats": repeats,
            "teachers": [_grid_teacher(each, recipes) for each in _several(teacher)],
            "set": [f"{key}={as_toml(value, f'set {key}')}" for key, value in changes.items()],
        }
        grid = validated(Grid, settings, "compare", grids.keys_beside)
    with _listener(progress) as listener:
        jobs = jobs or measure.best_jobs(grids.a_student(grid), listener.note)
        executor = executors.choose(jobs=jobs, listener=listener)
        return comparing.compare(grid, Path(out), executor, jobs=jobs, log=listener.note)


def export(
    run: PathLike | Run,
    out: PathLike,
    *,
    max_loss: float = 0.02,
    coverage: float | None = None,
    licence: str | None = None,
    data: PathLike | None = None,
    progress: bool = True,
) -> Path:
    """Write the bundle of a finished run, one file for phones, browsers and servers; return its path.

    Parameters
    ----------
    run, out
        The run or its folder, and the file to write, such as ``model.dspkd``.
    max_loss, coverage, licence, data
        As for `dspkd.deploy.export.export.export`.
    progress
        Print what is being done.

    Raises
    ------
    DspkdError
        See `dspkd.deploy.export.export.export`.
    """
    from dspkd.deploy.export.export import export as write

    folder = run.folder if isinstance(run, Run) else Path(run)
    log = terminal().print if progress else None
    place = None if data is None else Path(data)
    write(folder, Path(out), max_loss=max_loss, coverage=coverage, licence=licence, data=place, log=log)
    return Path(out)


def load(path: PathLike) -> Run | Predictor:
    """Return a `Run` for a run folder, a `Predictor` for a bundle (a ``.dspkd`` file).

    Raises
    ------
    RunError
        There is nothing at `path`.
    BundleError
        The file is no bundle, or is damaged.
    """
    path = Path(path)
    if path.is_dir():
        return Run(path)
    if path.is_file():
        return Predictor(path)
    raise RunError(f"{path}: there is no such file or folder; name a run folder, or a bundle (.dspkd)")


def _recipe(recipe: PathLike | Recipe, changes: Mapping[str, Any]) -> Recipe:
    if isinstance(recipe, Recipe):
        settings, place = tomllib.loads(schema.dump(recipe)), recipe.name
    else:
        file = catalog.find(recipe)
        settings, place = read_toml(file), str(file)
    assign(settings, [Override(key, plain(value), f"set {key}") for key, value in changes.items()])
    return schema.parse(settings, place=place)


def _several(teacher: PathLike | Run | Sequence[PathLike | Run] | None) -> list[PathLike | Run]:
    if teacher is None:
        return []
    return [teacher] if isinstance(teacher, str | Path | Run) else list(teacher)


def _named(recipe: PathLike, folder: str) -> str:
    """Return the recipe's file or name; a name without a folder is one of `folder`."""
    return str(recipe) if Path(recipe).is_file() or "/" in str(recipe) else f"{folder}/{recipe}"


def _grid_teacher(teacher: PathLike | Run, folder: str) -> dict[str, str]:
    if isinstance(teacher, Run):
        return {"run": str(teacher.folder)}
    if Path(teacher).is_dir():
        return {"run": str(teacher)}
    return {"recipe": _named(teacher, folder)}


def _listener(progress: bool | ProgressListener) -> AbstractContextManager[ProgressListener]:
    if isinstance(progress, bool):
        return ConsoleProgress(terminal()) if progress else nullcontext(NullProgress())
    return nullcontext(progress)
