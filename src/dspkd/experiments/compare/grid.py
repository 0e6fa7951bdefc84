"""A grid: the methods to compare, the seeds, and the data, students and teachers; read from TOML.

Every combination is a run, or with folds a run for each of them and each repetition. A grid becomes `Comparison`s;
within one, all methods share data and student, so that their test results are comparable. A grid without the axes
`data` and `students` is one comparison.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import product
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import Field, model_validator
from pydantic.dataclasses import dataclass

from dspkd.errors import RecipeError
from dspkd.experiments.compare import controls
from dspkd.experiments.compare.planned_run import PlannedRun
from dspkd.recipes import catalog, schema
from dspkd.recipes.parsing import read_toml, validated
from dspkd.recipes.schema import Recipe
from dspkd.recipes.stage import STRICT

Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9_][A-Za-z0-9_.+-]*$")]
Seed = Annotated[int, Field(ge=0, lt=2**63)]
TEACHERS = "teachers"
"""Folder of the teachers that a grid trains, beside those of the methods."""


@dataclass(frozen=True, kw_only=True, config=STRICT)
class GridMethod:
    """A method to compare: a recipe, by the name of an embedded one or as a file."""

    recipe: str
    name: Name | None = None
    """By default the recipe's own; `plain` or `label_smoothing` for a recipe that learns from labels alone."""
    teachers: tuple[Name, ...] = ()
    """Names of those of the grid's teachers that it learns from; by default all."""
    set: tuple[str, ...] = ()
    """Settings to change, such as ``stages.0.epochs=2``."""


@dataclass(frozen=True, kw_only=True, config=STRICT)
class GridTeacher:
    """A teacher: a recipe, trained once, or the folder of a finished run."""

    recipe: str | None = None
    run: str | None = None
    """With folds, a folder of finished runs fold-0, fold-1, ... such as another grid's teachers/NAME; those of the
    repetition with split.seed N are beside it, in NAME-split-N."""
    name: Name | None = None
    """By default the name of the recipe or of the run folder."""
    seed: Seed = 0
    set: tuple[str, ...] = ()

    @model_validator(mode="after")
    def _require_a_recipe_or_a_run(self) -> Self:
        if (self.recipe is None) == (self.run is None):
            raise ValueError("give a recipe to train, or the run of a trained one")
        return self


@dataclass(frozen=True, kw_only=True, config=STRICT)
class Variant:
    """A value of the axis data (settings of all runs) or students (settings of all students)."""

    name: Name
    set: tuple[str, ...]


@dataclass(frozen=True, kw_only=True, config=STRICT)
class Grid:
    """Methods to compare, and what they are compared on."""

    methods: Annotated[tuple[GridMethod, ...], Field(min_length=1)]
    seeds: Annotated[tuple[Seed, ...], Field(min_length=1)]
    folds: Annotated[int, Field(ge=2, le=1000)] | None = None
    """Number of folds of a cross-validation: teachers and methods are trained in each, and compared by out-of-fold
    predictions of all images."""
    repeats: Annotated[int, Field(ge=1, le=100)] = 1
    """Number of cross-validations, each with other folds (split.seed one higher) and with teachers of its own."""
    teachers: tuple[GridTeacher, ...] = ()
    """Each teaches each method that needs a teacher. By default, each recipe's own teacher."""
    ensemble: bool = False
    """Whether all teachers together teach each method: the mean of their probabilities, the maps of the first."""
    data: tuple[Variant, ...] = ()
    students: tuple[Variant, ...] = ()
    set: tuple[str, ...] = ()
    """Settings of all runs, teachers included."""
    decide_by: Literal["auc_macro", "balanced_accuracy", "log_loss", "f1_macro", "accuracy"] = "auc_macro"
    """The metric whose verdicts decide, named before training; the others describe."""
    unequal: Annotated[str, Field(min_length=1)] | None = None
    """Why methods may differ in settings that should be equal; printed with the results."""

    @model_validator(mode="after")
    def _require_folds_to_repeat(self) -> Self:
        if self.repeats > 1 and self.folds is None:
            raise ValueError(f"repeats = {self.repeats}: needs folds, such as folds = 5; for other seeds set seeds")
        return self

    @model_validator(mode="after")
    def _require_several_teachers_of_an_ensemble(self) -> Self:
        if self.ensemble and len(self.teachers) < 2:
            raise ValueError(f"ensemble: needs two teachers or more, got {len(self.teachers)}")
        return self

    @model_validator(mode="after")
    def _require_different_names_and_seeds(self) -> Self:
        names = {"data": [each.name for each in self.data], "students": [each.name for each in self.students]}
        for key, values in ({"seeds": list(self.seeds)} | names).items():
            if len(set(values)) != len(values):
                raise ValueError(f"{key} must differ, got {', '.join(map(str, values))}")
        return self


