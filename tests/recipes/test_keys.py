"""The reference of recipe keys is complete, true and committed."""

import re
from pathlib import Path

import pytest

from command import call, refused
from dspkd.errors import RecipeError
from dspkd.recipes import catalog, keys, schema

PAGE = Path(__file__).parents[2] / "docs" / "recipe.md"
KEYS = {key.name: key for key in keys.all_keys()}


def written(settings, place=""):
    """Yield the place of each value in a recipe as TOML holds it, N for the numbers of stages and terms."""
    for name, value in settings.items():
        here = f"{place}{name}"
        if name == "options" or not isinstance(value, dict | list):
            yield here
        elif isinstance(value, dict):
            yield from written(value, f"{here}.")
        else:
            for each in value:
                yield from written(each, f"{here}.N.") if isinstance(each, dict) else [here]


def test_every_key_of_every_recipe_is_listed_and_described():
    import tomllib

    for name in catalog.names():
        dumped = schema.dump(schema.load(catalog.find(name)))
        assert set(written(tomllib.loads(dumped))) <= KEYS.keys(), name
    assert [key.name for key in KEYS.values() if len(key.text) < 10] == []


def test_types_and_defaults_are_those_of_the_schema():
    assert (KEYS["train.ema"].type, KEYS["train.ema"].default) == ("number >= 0 and < 1", "0.0")
    assert KEYS["images.views"].type == 'integer > 0 and <= 1000000 or `"fresh"`'
    assert KEYS["images.artefacts"].type == "list of text"
    assert KEYS["stages.N.lr"].default == "required"
    assert KEYS["images.flips"].default == "true"
    plain = catalog.find("demo/plain")
    for key in KEYS.values():
        for sign, bound in re.findall(r"(>=|<=|>|<) ([\d.]+)", key.type):
            if "N" not in key.name and float(bound) != 2**63:
                step = {">=": -1, ">": 0, "<=": 1, "<": 0}[sign]
                value = float(bound) + step
                text = str(int(value)) if key.type.startswith("integer") else str(value)
                with pytest.raises(RecipeError, match=re.escape(key.name)):
                    schema.load(plain, [f"{key.name}={text}"])


def test_the_page_is_up_to_date():
    assert call("recipes", "keys", "--table")[0] == PAGE.read_text(), "dspkd recipes keys --table > docs/recipe.md"


def test_keys_of_a_section_are_listed_and_a_wrong_one_gets_the_nearest():
    out, _ = call("recipes", "keys", "train")
    assert [line.split(":")[0] for line in out.splitlines()[::2]] == [
        name for name in KEYS if name.startswith("train.")
    ]
    assert "did you mean 'images.size'?" in refused("recipes", "keys", "images.sise")
