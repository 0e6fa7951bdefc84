"""The generators of masked generation: values, receptive field and cost."""

import numpy as np
import pytest
import torch
from scipy.signal import correlate2d
from torch.utils.flop_counter import FlopCounterMode

from dspkd.methods._masking import build_generator
from dspkd.methods.hierarchical_fusion import HierarchicalFusion
from dspkd.methods.mgd import MGD

KINDS = ["conv", "separable"]
SHAPES = [(6, 0, 6), (6, 4, 4), (5, 9, 9)]
"""Channels, hidden, and the width that this stands for."""


def by_hand(generation, x_CHW):
    """The separable generator as sums of cross-correlations, image by image, in float64."""
    for place in (0, 2):
        alone, across = (layer.weight.detach().numpy() for layer in generation[place])
        filtered = np.stack([correlate2d(x, kernel[0], mode="same") for x, kernel in zip(x_CHW, alone, strict=True)])
        x_CHW = np.einsum("oc,chw->ohw", across[:, :, 0, 0], filtered)
        x_CHW += generation[place][1].bias.detach().numpy()[:, None, None]
        if place == 0:
            x_CHW = np.maximum(x_CHW, 0)
    return x_CHW


@pytest.mark.parametrize(("channels", "hidden", "width"), SHAPES)
def test_the_separable_generator_is_the_formula(channels, hidden, width):
    torch.manual_seed(0)
    generation = build_generator(channels, hidden, "separable").double()
    x_BCHW = torch.randn(3, channels, 4, 5, dtype=torch.float64)
    want = np.stack([by_hand(generation, x_CHW) for x_CHW in x_BCHW.numpy()])
    np.testing.assert_allclose(generation(x_BCHW).detach().numpy(), want, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize(("channels", "hidden", "width"), SHAPES)
def test_a_separable_generator_is_the_full_one_whose_kernels_are_products(channels, hidden, width):
    torch.manual_seed(0)
    separable = build_generator(channels, hidden, "separable").double()
    full = build_generator(channels, hidden, "conv").double()
    for place in (0, 2):
        alone, across = separable[place]
        full[place].weight.data = across.weight.data * alone.weight.data.transpose(0, 1)
        full[place].bias.data = across.bias.data
    x_BCHW = torch.randn(2, channels, 5, 5, dtype=torch.float64)
    torch.testing.assert_close(separable(x_BCHW), full(x_BCHW))


@pytest.mark.parametrize(("channels", "hidden", "width"), SHAPES)
@pytest.mark.parametrize("kind", KINDS)
def test_parameters_and_multiply_accumulates_are_those_of_the_formula(kind, channels, hidden, width):
    generation = build_generator(channels, hidden, kind)
    weights = 18 * channels * width if kind == "conv" else 2 * channels * width + 9 * (channels + width)
    assert sum(value.numel() for value in generation.parameters()) == weights + width + channels
    with FlopCounterMode(display=False) as counted:
        generation(torch.zeros(1, channels, 7, 7))
    assert counted.get_total_flops() == 2 * 7 * 7 * weights


@pytest.mark.parametrize("kind", KINDS)
def test_a_generator_sees_five_by_five_positions_of_every_channel(kind):
    torch.manual_seed(0)
    x_BCHW = torch.randn(8, 4, 9, 9, requires_grad=True)
    build_generator(4, 16, kind)(x_BCHW)[:, :, 4, 4].square().sum().backward()
    seen_CHW = (x_BCHW.grad != 0).any(dim=0)
    want_HW = torch.zeros(9, 9, dtype=torch.bool)
    want_HW[2:7, 2:7] = True
    assert all(torch.equal(seen_HW, want_HW) for seen_HW in seen_CHW)


def test_the_published_generator_keeps_its_layers_under_their_names(nets):
    """So that older checkpoints can be loaded."""
    names = {"generation.0.weight", "generation.0.bias", "generation.2.weight", "generation.2.bias"}
    for method in (MGD, HierarchicalFusion):
        term = method(nets.student, nets.teacher, hidden=4)
        assert {name for name in term.state_dict() if name.startswith("generation")} == names


@pytest.mark.parametrize("method", [MGD, HierarchicalFusion])
def test_the_separable_generator_learns_every_one_of_its_layers(method, nets):
    student, teacher = nets.pair()
    nets.leaves(student)
    term = method(nets.student, nets.teacher, hidden=4, generator="separable")
    term(student, teacher, nets.batch()).backward()
    values = list(term.generation.parameters())
    assert len(values) == 6
    assert all(value.grad.any() for value in values)
    assert student.maps["last"].grad.any()


@pytest.mark.parametrize("method", [MGD, HierarchicalFusion])
def test_the_separable_generator_is_marked_as_ours(method):
    assert "separable" in method.inferred or method.inferred.startswith("All but MGD itself")