@dataclasses.dataclass(frozen=True)
class Comparison:
    """Methods that share data and student.

    Attributes
    ----------
    name
        Names of its data and its student; empty if the grid has a single comparison.
    folder
        Folder of its methods, each with a folder for each seed.
    teachers
        Runs to train first; a teacher of several comparisons is in each.
    runs
        ``{method: runs}``, one for each seed, with folds for each repetition and fold too; controls that were added
        come first.
    plain, smoothed
        Names of the controls.
    differences
        Settings that should be equal and are not, for the reason that the grid gives.
    """

    name: str
    folder: Path
    teachers: tuple[PlannedRun, ...]
    runs: dict[str, list[PlannedRun]]
    plain: str
    smoothed: str
    differences: list[str]


def is_grid(path: Path) -> bool:
    """Return whether a TOML file is a grid, and not a recipe; RecipeError if it cannot be read."""
    return "methods" in read_toml(path)


def load(path: Path) -> Grid:
    """Return the grid in a TOML file.

    Raises
    ------
    RecipeError
        The file cannot be read, is not TOML, or has an invalid key or value.
    """
    settings = read_toml(path)
    if "stages" in settings and "methods" not in settings:
        raise RecipeError(f"{path}: is a recipe, not a grid of methods; train it: dspkd train {path} --out DIR")
    for key in ("methods", "teachers"):
        if isinstance(settings.get(key), list):
            settings[key] = [{"recipe": each} if isinstance(each, str) else each for each in settings[key]]
    return validated(Grid, settings, str(path), keys_beside)


def comparisons(grid: Grid, out: Path) -> list[Comparison]:
    """Return all comparisons of a grid, with run folders in `out`.

    Raises
    ------
    RecipeError
        A recipe is not valid, two methods have one name, or methods differ without a reason in the grid.
    """
    planned = []
    for data, student in product(grid.data or (None,), grid.students or (None,)):
        names = [variant.name for variant in (data, student) if variant]
        folder = out / Path(*names)
        folds = [] if grid.folds is None else [f"split.folds={grid.folds}", "split.fold=0"]
        common = [*grid.set, *(data.set if data else ()), *folds]
        teachers = _teachers(grid, common, (out / data.name if data else out) / TEACHERS)
        methods = _methods(grid, [*common, *(student.set if student else ())], teachers)
        recipes = {name: recipe for name, (recipe, _) in methods.items()}
        trained = {f"teacher {name}": run for name, run in teachers.items() if isinstance(run, PlannedRun)}
        controls.require_same_data(recipes | {name: run.recipe for name, run in trained.items()})
        differences = controls.differences(recipes)
        if differences and not grid.unequal:
            raise RecipeError(f'{differences[0]}; make them equal, or give the reason: unequal = "..."')
        runs = {
            name: [
                run
                for seed in grid.seeds
                for run in _planned_run(folder / name, replace(recipe, name=name, seed=seed), taught_by).in_folds(
                    grid.repeats
                )
            ]
            for name, (recipe, taught_by) in methods.items()
        }
        kinds = {controls.control(recipe): name for name, recipe in reversed(recipes.items())}
        plain, smoothed = kinds["plain"], kinds["label_smoothing"]
        taught = tuple(run for teacher in trained.values() for run in teacher.in_folds(grid.repeats))
        planned.append(Comparison(" ".join(names), folder, taught, runs, plain, smoothed, differences))
    return planned


def a_student(grid: Grid) -> Recipe:
    """Return the recipe of the first student of a grid."""
    first, *_ = comparisons(grid, Path("grid"))
    return next(iter(first.runs.values()))[0].recipe


