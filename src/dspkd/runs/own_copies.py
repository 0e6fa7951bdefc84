"""Images of another data set that are copies of the run's own, whatever their names."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from dspkd import data
from dspkd.data import copies
from dspkd.data import split as splits
from dspkd.data.csv_rows import read_rows
from dspkd.data.table import Table
from dspkd.errors import DspkdError
from dspkd.evaluation.predictions import Predictions
from dspkd.recipes.schema import Recipe
from dspkd.runs import build
from dspkd.runtime.files import user_cache
from dspkd.training.progress import NullProgress, ProgressListener

Same = Sequence[frozenset[str]]
"""For each image the ids of the run's own images of which it is a copy."""


def none(table: Table) -> Same:
    """Return that no image of a table is another one of the run's."""
    return [frozenset()] * len(table)


def of_own(recipe: Recipe, split: Path, table: Table, listener: ProgressListener | None) -> Same:
    """Return for each image of another data set the ids of the run's own images of which it is a copy.

    Copies are the same files, and those that `dspkd data audit` finds: saved again, resized, rotated, flipped or
    slightly cropped.

    Parameters
    ----------
    recipe, split
        The run's recipe and its saved split.
    table
        The images of the other data set.
    listener
        Receives the progress, and a warning where images of the run are no longer where its recipe says: copies of
        those are not recognised.
    """
    listener = listener or NullProgress()
    try:
        own = _own_images(recipe, split, listener)
        own_at = {path.resolve(): name for path, name in zip(own.paths, own.ids, strict=True)}
        same = [frozenset(filter(None, [own_at.get(path.resolve())])) for path in table.paths]
        others = [row for row, names in enumerate(same) if not names]
        if others and len(own):
            rest, cache = table.take(others), user_cache()
            found = copies.among(rest, own, cache=cache, progress=listener.prepare, log=listener.note)
            for row, names in zip(others, found, strict=True):
                same[row] = names
        return same
    except (DspkdError, OSError) as error:
        _warn(listener, f"the run's own images cannot be read: {error}")
        return none(table)


def _own_images(recipe: Recipe, split: Path, listener: ProgressListener) -> Table:
    """Return those images of a run that are where its recipe says, of the ids and classes of its split."""
    own = data.load_table(**{**build.data_options(recipe), "merge_copies": False})
    rows = read_rows(split)
    saved = set(zip(rows.column("id"), rows.column("label"), strict=True))
    there = list(zip(own.ids, (own.classes[label] for label in own.labels), strict=True))
    if missing := len(saved - set(there)):
        _warn(listener, f"{missing:,} of its {len(saved):,} images are not in {Path(recipe.data.path).resolve()}")
    return own.take([row for row, image in enumerate(there) if image in saved])


def _warn(listener: ProgressListener, reason: str) -> None:
    listener.note(
        "warning: images of the run's training and test set are recognised by their names alone, not under other "
        f"names: {reason}"
    )


def trained(split: Path, predictions: Predictions, same: Same) -> list[bool]:
    """Return which images are in the training set of a saved split, or others of their lesions or patients.

    Parameters
    ----------
    split
        The run's saved split.
    predictions
        Predictions of the images.
    same
        The run's own images of which each of them is a copy.
    """
    rows, groups = read_rows(split), splits.trained_groups(split)
    ids = {name for name, group in zip(rows.column("id"), rows.column("group"), strict=True) if group in groups}
    known = zip(predictions.ids, predictions.groups, same, strict=True)
    groups |= {group for name, group, others in known if name in ids or not ids.isdisjoint(others)}
    return [group in groups for group in predictions.groups]
