"""Finished runs, packed to be committed as evidence: predictions, recipe and figures, without weights and images.

========================  ==============================================================================
recipe.toml               the recipe; the teacher's folder is relative to the folder of all packed runs
run.json                  result, data, versions, evaluations of the test set
test.csv.gz               logits of the test images to four digits, true class, image id, lesion
========================  ==============================================================================
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from copy import deepcopy
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter

from dspkd.errors import RunError
from dspkd.evaluation.predictions import Predictions
from dspkd.recipes import schema
from dspkd.recipes.machine import MachineConfig
from dspkd.recipes.schema import Recipe
from dspkd.runs import records
from dspkd.runs.files import RunFiles
from dspkd.runs.folds import is_fold
from dspkd.runs.holdout import TestEvaluation
from dspkd.runs.records import EARLIER, DataSummary, Environment, Result
from dspkd.runs.run_folder import Run
from dspkd.runtime.files import sha256_of, write_json, write_text

RUN, TEST = "run.json", "test.csv.gz"
DIGITS = 4
"""Decimals of a packed logit."""

TEACHERS = "teachers"
"""Folder of packed teachers that were trained elsewhere."""


@dataclass(frozen=True)
class _Figures:
    """``run.json``; `recipe_sha256` is of the packed recipe, whose digest is not that of the run.

    `test_sha256` is of the packed predictions; empty in runs that were packed before it was recorded.
    """

    result: Result
    data: DataSummary
    environment: Environment
    test_evaluations: tuple[TestEvaluation, ...]
    early_evaluations: tuple[TestEvaluation, ...]
    recipe_sha256: str
    test_sha256: str = ""


class PackedRun(Run):
    """A packed run: what `Run` has, but for weights, epochs, and predictions of validation images."""

    @property
    def finished(self) -> bool:
        """Whether training had ended: always, of a packed run."""
        return True

    def require_whole(self) -> None:
        """Pass: a packed run has no digests; its recipe is compared with ``run.json``."""

    @cached_property
    def _figures(self) -> _Figures:
        return records.read(TypeAdapter(_Figures), self._existing(self.folder / RUN, "dspkd pack writes it"))

    @cached_property
    def result(self) -> Result:
        """The summary of the training."""
        return self._figures.result

    @cached_property
    def data(self) -> DataSummary:
        """Where the images were, fingerprints, counts, data card."""
        return self._figures.data

    @cached_property
    def environment(self) -> Environment:
        """Versions and device."""
        return self._figures.environment

    @cached_property
    def test_evaluations(self) -> tuple[TestEvaluation, ...]:
        """Every evaluation on the test set that was recorded when the run was packed."""
        return self._figures.test_evaluations

    @cached_property
    def early_evaluations(self) -> tuple[TestEvaluation, ...]:
        """Those of `test_evaluations` that training may have learnt from."""
        return self._figures.early_evaluations

    @cached_property
    def teachers(self) -> tuple[Path, ...]:
        """The packed runs of the teachers, below a folder above this one; a path that leads nowhere if not packed."""
        above = self.folder.parents
        return tuple(
            next((up / name for up in above if (up / name).is_dir()), Path(name)) for name in self.recipe.teachers
        )

    def predictions(self, part: str = "test") -> Predictions:
        """Return the predictions of the test images; a packed run has no others."""
        if part != "test":
            raise RunError(f"{self.folder}: a packed run has predictions of the test images only, not of {part!r}")
        if part not in self._loaded:
            self._loaded[part] = Predictions.load(self._existing(self.folder / TEST, "dspkd pack writes it"))
        return self._loaded[part]

    def require_finished(self) -> PackedRun:
        """Return this run; RunError unless recipe, figures and predictions are of one run."""
        if _sha256(self.recipe_text) != self._figures.recipe_sha256:
            raise RunError(
                f"{self.folder}: {self.files.recipe.name} was changed after it was packed; pack the run again"
            )
        if self.predictions().classes != self.result.classes:
            raise RunError(
                f"{self.folder}: {TEST} has the classes {', '.join(self.predictions().classes)}, {RUN} "
                f"{', '.join(self.result.classes)}; pack the run again"
            )
        packed = self._figures.test_sha256
        if packed and sha256_of(self.folder / TEST) != packed:
            raise RunError(f"{self.folder}: {TEST} is not the one that was packed with {RUN}; pack the run again")
        return self


def pack(folder: Path, out: Path) -> list[Path]:
    """Pack each finished run below `folder` into the same place below `out`; may be repeated as more runs finish.

    Teachers that lie elsewhere are packed into ``teachers/``, if they are there. Unchanged files stay as they are.

    Returns
    -------
    list
        The folders of the packed runs.

    Raises
    ------
    RunError
        There is no finished run below `folder`, or `out` has one of another recipe in the place of a run.
    """
    found = finished_below(folder)
    if not found:
        raise RunError(f"{folder}: no finished run below this folder; give the folder that dspkd compare writes into")
    places = {run: run.relative_to(folder) for run in found}
    runs = {run: Run(run) for run in found}
    elsewhere: dict[str, Path] = {}
    taught_by: dict[Path, dict[str, str]] = {}
    for path, run in runs.items():
        taught_by[path] = {name: str(_place(name, folder, elsewhere)) for name in run.recipe.teachers}
    there = {places[path]: run.result.digest for path, run in runs.items()}
    for name, teacher in elsewhere.items():
        place = Path(TEACHERS, name)
        if RunFiles(teacher).result.is_file() and there.get(place) != Run(teacher).result.digest:
            runs[teacher], places[teacher], taught_by[teacher] = Run(teacher), place, {}
    for path, run in runs.items():
        _write(run, out / places[path], taught_by[path])
    return [out / places[path] for path in runs]


def finished_below(folder: Path) -> list[Path]:
    """Return the folders of finished runs below `folder`, sorted, without those of `teacher.cross_fit`."""
    runs = [
        path.parent for path in folder.rglob(RunFiles(folder).result.name) if RunFiles(path.parent).recipe.is_file()
    ]
    return sorted(run for run in runs if not any(part.endswith("-cross-fit") for part in run.parts))


def _place(name: str, folder: Path, elsewhere: dict[str, Path]) -> Path:
    """Return the place of a teacher below the packed folder; one that is not below `folder` goes to `elsewhere`."""
    teacher, root = Path(name), folder.resolve()
    if teacher.is_dir():
        if teacher.resolve().is_relative_to(root):
            return teacher.resolve().relative_to(root)
    else:  # a path relative to where the run was trained
        for first in range(len(teacher.parts)):
            below = Path(*teacher.parts[first:])
            if RunFiles(folder / below).recipe.is_file():
                return below
    own = f"{teacher.parent.name}/{teacher.name}" if is_fold(teacher) else teacher.name
    if elsewhere.setdefault(own, teacher) != teacher:
        raise RunError(
            f"teachers {elsewhere[own]} and {teacher} have one name, {own!r}; they cannot both be packed into "
            f"{TEACHERS}/; pack the runs of each into a folder of its own"
        )
    return Path(TEACHERS, own)


def _write(run: Run, place: Path, taught_by: Mapping[str, str]) -> None:
    run.require_whole()
    digest = run.result.digest
    if (place / RUN).is_file() and (earlier := PackedRun(place).result.digest) != digest:
        raise RunError(
            f"{place}: holds a packed run of recipe {earlier}, but {run.folder} is one of {digest}; delete the packed "
            "one, or pack into another folder"
        )
    place.mkdir(parents=True, exist_ok=True)
    recipe = _portable(run.recipe, [taught_by.get(name, Path(name).name) for name in run.recipe.teachers])
    text = schema.dump(recipe)
    teacher = ", ".join(recipe.teachers) or None
    environment = deepcopy(run.environment)
    before = environment.get(EARLIER)
    every: list[dict[str, Any]] = [environment, *(before if isinstance(before, list) else [])]
    for facts in every:
        facts.pop("platform", None)
        if "teacher" in facts:
            facts["teacher"] = teacher
    figures = _Figures(
        result=replace(run.result, teacher=teacher, fold_teachers=tuple(map(_name_of_fold, run.result.fold_teachers))),
        data=run.data,
        environment=environment,
        test_evaluations=run.test_evaluations,
        early_evaluations=run.early_evaluations,
        recipe_sha256=_sha256(text),
    )
    write_text(RunFiles(place).recipe, text)
    run.predictions("test").save(place / TEST, digits=DIGITS)
    write_json(place / RUN, asdict(replace(figures, test_sha256=sha256_of(place / TEST))))


def _name_of_fold(teacher: str) -> str:
    """Return the name of a teacher of a fold, which is not packed: ``teacher-cross-fit/KEY/fold-0``."""
    return Path(*Path(teacher).parts[-3:]).as_posix()


def _sha256(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def _portable(recipe: Recipe, teachers: Iterable[str]) -> Recipe:
    """Return the recipe with these teachers, and without the settings of the machine that trained it."""
    folders = list(teachers)
    portable = recipe.with_teachers(folders) if folders else recipe
    return replace(portable, machine=MachineConfig())
