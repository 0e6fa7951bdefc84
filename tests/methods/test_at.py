from dataclasses import replace

import numpy as np
import pytest
import torch

from dspkd.errors import RecipeError
from dspkd.methods.at import AT
from dspkd.types import NetworkSpec

TAPS = {
    "last": ["last"],
    "last3": ["stride8", "stride16", "stride32"],
    "all": ["stride4", "stride8", "stride16", "stride32"],
}


def attention(x_CHW):
    strength = (x_CHW**2).sum(axis=0).ravel()
    return strength / np.linalg.norm(strength)


@pytest.mark.parametrize("levels", TAPS)
def test_it_is_the_formula(levels, nets):
    student, teacher = nets.pair(dtype=torch.float64)
    want = 0.0
    for tap in TAPS[levels]:
        pairs = zip(student.maps[tap].numpy(), teacher.maps[tap].numpy(), strict=True)
        want += np.mean([(attention(s) - attention(t)) ** 2 for s, t in pairs])
    loss = AT(nets.student, nets.teacher, levels=levels)(student, teacher, nets.batch())
    assert loss.item() == pytest.approx(want, rel=1e-10)


def test_gain_of_a_map_and_the_order_of_its_channels_do_not_matter(nets):
    student, teacher = nets.pair(dtype=torch.float64)
    term = AT(nets.student, nets.teacher)
    moved = replace(student, maps={tap: -3 * x.flip(1) for tap, x in student.maps.items()})
    torch.testing.assert_close(term(moved, teacher, nets.batch()), term(student, teacher, nets.batch()))


def test_it_is_zero_where_both_look_at_the_same_places(nets):
    student, teacher = nets.pair(dtype=torch.float64)
    looks = {tap: x[:, :1] * torch.ones(1, 3, 1, 1) for tap, x in teacher.maps.items()}
    same = replace(teacher, maps={tap: x[:, :1] * torch.ones(1, 5, 1, 1) for tap, x in teacher.maps.items()})
    loss = AT(nets.student, nets.teacher)(replace(student, maps=looks), same, nets.batch())
    assert loss.item() == pytest.approx(0, abs=1e-12)


@pytest.mark.parametrize("finer", ["student", "teacher"])
def test_the_finer_map_is_pooled_to_the_coarser_grid(finer, nets):
    """A map repeated two by two pools back to itself."""
    student, teacher = nets.pair(dtype=torch.float64)
    term = AT(nets.student, nets.teacher, levels="last")
    want = term(student, teacher, nets.batch())
    networks = {"student": student, "teacher": teacher}
    fine = {"last": networks[finer].maps["last"].repeat_interleave(2, 2).repeat_interleave(2, 3)}
    networks[finer] = replace(networks[finer], maps=fine)
    torch.testing.assert_close(term(networks["student"], networks["teacher"], nets.batch()), want)


def test_a_level_that_is_not_offered_is_refused(nets):
    with pytest.raises(RecipeError, match=r"at\.levels = 'last3': the teacher offers last, not stride8"):
        AT(nets.student, NetworkSpec(8, 4, {"last": 4}))


def test_it_agrees_with_a_published_program(golden):
    golden.check("attention_transfer", AT(*golden.specs(), levels="last"), "map")
