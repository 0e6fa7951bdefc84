from dataclasses import replace

import numpy as np
import pytest
import torch
from scipy.signal import correlate2d
from torch import nn

from dspkd.errors import RecipeError
from dspkd.methods import mgd
from dspkd.methods._masking import draw_mask
from dspkd.methods.mgd import MGD
from dspkd.types import NetworkSpec


def convolved(x_CHW, conv):
    """A convolution as a sum of cross-correlations, one pair of channels at a time."""
    weight, bias = conv.weight.detach().numpy(), conv.bias.detach().numpy()
    rows = [sum(correlate2d(x, k, mode="same") for x, k in zip(x_CHW, kernels, strict=True)) for kernels in weight]
    return np.stack(rows) + bias[:, None, None]


def by_hand(term, s_BCHW, t_BCHW, mask_BCHW):
    """Sum of squares over everything, divided by B."""
    total = 0.0
    for s, t, mask in zip(s_BCHW, t_BCHW, np.broadcast_to(mask_BCHW, (len(s_BCHW), 9, 2, 2)), strict=True):
        hidden = np.maximum(convolved(convolved(s, term.align) * mask, term.generation[0]), 0)
        total += ((convolved(hidden, term.generation[2]) - t) ** 2).sum()
    return total / len(s_BCHW)


@pytest.mark.parametrize("kind", ["channel", "spatial"])
@pytest.mark.parametrize("hidden", [0, 3])
def test_it_is_the_formula(kind, hidden, nets):
    student, teacher = nets.pair(dtype=torch.float64)
    term = MGD(nets.student, nets.teacher, mask=kind, mask_ratio=0.5, hidden=hidden).double()
    torch.manual_seed(7)
    mask = draw_mask(teacher.maps["last"], kind, 0.5, nets.batch())
    torch.manual_seed(7)
    loss = term(student, teacher, nets.batch())
    want = by_hand(term, student.maps["last"].numpy(), teacher.maps["last"].numpy(), mask.numpy())
    assert 0 < mask.mean() < 1
    assert loss.item() == pytest.approx(want, rel=1e-10)


def test_its_weight_for_a_sum_is_that_for_a_mean_divided_by_the_size_of_the_map(nets):
    student, teacher = nets.pair(dtype=torch.float64)
    term = MGD(nets.student, nets.teacher, mask_ratio=0).double()
    made_up = term.generation(term.align(student.maps["last"]))
    mean = nn.functional.mse_loss(made_up, teacher.maps["last"])
    torch.testing.assert_close(term(student, teacher, nets.batch()), mean * 9 * 2 * 2)


@pytest.mark.parametrize("ratio", [0.0, 0.15, 0.65])
@pytest.mark.parametrize("kind", ["channel", "spatial"])
def test_the_share_dropped_is_the_ratio(kind, ratio, nets):
    torch.manual_seed(0)
    mask = draw_mask(torch.empty(64, 80, 8, 10), kind, ratio, nets.batch(64))
    assert set(mask.unique().tolist()) <= {0.0, 1.0}
    # 5120 draws: the standard error is below 0.007.
    assert 1 - mask.mean().item() == pytest.approx(ratio, abs=0.025 if ratio else 0)


def test_a_channel_mask_is_constant_over_positions_and_a_spatial_one_over_channels(nets):
    x_BCHW = torch.ones(3, 5, 4, 6)
    assert draw_mask(x_BCHW, "channel", 0.5, nets.batch(3)).shape == (3, 5, 1, 1)
    assert draw_mask(x_BCHW, "spatial", 0.5, nets.batch(3)).shape == (3, 1, 4, 6)


def test_masks_differ_from_image_to_image_and_from_call_to_call(nets):
    torch.manual_seed(0)
    x_BCHW = torch.ones(2, 64, 2, 2)
    first, second = (draw_mask(x_BCHW, "channel", 0.5, nets.batch(2)) for _ in range(2))
    assert not torch.equal(first, second)
    assert not torch.equal(first[0], first[1])
    term = MGD(nets.student, nets.teacher, mask_ratio=0.5).eval()
    pair = nets.pair()
    assert term(*pair, nets.batch()) != term(*pair, nets.batch())


