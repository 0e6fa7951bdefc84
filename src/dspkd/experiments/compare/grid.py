"""A grid: which arms are compared, over which seeds, and on which data, students and teachers; read from TOML.

Every combination is a run. A grid becomes `Comparison`s, in each of which all arms share data and student, so that
their tests compare; a grid without the axes `data` and `students` is one block.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import product
from pathlib import Path
from typing import Annotated, Self

from pydantic import Field, model_validator
from pydantic.dataclasses import dataclass

from dspkd.errors import RecipeError
from dspkd.experiments.compare import controls as fair
from dspkd.recipes import catalog, schema
from dspkd.recipes.schema import Recipe
from dspkd.recipes.stage import STRICT

Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9_][A-Za-z0-9_.+-]*$")]
Seed = Annotated[int, Field(ge=0)]
TEACHERS = "teachers"
"""Folder of the teachers that a grid trains."""


@dataclass(frozen=True, kw_only=True, config=STRICT)
class Arm:
    """A recipe that is compared: an embedded one's name or a file."""

    recipe: str
    name: Name | None = None
    """By default the recipe's own; `plain` or `label_smoothing` where it learns from labels alone."""
    teachers: tuple[Name, ...] = ()
    """Which of the grid's teachers teach it; all, if none is named."""
    set: tuple[str, ...] = ()
    """Settings that are changed, such as ``stages.0.epochs=2``."""


@dataclass(frozen=True, kw_only=True, config=STRICT)
class GridTeacher:
    """A teacher of the arms that need one: a recipe, trained once, or the folder of a run that is finished."""

    recipe: str | None = None
    run: str | None = None
    name: Name | None = None
    """By default the recipe's own, or that of the run's folder."""
    seed: Seed = 0
    set: tuple[str, ...] = ()

    @model_validator(mode="after")
    def _is_a_recipe_or_a_run(self) -> Self:
        if (self.recipe is None) == (self.run is None):
            raise ValueError("give a recipe to train, or the run of a trained one")
        return self


@dataclass(frozen=True, kw_only=True, config=STRICT)
class Variant:
    """A point on the axis of data or students: settings of all runs, or of all students."""

    name: Name
    set: tuple[str, ...]


@dataclass(frozen=True, kw_only=True, config=STRICT)
class Grid:
    """What is compared."""

    arms: Annotated[tuple[Arm, ...], Field(min_length=1)]
    seeds: Annotated[tuple[Seed, ...], Field(min_length=1)]
    teachers: tuple[GridTeacher, ...] = ()
    """Each teaches each arm that needs a teacher; without any, a recipe's own teacher does."""
    ensemble: bool = False
    """All teachers together teach each arm, as one: the mean of their probabilities, the first one's maps."""
    data: tuple[Variant, ...] = ()
    students: tuple[Variant, ...] = ()
    set: tuple[str, ...] = ()
    """Settings of all runs, teachers included."""
    unequal: Annotated[str, Field(min_length=1)] | None = None
    """Why arms may differ in what a comparison holds equal; printed with the result."""

    @model_validator(mode="after")
    def _an_ensemble_has_several_teachers(self) -> Self:
        if self.ensemble and len(self.teachers) < 2:
            raise ValueError(f"ensemble: needs two teachers or more, got {len(self.teachers)}")
        return self

    @model_validator(mode="after")
    def _names_and_seeds_differ(self) -> Self:
        named = {"data": [each.name for each in self.data], "students": [each.name for each in self.students]}
        for what, several in ({"seeds": list(self.seeds)} | named).items():
            if len(set(several)) != len(several):
                raise ValueError(f"{what} must differ, got {', '.join(map(str, several))}")
        return self


@dataclasses.dataclass(frozen=True)
class PlannedRun:
    """A run of a grid, and the teachers' cells that it waits for."""

    folder: Path
    recipe: Recipe
    waits_for: tuple[Path, ...] = ()


@dataclasses.dataclass(frozen=True)
class Comparison:
    """Arms that share data and student.

    Attributes
    ----------
    name
        Of its data and its student; empty where the grid has one block.
    folder
        Where its arms lie, each with a folder for each seed.
    teachers
        Cells to train first; a teacher of several blocks is in each.
    cells
        ``{arm: cells}``, one for each seed; the controls first, where they were added.
    plain, smoothed
        Names of the controls.
    unlike
        Where arms differ though they should not, and the grid says why they may.
    """

    name: str
    folder: Path
    teachers: tuple[PlannedRun, ...]
    cells: dict[str, list[PlannedRun]]
    plain: str
    smoothed: str
    unlike: list[str]


def load(path: Path) -> Grid:
    """Return the grid in a TOML file.

    Raises
    ------
    RecipeError
        The file cannot be read, is not TOML, or says something that no grid can say.
    """
    settings = schema.read(path)
    for key in ("arms", "teachers"):
        if isinstance(settings.get(key), list):
            settings[key] = [{"recipe": each} if isinstance(each, str) else each for each in settings[key]]
    return schema.checked(Grid, settings, str(path), _keys_beside)


