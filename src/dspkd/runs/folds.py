"""The runs of all folds of a cross-validation as one run, whose test predictions are of all images, out of fold."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Sequence
from dataclasses import asdict, replace
from functools import cached_property
from pathlib import Path

from dspkd.data.data_card import Attribute
from dspkd.data.leakage import Leak
from dspkd.errors import RunError
from dspkd.evaluation.predictions import Predictions
from dspkd.recipes.machine import MachineConfig
from dspkd.recipes.schema import Recipe
from dspkd.runs.holdout import TestEvaluation
from dspkd.runs.records import DataSummary, Environment, Result, TeacherCost
from dspkd.runs.run_folder import Run


def folder_of(run: Path, fold: int) -> Path:
    """Return the folder of a fold of a run."""
    return run / f"fold-{fold}"


def is_fold(folder: Path) -> bool:
    """Return whether a folder is called as that of a fold."""
    return folder.name.startswith("fold-") and folder.name.removeprefix("fold-").isdecimal()


class FoldedRun(Run):
    """The runs of a recipe in all folds, with one seed: what `Run` has, but for weights, epochs and validation set.

    Parameters
    ----------
    folder
        The folder that has those of the folds.
    parts
        The runs of the folds that are there.
    """

    def __init__(self, folder: Path, parts: Sequence[Run]) -> None:
        super().__init__(folder)
        self._parts = tuple(sorted(parts, key=lambda run: int(run.folder.name.removeprefix("fold-"))))

    @property
    def parts(self) -> tuple[Run, ...]:
        """The runs of the folds, in order."""
        return self._parts

    @property
    def finished(self) -> bool:
        """Whether each fold has ended."""
        return not self.missing and all(run.finished for run in self.parts)

    @property
    def missing(self) -> list[int]:
        """The folds without a run."""
        there = {run.recipe.split.fold for run in self.parts}
        return [fold for fold in range(self.recipe.split.folds or 0) if fold not in there]

    @cached_property
    def recipe(self) -> Recipe:
        """The recipe of the first fold; those of the others differ in fold and teacher."""
        return self.parts[0].recipe

    @cached_property
    def teachers(self) -> tuple[Path, ...]:
        """The folders of the teachers' folds."""
        return tuple(folder.parent if is_fold(folder) else folder for folder in self.parts[0].teachers)

    @cached_property
    def result(self) -> Result:
        """The summary: times are sums over folds."""
        results = [run.result for run in self.parts]
        caches = [result.teacher_cache for result in results if result.teacher_cache]
        return replace(
            results[0],
            digest=_joint(result.digest for result in results)[:12],
            stages=tuple(
                replace(stages[0], seconds=round(sum(stage.seconds for stage in stages), 1))
                for stages in zip(*(result.stages for result in results), strict=True)
            ),
            seconds=round(sum(result.seconds for result in results), 1),
            cpu_seconds=_sum(result.cpu_seconds for result in results),
            test_evaluations=sum(result.test_evaluations for result in results),
            teacher_cache=TeacherCost(
                views=caches[0].views,
                seconds=_sum(cache.seconds for cache in caches),
                cpu_seconds=_sum(cache.cpu_seconds for cache in caches),
            )
            if caches
            else None,
        )

    @cached_property
    def data(self) -> DataSummary:
        """Where the images are, and counts: of test images over all folds, of the others in the first."""
        every = [run.data for run in self.parts]
        tested = dict.fromkeys(every[0].classes, (0, 0))
        for each in every:
            for name, (images, groups) in each.counts["test"].items():
                tested[name] = (tested[name][0] + images, tested[name][1] + groups)
        return replace(
            every[0],
            split_digest=_joint(each.split_digest for each in every),
            counts={**every[0].counts, "test": tested},
            leak=_leak([each.leak for each in every if each.leak]),
            card=_card([each.card for each in every if each.card]),
            split_how=_of_all_folds(every[0].split_how),
        )

    @cached_property
    def environment(self) -> Environment:
        """Versions and machine of the first fold."""
        return self.parts[0].environment

    @cached_property
    def test_evaluations(self) -> tuple[TestEvaluation, ...]:
        """Every recorded evaluation on a fold's test set."""
        return tuple(each for run in self.parts for each in run.test_evaluations)

    @cached_property
    def early_evaluations(self) -> tuple[TestEvaluation, ...]:
        """Those of `test_evaluations` that training may have learnt from."""
        return tuple(each for run in self.parts for each in run.early_evaluations)

    @cached_property
    def attributes(self) -> dict[str, tuple[str, ...]] | None:
        """``{attribute: a value for each image}``; None where a fold has none."""
        every = [run.attributes for run in self.parts]
        if any(each is None for each in every):
            return None
        ids = [name for run in self.parts for name in run.predictions("test").ids]
        rows = sorted(range(len(ids)), key=ids.__getitem__)  # in the order of `predictions`
        values = {name: [value for each in every if each for value in each[name]] for name in every[0] or {}}
        return {name: tuple(column[row] for row in rows) for name, column in values.items()}

    def predictions(self, part: str = "test") -> Predictions:
        """Return the predictions of all images, each by the network that was not trained on its lesion."""
        if part != "test":
            raise RunError(f"{self.folder}: predictions out of fold are of test images; each fold has its own {part!r}")
        if part not in self._loaded:
            self._loaded[part] = Predictions.of_folds([run.predictions("test") for run in self.parts])
        return self._loaded[part]

    def require_finished(self) -> FoldedRun:
        """Return this run; RunError unless all its folds are there, finished and of one recipe."""
        if self.missing:
            listed = ", ".join(map(str, self.missing))
            raise RunError(f"{self.folder}: fold {listed} is missing, so there are no predictions of all images")
        for run in self.parts:
            if _alike(run.recipe) != _alike(self.recipe):
                raise RunError(
                    f"{run.folder}: its recipe differs from that of {self.parts[0].folder} in more than fold"
                )
            run.require_finished()
        return self


