"""Networks are checked by name and image size without building ours."""

import pytest
import torch

from dspkd.errors import RecipeError
from dspkd.models import zoo
from dspkd.models.entries import ENTRIES


def runs(name, side):
    with torch.device("meta"):
        try:
            zoo.make(name, classes=2).eval()(torch.empty(1, 3, side, side))
        except RuntimeError:
            return False
    return True


@pytest.mark.parametrize("name", zoo.names())
def test_the_smallest_image_size_is_as_listed(name):
    least = ENTRIES[name].least_side
    assert runs(name, least)
    zoo.check(name, least)
    if least > 1:
        assert not runs(name, least - 1)
        with pytest.raises(RecipeError, match=rf"'{name}' .*images\.size must be {least} or more"):
            zoo.check(name, least - 1)


def test_a_network_of_timm_is_built_to_be_checked():
    zoo.check("mobilenetv3_small_050", 64)
    with pytest.raises(RecipeError, match=r"images\.size = 224"):
        zoo.check("swin_tiny_patch4_window7_224", 96)


def test_an_unknown_network_is_refused_with_the_nearest_name():
    with pytest.raises(RecipeError, match="'tinny'; did you mean 'tiny'"):
        zoo.check("tinny", 32)
