import pytest

from dspkd import build, recipe, recipes
from dspkd.errors import RecipeError


@pytest.mark.parametrize("name", recipes.names())
def test_every_embedded_recipe_is_valid_down_to_its_options_and_has_a_headline(name):
    build.check(recipe.load(recipes.find(name)))
    assert recipes.headline(recipes.find(name))


def test_a_recipe_is_found_by_name_or_by_path(tmp_path):
    assert recipes.find("demo/dsp_kd") == recipes.find("demo/dsp_kd.toml")
    mine = tmp_path / "mine.toml"
    mine.write_text("")
    assert recipes.find(str(mine)) == mine


def test_an_unknown_recipe_is_refused_with_the_nearest_name():
    with pytest.raises(RecipeError, match="did you mean 'demo/dsp_kd'"):
        recipes.find("demo/dsp_kdd")
    with pytest.raises(RecipeError, match=r"embedded are .*demo/teacher"):
        recipes.find("zzzzzzzz")
