from dataclasses import replace

import numpy as np
import pytest
import torch

from dspkd.errors import RecipeError
from dspkd.methods.sp import SP


def by_hand(s_BCHW, t_BCHW):
    grams = []
    for x in (s_BCHW, t_BCHW):
        gram = np.array([[(a * b).sum() for b in x] for a in x])
        grams.append(gram / np.linalg.norm(gram, axis=1, keepdims=True))
    return ((grams[0] - grams[1]) ** 2).sum() / len(s_BCHW) ** 2


@pytest.mark.parametrize("tap", ["last", "stride8"])
def test_it_is_the_formula(tap, nets):
    student, teacher = nets.pair(dtype=torch.float64)
    loss = SP(nets.student, nets.teacher, tap=tap)(student, teacher, nets.batch())
    assert loss.item() == pytest.approx(by_hand(student.maps[tap].numpy(), teacher.maps[tap].numpy()), rel=1e-10)


def test_it_is_zero_for_one_image_and_where_the_maps_agree_up_to_gain(nets):
    term = SP(nets.teacher, nets.teacher)
    assert term(*nets.pair(1), nets.batch(1)).item() == 0
    teacher = nets.answer(nets.teacher, dtype=torch.float64)
    louder = replace(teacher, maps={"last": 4 * teacher.maps["last"]})
    assert term(louder, teacher, nets.batch()).item() == pytest.approx(0, abs=1e-12)


def test_the_order_of_positions_and_channels_does_not_matter(nets):
    student, teacher = nets.pair(dtype=torch.float64)
    term = SP(nets.student, nets.teacher)
    moved = replace(student, maps={"last": student.maps["last"].flip(1).transpose(2, 3)})
    torch.testing.assert_close(term(moved, teacher, nets.batch()), term(student, teacher, nets.batch()))


def test_a_map_that_is_not_offered_is_refused(nets):
    with pytest.raises(RecipeError, match=r"sp\.tap = 'strid8': the student offers .*; did you mean 'stride8'\?"):
        SP(nets.student, nets.teacher, tap="strid8")


def test_it_agrees_with_a_published_program(golden):
    golden.check("similarity_preserving", SP(*golden.specs()), "map")