def blocks(grid: Grid, out: Path) -> list[Comparison]:
    """Return all runs of a grid, with their folders in `out`.

    Raises
    ------
    RecipeError
        A recipe is not valid, arms have one name, or they are not comparable and the grid does not say why.
    """
    found = []
    for data, student in product(grid.data or (None,), grid.students or (None,)):
        several = [variant.name for variant in (data, student) if variant]
        folder = out / Path(*several)
        common = [*grid.set, *(data.set if data else ())]
        teachers = _teachers(grid, common, (out / data.name if data else out) / TEACHERS)
        arms = _arms(grid, [*common, *(student.set if student else ())], teachers)
        recipes_of = {name: made for name, (made, _) in arms.items()}
        trained = {f"teacher {name}": cell for name, cell in teachers.items() if isinstance(cell, PlannedRun)}
        fair.require_same_data(recipes_of | {name: cell.recipe for name, cell in trained.items()})
        unlike = fair.differences(recipes_of)
        if unlike and not grid.unequal:
            raise RecipeError(f'{unlike[0]}; make them equal, or say why they differ: unequal = "..."')
        cells = {
            name: [_cell(folder / name, replace(made, name=name, seed=seed), taught_by) for seed in grid.seeds]
            for name, (made, taught_by) in arms.items()
        }
        controls = {fair.control(made): name for name, made in reversed(recipes_of.items())}
        plain, smoothed = controls["plain"], controls["label_smoothing"]
        found.append(Comparison(" ".join(several), folder, tuple(trained.values()), cells, plain, smoothed, unlike))
    return found


def _cell(arm: Path, made: Recipe, taught_by: Sequence[Path | PlannedRun]) -> PlannedRun:
    waits_for = tuple(each.folder for each in taught_by if isinstance(each, PlannedRun))
    return PlannedRun(arm / f"seed-{made.seed}", made, waits_for)


def _teachers(grid: Grid, common: list[str], folder: Path) -> dict[str, Path | PlannedRun]:
    """Return each teacher by name: the cell in which it is trained, or the folder of a finished run."""
    found: dict[str, Path | PlannedRun] = {}
    for teacher in grid.teachers:
        made: Path | PlannedRun
        if teacher.recipe is None:
            made = Path(str(teacher.run))
            name = teacher.name or made.name
        else:
            taught = _loaded(teacher.recipe, [*common, *teacher.set])
            name = teacher.name or taught.name
            made = PlannedRun(folder / name, replace(taught, name=name, seed=teacher.seed))
        if name in found:
            raise RecipeError(f"teachers: two are called {name!r}; give one another name")
        found[name] = made
    return found


def _arms(
    grid: Grid, common: list[str], teachers: Mapping[str, Path | PlannedRun]
) -> dict[str, tuple[Recipe, Sequence[Path | PlannedRun]]]:
    """Return each arm's recipe, with its teachers put in, and these teachers; the controls that lack are added."""
    found: dict[str, Recipe] = {}
    taught_by: dict[str, Sequence[Path | PlannedRun]] = {}
    for arm in grid.arms:
        made = _loaded(arm.recipe, [*common, *arm.set])
        stem = arm.name or fair.control(made) or made.name
        for name, chosen in _choices(made, stem, _named(arm, stem, teachers), together=grid.ensemble).items():
            if name in found:
                raise RecipeError(f"arms: two are called {name!r}; give one another name")
            if name == TEACHERS:
                raise RecipeError(f"arms: none can be called {TEACHERS!r}, the folder of the teachers")
            folders = [str(each.folder if isinstance(each, PlannedRun) else each) for each in chosen]
            teacher = folders[0] if len(folders) == 1 else tuple(folders)
            found[name] = replace(made, teacher=teacher) if chosen else made
            taught_by[name] = chosen
    return {name: (made, taught_by.get(name, ())) for name, made in fair.with_controls(found).items()}


def _named(arm: Arm, stem: str, teachers: Mapping[str, Path | PlannedRun]) -> Mapping[str, Path | PlannedRun]:
    """Return the teachers that an arm names, or all."""
    for name in arm.teachers:
        if name not in teachers:
            raise RecipeError(f"arm {stem}: the grid has no teacher {name!r}; it has {', '.join(teachers) or 'none'}")
    return {name: teachers[name] for name in arm.teachers or teachers}


def _choices(
    made: Recipe, stem: str, teachers: Mapping[str, Path | PlannedRun], *, together: bool
) -> dict[str, Sequence[Path | PlannedRun]]:
    """Return the arms that a recipe makes: one for each teacher; one with all, where they teach `together`."""
    if not made.teachers or not teachers:
        return {stem: ()}
    if len(teachers) == 1 < len(made.teachers):
        raise RecipeError(f"arm {stem}: learns from {len(made.teachers)} teachers together, but the grid has one")
    if together or len(made.teachers) > 1 or len(teachers) == 1:
        return {stem: list(teachers.values())}
    return {f"{stem}+{name}": [teacher] for name, teacher in teachers.items()}


def _loaded(name: str, overrides: list[str]) -> Recipe:
    return schema.load(catalog.find(name), overrides)


_SECTIONS: dict[str, type] = {"arms": Arm, "teachers": GridTeacher, "data": Variant, "students": Variant}


def _keys_beside(place: list[str]) -> list[str]:
    section = _SECTIONS[place[0]] if len(place) > 1 else Grid
    return [each.name for each in dataclasses.fields(section)]
