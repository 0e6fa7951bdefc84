from dataclasses import replace

import numpy as np
import pytest
import torch
from scipy.signal import correlate2d
from torch import nn

from dspkd.errors import RecipeError
from dspkd.methods.fitnets import FitNets
from dspkd.types import NetworkSpec

TAPS = ["stride4", "stride8", "stride16", "stride32", "last"]


@pytest.mark.parametrize("tap", ["last", "stride16"])
def test_it_is_the_formula(tap, nets):
    student, teacher = nets.pair(dtype=torch.float64)
    term = FitNets(nets.student, nets.teacher, tap=tap).double()
    weight, bias = (p.detach().numpy() for p in (term.align.weight[:, :, 0, 0], term.align.bias))
    mapped = np.einsum("oc,bchw->bohw", weight, student.maps[tap].numpy()) + bias[:, None, None]
    want = np.mean((mapped - teacher.maps[tap].numpy()) ** 2)
    assert term(student, teacher, nets.batch()).item() == pytest.approx(want, rel=1e-10)


def convolved(x_BCHW, conv):
    """A convolution as sums of cross-correlations; a transposed one as that of the map with zeros put between."""
    weight = conv.weight.detach().numpy()
    if isinstance(conv, nn.ConvTranspose2d):
        weight = weight.transpose(1, 0, 2, 3)[:, :, ::-1, ::-1]
        B, C, H, W = x_BCHW.shape
        spread = np.zeros((B, C, 2 * H + 3, 2 * W + 3))
        spread[:, :, 2:-2:2, 2:-2:2] = x_BCHW
        rows, step = spread, 1
    else:
        around = weight.shape[2] // 2
        rows, step = np.pad(x_BCHW, ((0, 0), (0, 0), (around,) * 2, (around,) * 2)), conv.stride[0]
    mapped = [[sum(correlate2d(c, k, mode="valid") for c, k in zip(x, w, strict=True)) for w in weight] for x in rows]
    bias = 0 if conv.bias is None else conv.bias.detach().numpy()[:, None, None]
    return np.array(mapped)[:, :, ::step, ::step] + bias


def normed(x_BCHW):
    return (x_BCHW - x_BCHW.mean((0, 2, 3), keepdims=True)) / np.sqrt(x_BCHW.var((0, 2, 3), keepdims=True) + 1e-5)


@pytest.mark.parametrize(
    ("regressor", "tap", "teacher_tap"),
    [
        ("relu", "stride8", "stride8"), ("relu", "stride32", "last"),
        ("norm_relu", "stride8", "stride8"), ("norm_relu", "stride32", "last"), ("norm_relu", "stride8", "stride16"),
        ("norm_relu", "stride8", "stride4"), ("norm_relu", "last", "stride16"),
    ],
)  # fmt: skip
@pytest.mark.parametrize("compare", ["mean", "unit"])
def test_each_published_form_is_its_formula(regressor, tap, teacher_tap, compare, nets):
    student, teacher = nets.pair(3, dtype=torch.float64)
    term = FitNets(
        nets.student, nets.teacher, tap=tap, teacher_tap=teacher_tap, regressor=regressor, compare=compare
    ).double()
    got = convolved(student.maps[tap].numpy(), term.align[0])
    got = np.maximum(normed(got) if regressor == "norm_relu" else got, 0)
    true = teacher.maps[teacher_tap].numpy()
    assert got.shape == true.shape
    if compare == "mean":
        want = np.mean((got - true) ** 2)
    else:
        want = np.mean(
            [np.sum((g / np.linalg.norm(g) - t / np.linalg.norm(t)) ** 2) for g, t in zip(got, true, strict=True)]
        )
    assert term(student, teacher, nets.batch(3)).item() == pytest.approx(want, rel=1e-10)


