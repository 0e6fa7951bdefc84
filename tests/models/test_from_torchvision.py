"""Networks of torchvision by its own names, so that its checkpoints fit."""

import copy

import pytest
import torch
from torchvision import models

from dspkd.errors import RecipeError
from dspkd.models import zoo


@pytest.fixture(scope="module")
def made():
    torch.manual_seed(0)
    return zoo.make("torchvision:mobilenet_v3_small", classes=5).eval()


def test_it_computes_what_torchvisions_own_does_from_the_same_weights(made):
    own = models.get_model("mobilenet_v3_small", num_classes=5).eval()
    own.load_state_dict(made.library_state())
    images = torch.rand(2, 3, 64, 64)
    output = made(images)
    normal = (images - made.mean) / made.std
    torch.testing.assert_close(output.logits, own(normal), rtol=0, atol=0)
    torch.testing.assert_close(output.maps["last"], own.features(normal), rtol=0, atol=0)
    torch.testing.assert_close(own.get_submodule(made.head)(output.pooled), output.logits, rtol=0, atol=0)


def test_its_maps_have_their_strides_and_a_gradient_from_the_logits(made):
    output = made(torch.rand(2, 3, 64, 64))
    sides = {tap: values.shape[2] for tap, values in output.maps.items()}
    assert sides == {"stride4": 16, "stride8": 8, "stride16": 4, "stride32": 2, "last": 2}
    assert made.spec.channels == {tap: values.shape[1] for tap, values in output.maps.items()}
    assert made.explained(torch.rand(1, 3, 64, 64)).features.shape == (1, 576, 2, 2)


def test_a_copy_trains(made):
    network = copy.deepcopy(made).train()
    network(torch.rand(4, 3, 64, 64)).logits.sum().backward()
    assert network.get_submodule(f"network.{made.head}").weight.grad.abs().sum() > 0


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("squeezenet1_1", "does not end in a linear layer"),
        ("vit_b_16", "no map of stride 32"),
        ("resnet81", "did you mean 'resnet18'"),
    ],
)
def test_another_is_refused_with_its_reason(name, message):
    with pytest.raises(RecipeError, match=message):
        zoo.make(f"torchvision:{name}", classes=5)
