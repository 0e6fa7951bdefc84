"""A teacher that sees more pixels: its maps are averaged to the student's grid, so that a weight means the same."""

from dataclasses import replace

import pytest
import torch
from torch.nn import functional as F

from dspkd.methods import find
from dspkd.methods._align import coarsened

COMPARING = ["mgd", "hierarchical_fusion", "crkd", "fitnets"]


def loss(name, student, teacher, nets):
    torch.manual_seed(0)
    term = find(name)(nets.student, nets.teacher)
    torch.manual_seed(1)
    return term(student, teacher, nets.batch())


@pytest.mark.parametrize("times", [2, 3])
@pytest.mark.parametrize("name", COMPARING)
def test_a_teachers_map_with_more_positions_counts_no_more(name, times, nets):
    student, teacher = nets.pair()
    finer = {tap: F.interpolate(x, scale_factor=times, mode="nearest") for tap, x in teacher.maps.items()}
    noise = torch.randn_like(finer["last"])
    finer["last"] = finer["last"] + noise - F.interpolate(F.avg_pool2d(noise, times), scale_factor=times)
    wanted = loss(name, student, teacher, nets)
    torch.testing.assert_close(loss(name, student, replace(teacher, maps=finer), nets), wanted, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(("student", "common"), [((7, 7), (7, 7)), ((4, 7), (14, 14)), ((14, 14), (14, 14))])
def test_only_a_grid_that_divides_the_teachers_is_the_common_one(student, common):
    t_BCHW = torch.rand(2, 3, 14, 14, dtype=torch.float16)
    coarse = coarsened(t_BCHW, torch.empty(2, 5, *student))
    assert coarse.shape[2:] == common
    torch.testing.assert_close(coarse.mean(dim=(2, 3)).float(), t_BCHW.float().mean(dim=(2, 3)), rtol=1e-3, atol=1e-3)
