"""Errors of a recipe: which are listed."""

import pytest

from dspkd.errors import RecipeError
from dspkd.recipes import schema


def test_of_many_errors_the_first_twenty_are_listed_and_the_others_counted():
    stage = {"epochs": 0, "lr": 0.0, "terms": [{"method": "labels"}]}
    settings = {"name": "x", "data": {"path": "images"}, "model": {"name": "tiny"}}
    with pytest.raises(RecipeError) as refused:
        schema.parse(settings | {"stages": [stage | {"name": f"s{s}"} for s in range(50)]})
    lines = str(refused.value).split("\n")
    assert lines[0].startswith("recipe: stages.0.epochs: ")
    assert (len(lines), lines[-1]) == (21, "recipe: and 80 more errors")