@pytest.mark.parametrize("tap", TAPS)
@pytest.mark.parametrize("teacher_tap", TAPS)
@pytest.mark.parametrize("regressor", ["linear", "relu", "norm_relu"])
def test_any_pair_of_taps_works(tap, teacher_tap, regressor, nets):
    student, teacher = nets.pair()
    nets.leaves(student)
    term = FitNets(nets.student, nets.teacher, tap=tap, teacher_tap=teacher_tap, regressor=regressor)
    loss = term(student, teacher, nets.batch())
    loss.backward()
    assert loss.item() > 0
    assert [name for name, x in student.maps.items() if x.grad is not None and x.grad.any()] == [tap]


@pytest.mark.parametrize(
    ("tap", "teacher_tap", "kernel", "stride"),
    [
        ("stride8", "stride8", 1, 1), ("stride32", "last", 1, 1), ("last", "stride32", 1, 1),
        ("stride8", "stride16", 3, 2), ("stride16", "last", 3, 2), ("stride8", "stride4", 4, 2),
        ("last", "stride16", 4, 2), ("stride4", "stride16", 1, 1), ("stride32", "stride8", 1, 1),
    ],
)  # fmt: skip
def test_the_regressors_kernel_follows_the_strides(tap, teacher_tap, kernel, stride, nets):
    layers = FitNets(nets.student, nets.teacher, tap=tap, teacher_tap=teacher_tap, regressor="norm_relu").align
    assert (layers[0].kernel_size, layers[0].stride) == ((kernel, kernel), (stride, stride))
    assert isinstance(layers[0], nn.ConvTranspose2d if kernel == 4 else nn.Conv2d)


def test_with_unit_maps_neither_networks_scale_matters_and_opposites_are_4_apart(nets):
    teacher = nets.answer(nets.teacher, dtype=torch.float64)
    term = FitNets(nets.teacher, nets.teacher, compare="unit")
    scaled = replace(teacher, maps={"last": 7 * teacher.maps["last"]})
    opposite = replace(teacher, maps={"last": -0.1 * teacher.maps["last"]})
    assert term(scaled, teacher, nets.batch()).item() == pytest.approx(0, abs=1e-12)
    assert term(opposite, teacher, nets.batch()).item() == pytest.approx(4, rel=1e-12)


def test_equal_channels_are_compared_as_they_are(nets):
    teacher = nets.answer(nets.teacher)
    moved = replace(teacher, maps={"last": teacher.maps["last"] + 2})
    term = FitNets(nets.teacher, nets.teacher)
    assert isinstance(term.align, nn.Identity)
    assert term(moved, teacher, nets.batch()).item() == pytest.approx(4, rel=1e-6)


def test_a_students_map_on_another_grid_is_interpolated(nets):
    """A map that is constant over positions is the same on any grid."""
    student, teacher = nets.pair()
    flat = student.maps["last"].mean(dim=(2, 3), keepdim=True)
    term = FitNets(nets.student, nets.teacher)
    small, large = (replace(student, maps={"last": flat.expand(-1, -1, n, n)}) for n in (2, 3))
    torch.testing.assert_close(term(large, teacher, nets.batch()), term(small, teacher, nets.batch()))


def test_a_map_that_is_not_offered_is_refused(nets):
    with pytest.raises(RecipeError, match=r"fitnets\.tap = 'lst': the teacher offers .*; did you mean 'last'\?"):
        FitNets(nets.student, nets.teacher, tap="lst")


@pytest.mark.parametrize("network", ["student", "teacher"])
def test_the_message_names_the_option_of_the_network_that_lacks_the_map(network, nets):
    few = NetworkSpec(8, 7, {"stride8": 7})
    specs = {"student": nets.student, "teacher": nets.teacher} | {network: few}
    option = {"student": "tap = 'last'", "teacher": "teacher_tap = 'stride32'"}[network]
    with pytest.raises(RecipeError, match=rf"fitnets\.{option}: the {network} offers stride8, not"):
        FitNets(**specs, tap="last", teacher_tap="stride32")


def test_it_agrees_with_a_published_program(golden):
    term = FitNets(*golden.specs())
    term.double().align.load_state_dict({key: golden[f"crkd_param__{key}"] for key in ("weight", "bias")})
    golden.check("hint_mse", term, "map")
