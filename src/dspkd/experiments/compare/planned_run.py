"""A run of a grid."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

from dspkd.recipes.schema import Recipe
from dspkd.runs.folds import folder_of


@dataclass(frozen=True)
class PlannedRun:
    """A run of a grid, and the folders of the teachers that must be trained before it."""

    folder: Path
    recipe: Recipe
    waits_for: tuple[Path, ...] = ()

    @property
    def whole(self) -> Path:
        """The folder of the method and seed: this one, or with folds the one that has the folds."""
        return self.folder if self.recipe.split.folds is None else self.folder.parent

    def in_folds(self) -> list[PlannedRun]:
        """Return the run in each fold, with its teachers of the same fold; without folds, this run."""
        if self.recipe.split.folds is None:
            return [self]
        return [self._in_fold(fold) for fold in range(self.recipe.split.folds)]

    def _in_fold(self, fold: int) -> PlannedRun:
        recipe = replace(self.recipe, split=replace(self.recipe.split, fold=fold))
        if recipe.teachers:
            recipe = recipe.with_teachers([str(folder_of(Path(teacher), fold)) for teacher in recipe.teachers])
        waits_for = tuple(folder_of(teacher, fold) for teacher in self.waits_for)
        return PlannedRun(folder_of(self.folder, fold), recipe, waits_for)
