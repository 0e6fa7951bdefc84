"""Whether a teacher, or the run that initial weights are from, was trained on images of validation or test set."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from dspkd.data import split as splits
from dspkd.data import unlabelled
from dspkd.data.image_files import bare
from dspkd.data.split import Split
from dspkd.data.table import Table, count_of
from dspkd.errors import DataError
from dspkd.recipes.schema import Recipe
from dspkd.runs.files import RunFiles
from dspkd.runs.run_folder import Run


def require_unseen(network: str, run: Path, whose: str, images: Table, parts: Split) -> None:
    """Refuse a network whose run was trained on lesions of the validation or test set.

    Lesions that cross the sets of `parts`, by a waiver, may cross here too. Unlabelled images of the run count as
    images that it was trained on, and are recognised by their file names.

    Parameters
    ----------
    network
        The network in messages, ``teacher runs/t``.
    run
        The folder of its run.
    whose
        Whose sets these are: ``its student's``, ``this run's``.
    images, parts
        The images and their sets.

    Raises
    ------
    DataError
        It was.
    """
    crossing = set(splits.crossing(images, parts))
    files = RunFiles(run)
    ids, groups = splits.trained_images(files.split), splits.trained_groups(files.split)
    beside = unlabelled.used_names(files.unlabelled)
    # The other run may have named lesions by another column.
    groups |= {group for group, name in zip(images.groups, images.ids, strict=True) if name in ids}
    leaked = {
        images.groups[row]
        for row in (*parts.places("val"), *parts.places("test"))
        if images.ids[row] in ids
        or bare(images.ids[row]) in beside
        or (images.groups[row] in groups and images.groups[row] not in crossing)
    }
    if leaked:
        raise DataError(
            f"{network}: was trained on {count_of(leaked)} of {whose} validation or test set, e.g. {min(leaked)}; give "
            "both runs the same data and [split], or both the same split.file. Images are recognised by their names: "
            "if the other run's were others of the same names, rename their folder"
        )


def require_unseen_before(recipe: Recipe, images: Table, parts: Split, *, teacher: Path | None = None) -> None:
    """Refuse initial weights from a run that was trained on lesions of the validation or test set.

    So is a run whose own initial weights or teachers are from such a run, and so on.

    Weights that lie in no run folder pass: what they were trained on is unknown. So does a teacher that is gone.

    Parameters
    ----------
    recipe
        The recipe whose ``model.weights`` they are; of a teacher, its own teachers count as well.
    images, parts
        The images and their sets.
    teacher
        The teacher whose recipe it is; None for that of the run itself, whose teachers are checked as they are read.

    Raises
    ------
    DataError
        See `require_unseen`.
    """
    passed: set[Path] = set()
    own, whose = ("", "this run's") if teacher is None else (f"teacher {teacher}: its ", "its student's")
    for run, way in _runs_behind(f"{own}model.weights = ", recipe.model.weights, passed):
        require_unseen(way, run, whose, images, parts)
    for each in recipe.teacher.run if recipe.teacher and teacher else ():
        for run, way in _runs_behind(f"{own}teacher ", each, passed):
            require_unseen(way, run, whose, images, parts)


def _runs_behind(way: str, source: str, passed: set[Path]) -> Iterator[tuple[Path, str]]:
    """Yield the run of weights or of a teacher, each that it started from or learned from, and so on, with the way."""
    path = Path(source)
    run = path if path.is_dir() else path.parent
    files = RunFiles(run)
    if not path.exists() or run.resolve() in passed or not (files.recipe.is_file() and files.split.is_file()):
        return
    passed.add(run.resolve())
    way += repr(source)
    yield run, way
    recipe = Run(run).recipe
    yield from _runs_behind(f"{way}, which started from ", recipe.model.weights, passed)
    for teacher in recipe.teacher.run if recipe.teacher else ():
        yield from _runs_behind(f"{way}, which learned from ", teacher, passed)
