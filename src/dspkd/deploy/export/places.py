"""Where a run's images are: its recipe's paths are relative to the folder in which training was started."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from dspkd.errors import DataError
from dspkd.recipes.schema import Recipe


def located(run: Path, recipe: Recipe, images: Path | None) -> Recipe:
    """Return the recipe with its images at `images`; by default where the recipe says.

    Raises
    ------
    DataError
        There is nothing at that place.
    """
    if images is not None:
        if not images.exists():
            raise DataError(f"{images}: there is no such folder or file; name the images of {run}")
        return replace(recipe, data=replace(recipe.data, path=str(images)))
    named = Path(recipe.data.path)
    if not named.exists():
        why = "" if named.is_absolute() else ", relative to the folder in which training was started"
        raise DataError(
            f"{named}: there is no such folder or file; it is data.path in the recipe of {run}{why}. "
            f"Give the images' place with --data, or data= in Python"
        )
    return recipe
