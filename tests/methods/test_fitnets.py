from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn

from dspkd.errors import RecipeError
from dspkd.methods.fitnets import FitNets


@pytest.mark.parametrize("tap", ["last", "stride16"])
def test_it_is_the_formula(tap, made):
    student, teacher = made.pair(dtype=torch.float64)
    term = FitNets(made.student, made.teacher, tap=tap).double()
    weight, bias = (p.detach().numpy() for p in (term.align.weight[:, :, 0, 0], term.align.bias))
    mapped = np.einsum("oc,bchw->bohw", weight, student.maps[tap].numpy()) + bias[:, None, None]
    want = np.mean((mapped - teacher.maps[tap].numpy()) ** 2)
    assert term(student, teacher, made.batch()).item() == pytest.approx(want, rel=1e-10)


def test_equal_channels_are_compared_as_they_are(made):
    teacher = made.answer(made.teacher)
    moved = replace(teacher, maps={"last": teacher.maps["last"] + 2})
    term = FitNets(made.teacher, made.teacher)
    assert isinstance(term.align, nn.Identity)
    assert term(moved, teacher, made.batch()).item() == pytest.approx(4, rel=1e-6)


def test_a_students_map_on_another_grid_is_interpolated(made):
    """A map that is constant over positions is the same on any grid."""
    student, teacher = made.pair()
    flat = student.maps["last"].mean(dim=(2, 3), keepdim=True)
    term = FitNets(made.student, made.teacher)
    small, large = (replace(student, maps={"last": flat.expand(-1, -1, n, n)}) for n in (2, 3))
    torch.testing.assert_close(term(large, teacher, made.batch()), term(small, teacher, made.batch()))


def test_a_map_that_is_not_offered_is_refused(made):
    with pytest.raises(RecipeError, match=r"fitnets\.tap = 'lst': the teacher offers .*; did you mean 'last'\?"):
        FitNets(made.student, made.teacher, tap="lst")


def test_it_agrees_with_a_published_program(golden):
    term = FitNets(*golden.specs())
    term.double().align.load_state_dict({key: golden[f"crkd_param__{key}"] for key in ("weight", "bias")})
    golden.check("hint_mse", term, "map")
