"""Fold teachers: where they are, how they are trained, and what is checked before they answer.

Beside the run of a teacher, so that all its students with the same training set share them:

RUN-cross-fit/KEY/fold-0/      an ordinary run folder: the teacher's recipe, trained without fold 0
RUN-cross-fit/KEY/fold-0.csv   its split: fold 0 is its test set, and the student's test set is unused
RUN-cross-fit/KEY/fold-0.lock  held by the process that trains it

KEY is the number of folds and a digest of the teacher's recipe, the images, their split and the folds.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from filelock import FileLock, Timeout
from numpy.typing import NDArray

from dspkd.data import split as splits
from dspkd.data.split import Split
from dspkd.data.table import Table, count_of
from dspkd.data.training_folds import training_folds, without_fold
from dspkd.errors import DataError, RunError, first_few
from dspkd.recipes.data import SplitConfig
from dspkd.recipes.schema import Recipe
from dspkd.runs import build
from dspkd.runs.files import RunFiles
from dspkd.runs.run_folder import Run
from dspkd.runtime.distributed import World
from dspkd.training.progress import ProgressListener
from dspkd.training.teachers.cross_fit import CrossFitTeacher

Train = Callable[[Recipe, Path, ProgressListener, World], None]
"""`dspkd.runs.train.train`."""


@dataclass(frozen=True)
class FoldTeachers:
    """The fold teachers of one teacher's run.

    Attributes
    ----------
    of
        The teacher's run.
    folder
        The folder of all of them.
    recipes
        The recipe of each fold.
    """

    of: Path
    folder: Path
    recipes: tuple[Recipe, ...]

    def run(self, fold: int) -> Path:
        """Return the run folder of a fold."""
        return self.folder / f"fold-{fold}"

    @property
    def missing(self) -> list[int]:
        """Return the folds whose teacher is not trained yet."""
        return [fold for fold in range(len(self.recipes)) if not RunFiles(self.run(fold)).result.exists()]

    @property
    def seconds(self) -> float:
        """Return the estimated seconds to train those that are missing, from the training of the teacher itself."""
        share = 1 - 1 / len(self.recipes)
        return len(self.missing) * share * Run(self.of).result.seconds

    @property
    def quality(self) -> str:
        """Return in a sentence how good the trained ones are on their own folds."""
        scores = [Run(self.run(fold)).test.balanced_accuracy for fold in range(len(self.recipes))]
        return (
            f"fold teachers of {self.of}: balanced accuracy {', '.join(f'{score:.3f}' for score in scores)}, "
            "each on the lesions of its own fold, which it never saw"
        )

    @property
    def doubt(self) -> str:
        """Return a warning where they start from a file of weights; empty where they do not."""
        weights = self.recipes[0].model.weights
        if weights in ("none", "imagenet"):
            return ""
        return (
            f"warning: fold teachers start from {weights}; if these weights were trained on the images of a fold, "
            "its teacher has seen them"
        )


def planned(recipe: Recipe, table: Table, split: Split) -> tuple[list[FoldTeachers], NDArray[np.int64]]:
    """Return the fold teachers of each of the recipe's teachers, and ``[N]`` the fold of each row of the table.

    Raises
    ------
    DataError
        The training set cannot be divided so, or a teacher was trained on other images.
    RunError
        A teacher's run is not finished.
    """
    assert recipe.teacher, "the caller knows it"
    assert recipe.teacher.cross_fit, "the caller knows it"
    folds = recipe.teacher.cross_fit
    fold_N = training_folds(table, split, folds)
    return [_of_run(Path(run), recipe, table, split, fold_N, folds) for run in recipe.teachers], fold_N


def _of_run(
    run: Path, recipe: Recipe, table: Table, split: Split, fold_N: NDArray[np.int64], folds: int
) -> FoldTeachers:
    made_by = Run(run)
    if made_by.data.digest != table.digest:
        raise DataError(
            f"teacher {run}: was trained on other images, labels or lesions than {table.root}; the teachers of "
            "teacher.cross_fit are trained on the student's images, so give both runs the same data"
        )
    depends = [made_by.recipe.digest, table.digest, split.digest, fold_N.tobytes().hex()]
    digest = hashlib.sha256("\n".join(depends).encode()).hexdigest()[:8]
    named = run if run.name not in ("", "..") else run.resolve()
    folder = named.with_name(f"{named.name}-cross-fit") / f"{folds}-{digest}"
    machine = replace(recipe.machine, loggers=())
    recipes = [
        replace(
            made_by.recipe,
            name=f"{made_by.recipe.name}-fold-{fold}",
            data=recipe.data,
            split=SplitConfig(file=str(folder / f"fold-{fold}.csv"), waiver=recipe.split.waiver),
            machine=machine,
        )
        for fold in range(folds)
    ]
    return FoldTeachers(run, folder, tuple(recipes))


def train_missing(
    teachers: FoldTeachers,
    train: Train,
    table: Table,
    split: Split,
    fold_N: NDArray[np.int64],
    listener: ProgressListener,
    world: World,
) -> None:
    """Train the fold teachers that are missing; folds that other processes train are left to them and waited for.

    May be killed at any moment: the next call continues.

    Raises
    ------
    RunError
        The folder cannot be written to.
    """
    if teachers.doubt and world.on_rank_zero(lambda: teachers.missing):
        listener.note(teachers.doubt)
    for wait in (False, True):
        for fold in world.on_rank_zero(lambda: teachers.missing):
            with _locked(teachers, fold, wait, listener, world) as mine:
                if mine and fold in world.on_rank_zero(lambda: teachers.missing):
                    number = f"{fold + 1} of {len(teachers.recipes)}"
                    listener.note(f"training teacher {number} of {teachers.of}, without its fold: {teachers.run(fold)}")
                    path = teachers.folder / f"fold-{fold}.csv"
                    world.on_rank_zero(lambda path=path, k=fold: without_fold(split, fold_N, k).save(path, table))  # type: ignore[misc]
                    train(teachers.recipes[fold], teachers.run(fold), listener, world)


@contextmanager
def _locked(teachers: FoldTeachers, fold: int, wait: bool, listener: ProgressListener, world: World) -> Iterator[bool]:
    """Hold the lock of a fold, on rank 0; yield False, without `wait`, where another process holds it."""
    lock = FileLock(teachers.folder / f"fold-{fold}.lock")

    def acquire() -> bool:
        try:
            teachers.folder.mkdir(parents=True, exist_ok=True)
            lock.acquire(timeout=0)
        except Timeout:
            if not wait:
                return False
            listener.note(f"another process trains {teachers.run(fold)}; waiting for it")
            lock.acquire()
        except OSError as error:
            raise RunError(
                f"{teachers.folder}: cannot be written to: {error.strerror}; fold teachers are kept beside their "
                "teacher's run, so copy that run to a folder of your own"
            ) from None
        return True

    mine = world.on_rank_zero(acquire)
    try:
        yield mine
    finally:
        if lock.is_locked:
            lock.release()


def loaded(
    teachers: Sequence[FoldTeachers],
    whole: build.AnyTeacher,
    recipe: Recipe,
    table: Table,
    split: Split,
    fold_N: NDArray[np.int64],
    device: torch.device,
) -> CrossFitTeacher:
    """Return the trained fold teachers as one.

    Raises
    ------
    DataError
        One of them was trained on a lesion or patient that it would answer about, or on one of the student's
        validation or test set.
    RunError
        One of them is not finished.
    """
    config = recipe.teacher
    assert config, "the caller knows it"
    folds = []
    for fold in range(len(teachers[0].recipes)):
        runs = [each.run(fold) for each in teachers]
        for run in runs:
            _require_unseen(run, table, fold_N == fold)
        folds.append(
            build.teacher(list(map(str, runs)), table, split, device, views=config.views, weights=config.weights)
        )
    return CrossFitTeacher([fold for fold in folds if fold], fold_N, whole)


def _require_unseen(run: Path, table: Table, own_N: NDArray[np.bool_]) -> None:
    """Refuse a fold teacher that was trained on a lesion or patient of its own fold."""
    trained = splits.trained_groups(Run(run).files.split)
    seen = sorted({table.groups[row] for row in np.flatnonzero(own_N)} & trained)
    if seen:
        raise DataError(
            f"fold teacher {run}: was trained on {count_of(seen)} that it would answer about: "
            f"{first_few(seen)}; delete this folder, and it is trained again"
        )
