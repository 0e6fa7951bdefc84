"""Terms of a recipe that can teach nothing about the classes of its images."""

from __future__ import annotations

from dspkd import methods
from dspkd.errors import RecipeError
from dspkd.recipes.schema import Recipe


def refuse(recipe: Recipe, classes: int) -> None:
    """Raise RecipeError if a term of any stage teaches nothing about so many classes, such as `normkd` about two.

    Building the term would find it too; for a later stage that may be hours later, once its teacher is trained.
    """
    for s, stage in enumerate(recipe.stages):
        for t, term in enumerate(stage.terms):
            if reason := methods.find(term.method).void(classes, **term.options):
                raise RecipeError(
                    f"stages.{s}.terms.{t}: {term.method} teaches nothing about {classes} classes: {reason}"
                )