def test_without_a_mask_and_with_a_perfect_generator_it_is_zero(nets):
    """conv3x3 kernels with a 1 in the middle pass a map that is nowhere negative."""
    teacher = nets.answer(nets.teacher, seed=1)
    teacher.maps["last"].abs_()
    term = MGD(nets.teacher, nets.teacher, mask_ratio=0)
    for conv in (term.generation[0], term.generation[2]):
        nn.init.dirac_(conv.weight)
        nn.init.zeros_(conv.bias)
    assert term(teacher, teacher, nets.batch()).item() == 0


def test_what_is_dropped_is_zero_and_what_is_kept_is_not_scaled_up(nets):
    teacher = nets.answer(nets.teacher, seed=1)
    teacher.maps["last"].abs_()
    term = MGD(nets.teacher, nets.teacher, mask_ratio=0.5)
    for conv in (term.generation[0], term.generation[2]):
        nn.init.dirac_(conv.weight)
        nn.init.zeros_(conv.bias)
    torch.manual_seed(3)
    dropped = 1 - draw_mask(teacher.maps["last"], "channel", 0.5, nets.batch())
    torch.manual_seed(3)
    lost = (dropped * teacher.maps["last"].square()).sum() / 5
    torch.testing.assert_close(term(teacher, teacher, nets.batch()), lost)


def test_align_is_there_only_if_channels_differ(nets):
    assert isinstance(MGD(nets.teacher, nets.teacher).align, nn.Identity)
    align = MGD(nets.student, nets.teacher).align
    assert (align.in_channels, align.out_channels, align.kernel_size) == (7, 9, (1, 1))


@pytest.mark.parametrize(("hidden", "width"), [(0, 9), (4, 4)])
def test_hidden_is_the_width_between_the_convolutions(hidden, width, nets):
    first, _, second = MGD(nets.student, nets.teacher, hidden=hidden).generation
    assert (first.in_channels, first.out_channels, second.in_channels, second.out_channels) == (9, width, width, 9)


def test_a_students_map_on_another_grid_is_interpolated(nets):
    """A map that is constant over positions is the same on any grid."""
    student, teacher = nets.pair()
    flat = student.maps["last"].mean(dim=(2, 3), keepdim=True)
    term = MGD(nets.student, nets.teacher, mask_ratio=0)
    small, large = (replace(student, maps={"last": flat.expand(-1, -1, n, n)}) for n in (2, 3))
    torch.testing.assert_close(term(large, teacher, nets.batch()), term(small, teacher, nets.batch()))


def test_any_map_can_be_the_target(nets):
    student, teacher = nets.pair()
    loss = MGD(nets.student, nets.teacher, target="stride8")(student, teacher, nets.batch())
    loss.backward()
    assert loss.item() > 0


@pytest.mark.parametrize(
    ("student", "teacher", "target", "message"),
    [
        (
            {"last": 4},
            {"last": 4, "stride8": 2},
            "stride8",
            "mgd.target = 'stride8': the student offers last, not stride8",
        ),
        ({"stride8": 4}, {"last": 4}, "stride8", "mgd.target = 'stride8': the teacher offers last, not stride8"),
        ({}, {}, "last", "mgd.target = 'last': the teacher offers no maps, not last"),
        (
            {"stride16": 4, "stride32": 4},
            {"stride64": 4},
            "stride64",
            "student offers stride16, stride32, not stride64; did you mean 'stride.*'?",
        ),
    ],
)
def test_a_map_that_is_not_offered_is_refused(student, teacher, target, message):
    with pytest.raises(RecipeError, match=message):
        MGD(NetworkSpec(8, 4, student), NetworkSpec(8, 4, teacher), target=target)


def test_it_agrees_with_the_authors_program(golden, monkeypatch):
    term = MGD(*golden.specs())
    prefix = "mgd_param__"
    term.double().load_state_dict({k.removeprefix(prefix): golden[k] for k in golden.arrays if k.startswith(prefix)})
    monkeypatch.setattr(mgd, "draw_mask", lambda *_: golden["mgd__mask"])
    golden.check("mgd_channel_mask", term, "map", weight=7e-5)
