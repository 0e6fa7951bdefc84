from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode

from dspkd.errors import RecipeError
from dspkd.methods.crkd import CRKD
from dspkd.types import NetworkSpec, Output


def by_hand(s_BCHW, t_BCHW):
    """The direct form, one image after another."""
    squares = []
    for s, t in zip(s_BCHW, t_BCHW, strict=True):
        s_CP, t_CP = s.reshape(len(s), -1), t.reshape(len(t), -1)
        squares.append(((s_CP @ s_CP.T / s_CP.size - t_CP @ t_CP.T / t_CP.size) ** 2).mean())
    return np.sqrt(np.mean(squares))


def answer(map_BCHW):
    return Output(torch.zeros(len(map_BCHW), 8), map_BCHW.mean(dim=(2, 3)), {"last": map_BCHW})


def bare(channels):
    """Return the term without its regressor, between maps of as many channels."""
    spec = NetworkSpec(8, channels, {"last": channels})
    term = CRKD(spec, spec)
    term.regress = nn.Identity()
    return term


@pytest.mark.parametrize("tap", ["last", "stride4"])  # fewer positions than channels, and more
def test_it_is_the_formula(tap, nets):
    student, teacher = nets.pair(dtype=torch.float64)
    term = CRKD(nets.student, nets.teacher, tap=tap).double().eval()
    (convolution, norm), _ = term.regress
    norm.running_mean.uniform_(-1, 1)
    norm.running_var.uniform_(0.5, 2)
    mapped = np.einsum("oc,bchw->bohw", convolution.weight.detach().numpy()[:, :, 0, 0], student.maps[tap].numpy())
    mean, var = (x.numpy()[:, None, None] for x in (norm.running_mean, norm.running_var))
    mapped = np.maximum((mapped - mean) / np.sqrt(var + norm.eps), 0)
    want = by_hand(mapped, teacher.maps[tap].numpy())
    assert term(student, teacher, nets.batch()).item() == pytest.approx(want, rel=1e-10)


@pytest.mark.parametrize("grid", [1, 2, 4])
def test_its_gradient_is_that_of_the_formula(grid, nets):
    s_BCHW, t_BCHW = torch.randn(2, 3, 5, grid, grid, dtype=torch.float64).unbind()
    term = bare(5)
    assert torch.autograd.gradcheck(lambda x: term(answer(x), answer(t_BCHW), None), s_BCHW.requires_grad_())


def test_where_in_the_image_a_pattern_lies_does_not_matter(nets):
    student, teacher = nets.pair(dtype=torch.float64)
    term = CRKD(nets.student, nets.teacher, tap="stride8").double()
    order = torch.randperm(64)
    moved = replace(student, maps={"stride8": student.maps["stride8"].flatten(2)[:, :, order].view(-1, 4, 8, 8)})
    torch.testing.assert_close(term(moved, teacher, nets.batch()), term(student, teacher, nets.batch()))


def test_the_channel_of_a_pattern_matters(nets):
    teacher = nets.answer(nets.teacher, dtype=torch.float64)
    swapped = replace(teacher, maps={"last": teacher.maps["last"].flip(1)})
    assert bare(9)(swapped, teacher, nets.batch()).item() > 1e-2


@pytest.mark.parametrize("noise", [1e-2, 1e-4, 1e-6])
@pytest.mark.parametrize("grid", [3, 12])
def test_float32_keeps_its_digits_where_the_maps_are_nearly_equal(noise, grid):
    """Between ||S'S||^2, ||T'T||^2 and ||S'T||^2 all digits cancel from a noise of 1e-3 down."""
    torch.manual_seed(0)
    t_BCHW = torch.randn(2, 64, grid, grid)
    s_BCHW = t_BCHW + noise * torch.randn_like(t_BCHW)
    got = bare(64)(answer(s_BCHW), answer(t_BCHW), None).item()
    assert got == pytest.approx(by_hand(s_BCHW.double().numpy(), t_BCHW.double().numpy()), rel=1e-5)


@pytest.mark.parametrize("grid", [2, 8])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_equal_maps_have_loss_and_gradient_zero(grid, dtype):
    t_BCHW = torch.randn(3, 16, grid, grid, dtype=dtype)
    s_BCHW = t_BCHW.clone().requires_grad_()
    loss = bare(16)(answer(s_BCHW), answer(t_BCHW), None)
    loss.backward()
    assert loss.item() < 1e-19
    assert torch.equal(s_BCHW.grad, torch.zeros_like(s_BCHW))


class Largest(TorchDispatchMode):
    """The number of elements of the largest tensor that any operation returns."""

    elements = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        out = func(*args, **kwargs or {})
        tensors = [x for x in (out if isinstance(out, tuple | list) else [out]) if isinstance(x, torch.Tensor)]
        self.elements = max([self.elements, *(x.numel() for x in tensors)])
        return out


@pytest.mark.parametrize(("channels", "grid"), [(256, 3), (16, 12)])
def test_forwards_and_backwards_nothing_is_larger_than_the_maps(channels, grid):
    s_BCHW, t_BCHW = torch.randn(2, 4, channels, grid, grid).unbind()
    s_BCHW.requires_grad_()
    term = bare(channels)
    with Largest() as largest:
        term(answer(s_BCHW), answer(t_BCHW), None).backward()
    assert s_BCHW.grad.any()
    assert largest.elements == t_BCHW.numel()


def test_a_students_map_on_another_grid_is_interpolated(nets):
    """A map that is constant over positions is the same on any grid."""
    student, teacher = nets.pair()
    flat = student.maps["last"].mean(dim=(2, 3), keepdim=True)
    term = CRKD(nets.student, nets.teacher).eval()
    small, large = (replace(student, maps={"last": flat.expand(-1, -1, n, n)}) for n in (2, 3))
    torch.testing.assert_close(term(large, teacher, nets.batch()), term(small, teacher, nets.batch()))


@pytest.mark.parametrize("network", ["student", "teacher"])
def test_a_map_that_is_not_offered_is_refused(network, nets):
    specs = {"student": nets.student, "teacher": nets.teacher} | {network: NetworkSpec(8, 7, {"stride8": 7})}
    with pytest.raises(RecipeError, match=rf"crkd\.tap = 'stride16': the {network} offers stride8, not stride16; did"):
        CRKD(**specs, tap="stride16")


def test_it_agrees_with_a_published_program(golden):
    term = CRKD(*golden.specs())
    term.regress = nn.Conv2d(5, 9, kernel_size=1)
    term.double().regress.load_state_dict({key: golden[f"crkd_param__{key}"] for key in ("weight", "bias")})
    golden.check("channel_relation", term, "map")