def _alike(recipe: Recipe) -> tuple[Recipe, dict[str, object]]:
    """Return the recipe without what differs from fold to fold, and the settings of its teacher."""
    teacher = {} if recipe.teacher is None else asdict(recipe.teacher)
    settings = {key: value for key, value in teacher.items() if key not in ("run", "answers")}
    return replace(recipe, split=replace(recipe.split, fold=0), teacher=None, machine=MachineConfig()), settings


def _of_all_folds(split_how: str) -> str:
    """Return how the split of one fold was made, in words for all."""
    return re.sub(
        r"^fold \d+ \(from 0\) of (\d+) is the test set", r"each of \1 folds is the test set once,", split_how
    )


def _joint(digests: Iterable[str]) -> str:
    return hashlib.sha256("\n".join(digests).encode()).hexdigest()


def _sum(seconds: Iterable[float | None]) -> float | None:
    values = list(seconds)
    return None if None in values else round(sum(value for value in values if value is not None), 1)


def _leak(leaks: Sequence[Leak]) -> Leak | None:
    """Return the leak of all folds: test images add up, the lesions in several parts are those of the worst fold."""
    if not leaks:
        return None
    worst = max(leaks, key=lambda leak: leak.images)
    return replace(worst, tested=sum(leak.tested for leak in leaks), known=sum(leak.known for leak in leaks))


def _card(cards: Sequence[dict[str, Attribute]]) -> dict[str, Attribute] | None:
    """Return the data card of all test images, and of the other parts in the first fold; without medians.

    Medians of several folds do not make one of all.
    """
    if not cards:
        return None
    return {
        name: replace(each, parts={**each.parts, **_tested(name, cards)}, medians={}) for name, each in cards[0].items()
    }


def _tested(name: str, cards: Sequence[dict[str, Attribute]]) -> dict[str, dict[str, int]]:
    counts: dict[str, int] = {}
    for card in cards:
        for value, images in card[name].parts.get("test", {}).items():
            counts[value] = counts.get(value, 0) + images
    return {"test": counts} if counts else {}
