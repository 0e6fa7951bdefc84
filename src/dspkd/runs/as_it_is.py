"""A network used as it is: a recipe without stages, whose weights were trained elsewhere."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from dspkd.errors import RecipeError, WeightsError
from dspkd.models import hub_folder
from dspkd.recipes.schema import ModelConfig, Recipe

if TYPE_CHECKING:
    from dspkd.models.tapped import Tapped

_ORDER = 'data.classes = "FILE" orders the classes'


def check(recipe: Recipe) -> None:
    """Check that a recipe without stages names a file of weights, and nothing to learn from.

    Raises
    ------
    RecipeError
        It does not.
    """
    if recipe.stages:
        return
    if recipe.model.weights in ("none", "imagenet"):
        raise RecipeError(
            f"stages = []: trains nothing, and model.weights = {recipe.model.weights!r} knows none of the classes; "
            "name a file of weights, or add a stage"
        )
    if recipe.teacher:
        raise RecipeError(
            "stages = []: trains nothing, so nothing learns from the teacher; leave it out, or add a stage"
        )


def caution(model: ModelConfig) -> str:
    """Return what a reader of results must know of a network that was trained elsewhere."""
    return (
        f"{model.name} with the weights {model.weights} was trained elsewhere and is used as it is: if images of the "
        "validation or test set were among its training images, its scores are too high"
    )


def require_classifier(network: Tapped, classes: tuple[str, ...]) -> None:
    """Check that all weights came from the file, the classifier's too, and that its classes are the data's, if named.

    Raises
    ------
    WeightsError
        Tensors would be random, or the folder of the weights names other classes or another order of them.
    """
    loaded = network.loaded
    assert loaded, "made with weights"
    place = f"weights {loaded.place} for model {network.name!r}"
    if loaded.fresh:
        head = (
            f"its classifier is for {loaded.other_classes:,} classes, and the data have {len(classes)}"
            if loaded.other_classes
            else f"it lacks {loaded.fresh[0]}"
        )
        raise WeightsError(
            f"{place}: {head}, so the network cannot be used as it is (stages = []); add a stage, which trains a new "
            "classifier, or give a file with one for these classes"
        )
    names = hub_folder.class_names(Path(loaded.source))
    theirs, ours = [[*map(_bare, each)] for each in (names, classes)]
    if not names or theirs == ours:
        return
    same = sorted(theirs) == sorted(ours)
    raise WeightsError(
        f"{place}: its config.json has the classes {', '.join(names)}, and the data {', '.join(classes)}"
        + (f": another order; {_ORDER}" if same else '; data.classes = "FILE" renames, merges, drops and orders them')
    )


def _bare(name: str) -> str:
    """Return a name's letters and digits in lower case, by which names are compared."""
    return "".join(filter(str.isalnum, name.casefold()))
