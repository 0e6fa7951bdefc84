"""The unlabelled images of a recipe, and the stages that learn from them."""

from __future__ import annotations

from pathlib import Path

from dspkd import methods
from dspkd.data import unlabelled
from dspkd.data.split import Split
from dspkd.data.table import Table
from dspkd.data.unlabelled import UnlabelledImages
from dspkd.recipes.schema import Recipe
from dspkd.recipes.stage import StageConfig
from dspkd.runs import hardware
from dspkd.runs.files import RunFiles
from dspkd.training.progress import ProgressListener


def learns(stage: StageConfig) -> bool:
    """Return whether a term of this stage learns from unlabelled images: it has a teacher and reads no labels."""
    return not all(methods.declaration(term.method).labelled_only for term in stage.terms)


def are_used(recipe: Recipe) -> bool:
    """Return whether the recipe names unlabelled images, and a stage learns from them."""
    return recipe.data.unlabelled is not None and recipe.teacher is not None and any(map(learns, recipe.stages))


def load(
    recipe: Recipe, table: Table, split: Split, listener: ProgressListener, *, files: RunFiles | None = None
) -> UnlabelledImages | None:
    """Return the recipe's unlabelled images, screened; None where none are used.

    Parameters
    ----------
    recipe, table, split
        The run's recipe, and the labelled images.
    listener
        Receives how many images are used and why others are not.
    files
        Those of the run: records the choice, and refuses another one in a resumed run. None screens nothing, for an
        estimate.

    Raises
    ------
    DataError
        There are no images, or none is left.
    RunError
        The images have changed since the run began.
    """
    if not are_used(recipe):
        if recipe.data.unlabelled is not None:
            listener.note(
                f"{recipe.data.unlabelled}: unlabelled images are not used: no term has a teacher and reads no labels"
            )
        return None
    found = unlabelled.find(Path(str(recipe.data.unlabelled)), recipe.data.group or recipe.data.columns.group)
    if files is None:
        return found
    cache = hardware.cache_folder(recipe.machine)
    images = unlabelled.screened(found, table, split, listener.prepare, cache=cache)
    with files.manifest.recording_new(files.unlabelled):
        images.save(files.unlabelled)
    listener.note(str(images))
    return images
