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


def require_unseen_by_weights(weights: str, images: Table, parts: Split, *, teacher: Path | None = None) -> None:
    """Refuse initial weights from a run that was trained on lesions of the validation or test set.

    So is a run whose own initial weights are from such a run, and so on.

    Weights that lie in no run folder pass: what they were trained on is unknown.

    Parameters
    ----------
    weights
        ``model.weights`` of a recipe.
    images, parts
        The images and their sets.
    teacher
        The teacher whose initial weights they are; None where they are the run's own.

    Raises
    ------
    DataError
        See `require_unseen`.
    """
    own = f"model.weights = {weights!r}"
    network, whose = (own, "this run's") if teacher is None else (f"teacher {teacher}: its {own}", "its student's")
    for run, way in _runs_behind(weights):
        require_unseen(network + way, run, whose, images, parts)


def _runs_behind(weights: str) -> Iterator[tuple[Path, str]]:
    """Yield the run that weights are from, the one whose weights that one started from, and so on, with the way."""
    way, passed = "", set()
    while Path(weights).exists():
        run = Path(weights) if Path(weights).is_dir() else Path(weights).parent
        files = RunFiles(run)
        if run.resolve() in passed or not (files.recipe.is_file() and files.split.is_file()):
            return
        yield run, way
        passed.add(run.resolve())
        weights = Run(run).recipe.model.weights
        way += f", which started from {weights!r}"
