"""Images of another data set that are files of the run's own, whatever their names."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from dspkd import data
from dspkd.data import split as splits
from dspkd.data.csv_rows import read_rows
from dspkd.data.decode_cache import fingerprints
from dspkd.data.table import Table
from dspkd.errors import DspkdError
from dspkd.evaluation.predictions import Predictions
from dspkd.recipes.schema import Recipe
from dspkd.runs import build
from dspkd.training.progress import ProgressListener

Same = Sequence[frozenset[str]]
"""For each image the ids of the run's own images that are the same file."""


def none(table: Table) -> Same:
    """Return that no image of a table is another one of the run's."""
    return [frozenset()] * len(table)


def of_own(recipe: Recipe, table: Table, listener: ProgressListener | None) -> Same:
    """Return for each image of another data set the ids of the run's own images with the same content.

    Only files of equal size are read. A copy that was saved again has another content, and is not recognised.
    `listener` receives a warning where the run's own images cannot be read.
    """
    try:
        own = data.load_table(**{**build.data_options(recipe), "merge_copies": False})
        sizes, own_sizes = ([path.stat().st_size for path in each.paths] for each in (table, own))
        both = set(sizes) & set(own_sizes)
        rows, own_rows = ([row for row, size in enumerate(each) if size in both] for each in (sizes, own_sizes))
        ids_of: dict[bytes, set[str]] = {}
        for row, content in zip(own_rows, fingerprints([own.paths[row] for row in own_rows]), strict=True):
            ids_of.setdefault(content, set()).add(own.ids[row])
        contents = dict(zip(rows, fingerprints([table.paths[row] for row in rows]), strict=True))
    except (DspkdError, OSError) as error:
        if listener is not None:
            listener.note(
                "warning: images of the run's training and test set are recognised by their names alone, not under "
                f"other names, since the run's own images cannot be read: {error}"
            )
        return none(table)
    return [frozenset(ids_of.get(contents.get(row, b""), ())) for row in range(len(table))]


def trained(split: Path, predictions: Predictions, same: Same) -> list[bool]:
    """Return which images are in the training set of a saved split, or others of their lesions or patients.

    Parameters
    ----------
    split
        The run's saved split.
    predictions
        Predictions of the images.
    same
        The run's own images that are the same files, for each of them.
    """
    rows, groups = read_rows(split), splits.trained_groups(split)
    ids = {name for name, group in zip(rows.column("id"), rows.column("group"), strict=True) if group in groups}
    known = zip(predictions.ids, predictions.groups, same, strict=True)
    groups |= {group for name, group, others in known if name in ids or not ids.isdisjoint(others)}
    return [group in groups for group in predictions.groups]