def _planned_run(folder: Path, recipe: Recipe, taught_by: Sequence[Path | PlannedRun]) -> PlannedRun:
    waits_for = tuple(teacher.folder for teacher in taught_by if isinstance(teacher, PlannedRun))
    return PlannedRun(folder / f"seed-{recipe.seed}", recipe, waits_for)


def _teachers(grid: Grid, common: list[str], folder: Path) -> dict[str, Path | PlannedRun]:
    """Return each teacher by name: the run that trains it, or the folder of a finished run."""
    teachers: dict[str, Path | PlannedRun] = {}
    for teacher in grid.teachers:
        run: Path | PlannedRun
        if teacher.recipe is None:
            run = Path(str(teacher.run))
            name = teacher.name or run.name
        else:
            recipe = _loaded(teacher.recipe, [*common, *teacher.set])
            name = teacher.name or recipe.name
            run = PlannedRun(folder / name, replace(recipe, name=name, seed=teacher.seed))
        if name in teachers:
            raise RecipeError(f"teachers: two are called {name!r}; give one another name")
        teachers[name] = run
    return teachers


def _methods(
    grid: Grid, common: list[str], teachers: Mapping[str, Path | PlannedRun]
) -> dict[str, tuple[Recipe, Sequence[Path | PlannedRun]]]:
    """Return ``{name: (recipe with its teachers, teachers)}`` of all methods, missing controls included."""
    recipes: dict[str, Recipe] = {}
    taught_by: dict[str, Sequence[Path | PlannedRun]] = {}
    for method in grid.methods:
        recipe = _loaded(method.recipe, [*common, *method.set])
        if not recipe.stages:
            raise RecipeError(
                f"method {method.name or recipe.name}: stages = [] trains nothing, so it is no method; add one"
            )
        stem = method.name or controls.control(recipe) or recipe.name
        chosen = _chosen_teachers(method, stem, teachers)
        for name, group in _teacher_groups(recipe, stem, chosen, together=grid.ensemble).items():
            if name in recipes:
                raise RecipeError(f"methods: two are called {name!r}; give one another name")
            if name == TEACHERS:
                raise RecipeError(f"methods: {TEACHERS!r} is the folder of the teachers; choose another name")
            folders = [str(each.folder if isinstance(each, PlannedRun) else each) for each in group]
            recipes[name] = recipe.with_teachers(folders) if group else recipe
            taught_by[name] = group
    return {name: (recipe, taught_by.get(name, ())) for name, recipe in controls.with_controls(recipes).items()}


def _chosen_teachers(
    method: GridMethod, stem: str, teachers: Mapping[str, Path | PlannedRun]
) -> Mapping[str, Path | PlannedRun]:
    """Return the teachers that a method names, or all."""
    for name in method.teachers:
        if name not in teachers:
            raise RecipeError(
                f"method {stem}: the grid has no teacher {name!r}; it has {', '.join(teachers) or 'none'}"
            )
    return {name: teachers[name] for name in method.teachers or teachers}


def _teacher_groups(
    recipe: Recipe, stem: str, teachers: Mapping[str, Path | PlannedRun], *, together: bool
) -> dict[str, Sequence[Path | PlannedRun]]:
    """Return ``{name: teachers}``: an entry for each teacher, or a single one if they teach `together`."""
    if not recipe.teachers or not teachers:
        return {stem: ()}
    if len(teachers) == 1 < len(recipe.teachers):
        raise RecipeError(f"method {stem}: learns from {len(recipe.teachers)} teachers together, but the grid has one")
    if together or len(recipe.teachers) > 1 or len(teachers) == 1:
        return {stem: list(teachers.values())}
    return {f"{stem}+{name}": [teacher] for name, teacher in teachers.items()}


def _loaded(name: str, overrides: list[str]) -> Recipe:
    return schema.load(catalog.find(name), overrides)


_SECTIONS: dict[str, type] = {"methods": GridMethod, "teachers": GridTeacher, "data": Variant, "students": Variant}


def keys_beside(place: list[str]) -> list[str]:
    """Return the keys that are allowed where one of a grid stands; for `validated`."""
    section = _SECTIONS[place[0]] if len(place) > 1 else Grid
    return [each.name for each in dataclasses.fields(section)]
