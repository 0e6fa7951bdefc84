"""A run of a grid."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

from dspkd.recipes.schema import Recipe
from dspkd.runs.folds import folder_of


def without_division(recipe: Recipe) -> Recipe:
    """Return a recipe of a fold as that of any fold and division: the teachers have numbers in place of folders."""
    if recipe.split.folds is None:
        return recipe
    first = replace(recipe, split=replace(recipe.split, seed=0, fold=0))
    return first.with_teachers([f"teacher-{k}" for k in range(len(first.teachers))]) if first.teachers else first


@dataclass(frozen=True)
class PlannedRun:
    """A run of a grid, and the folders of the teachers that must be trained before it.

    `first` is that of a repetition with other folds: the folder of the method and seed that it repeats.
    """

    folder: Path
    recipe: Recipe
    waits_for: tuple[Path, ...] = ()
    first: Path | None = None

    @property
    def whole(self) -> Path:
        """The folder of the method and seed: this one, or with folds the one that has the folds."""
        return self.folder if self.recipe.split.folds is None else self.folder.parent

    @property
    def unit(self) -> Path:
        """The folder of the method and seed, of which all folds and repetitions give one result."""
        return self.first or self.whole

    def in_folds(self, repeats: int = 1) -> list[PlannedRun]:
        """Return the run in each fold of each repetition, with its teachers of the same; without folds, this run."""
        if self.recipe.split.folds is None:
            return [self]
        runs = [self, *(self._divided_again(number) for number in range(1, repeats))]
        return [run._in_fold(fold) for run in runs for fold in range(self.recipe.split.folds)]

    def _divided_again(self, number: int) -> PlannedRun:
        """Return the run with the next division but `number` - 1; its teachers are those with the same division."""
        seed = self.recipe.split.seed + number

        def repeated(folder: Path) -> Path:
            return folder.with_name(f"{folder.name}-split-{seed}")

        recipe = replace(self.recipe, split=replace(self.recipe.split, seed=seed))
        if recipe.teachers:
            recipe = recipe.with_teachers([str(repeated(Path(teacher))) for teacher in recipe.teachers])
        return PlannedRun(repeated(self.folder), recipe, tuple(map(repeated, self.waits_for)), self.folder)

    def _in_fold(self, fold: int) -> PlannedRun:
        recipe = replace(self.recipe, split=replace(self.recipe.split, fold=fold))
        if recipe.teachers:
            recipe = recipe.with_teachers([str(folder_of(Path(teacher), fold)) for teacher in recipe.teachers])
        waits_for = tuple(folder_of(teacher, fold) for teacher in self.waits_for)
        return PlannedRun(folder_of(self.folder, fold), recipe, waits_for, self.first)
