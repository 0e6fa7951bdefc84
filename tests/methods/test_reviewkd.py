from dataclasses import replace

import numpy as np
import pytest
import torch
from scipy.signal import correlate2d

from dspkd.errors import RecipeError
from dspkd.methods.reviewkd import ReviewKD
from dspkd.types import NetworkSpec

TAPS = ["stride8", "stride16", "stride32", "last"]


def conv_and_norm(x_BCHW, layers, state):
    weight, gain, shift, mean, var = (
        state[f"{layers}.{key}"] for key in ("0.weight", "1.weight", "1.bias", "1.running_mean", "1.running_var")
    )
    mapped = [[sum(correlate2d(c, k, mode="same") for c, k in zip(x, w, strict=True)) for w in weight] for x in x_BCHW]
    scale = gain / np.sqrt(var + 1e-5)
    return (np.array(mapped) - mean[:, None, None]) * scale[:, None, None] + shift[:, None, None]


def nearest(x_BCHW, size):
    rows = np.arange(size) * x_BCHW.shape[2] // size
    return x_BCHW[:, :, rows][:, :, :, rows]


def cells(x_BCHW, n):
    """Average over n x n cells; cell i reaches from floor(i H / n) to ceil((i + 1) H / n)."""
    size = x_BCHW.shape[2]
    spans = [slice(i * size // n, -(-(i + 1) * size // n)) for i in range(n)]
    return np.array([[x_BCHW[:, :, rows, columns].mean(axis=(2, 3)) for columns in spans] for rows in spans])


def compared(fused, true):
    parts = [(1.0, ((fused - true) ** 2).mean())]
    for n in (4, 2, 1):
        if n < fused.shape[2]:
            parts.append((parts[-1][0] / 2, ((cells(fused, n) - cells(true, n)) ** 2).mean()))
    return sum(w * x for w, x in parts) / sum(w for w, _ in parts)


def by_hand(student, teacher, state):
    loss, y = 0.0, None
    for tap in reversed(TAPS):
        x = conv_and_norm(student.maps[tap].numpy(), f"laterals.{tap}", state)
        if y is not None:
            y = nearest(y, x.shape[2])
            weight, bias = state[f"attend.{tap}.weight"][:, :, 0, 0], state[f"attend.{tap}.bias"]
            stacked = np.concatenate([x, y], axis=1)
            z = 1 / (1 + np.exp(-(np.einsum("oc,bchw->bohw", weight, stacked) + bias[:, None, None])))
            x = x * z[:, :1] + y * z[:, 1:]
        y = x
        true = teacher.maps[tap].numpy()
        loss += compared(conv_and_norm(nearest(y, true.shape[2]), f"project.{tap}", state), true)
    return loss


def shaken(term):
    """Return the term in float64 and evaluation mode, with random parameters and statistics."""
    for key, x in term.double().eval().state_dict().items():
        if x.is_floating_point():
            x.uniform_(0.5, 2) if key.endswith("running_var") else x.uniform_(-1, 1)
    return term


@pytest.mark.parametrize("grids", [(8, 4, 2, 2), (14, 7, 5, 5), (6, 3, 1, 1)])
@pytest.mark.parametrize("width", [2, 512])
def test_it_is_the_formula(grids, width, nets):
    torch.manual_seed(0)
    sizes = dict(zip(TAPS, grids, strict=True)) | {"stride4": 16}
    student, teacher = nets.pair(2, dtype=torch.float64, grid=sizes)
    term = shaken(ReviewKD(nets.student, nets.teacher, width=width))
    state = {key: x.numpy() for key, x in term.state_dict().items()}
    assert term(student, teacher, nets.batch(2)).item() == pytest.approx(by_hand(student, teacher, state), rel=1e-10)


def test_a_teachers_map_on_another_grid_is_compared_on_its_grid(nets):
    student, teacher = nets.pair(2, dtype=torch.float64)
    teacher = replace(teacher, maps=teacher.maps | {"stride16": torch.randn(2, 8, 5, 5, dtype=torch.float64)})
    term = shaken(ReviewKD(nets.student, nets.teacher))
    state = {key: x.numpy() for key, x in term.state_dict().items()}
    assert term(student, teacher, nets.batch(2)).item() == pytest.approx(by_hand(student, teacher, state), rel=1e-10)


def test_a_level_depends_on_deeper_maps_and_not_on_shallower_ones(nets):
    """With the teacher's other levels out of the loss, the gradient shows on which maps a level depends."""
    for tap, seen in (("stride8", TAPS), ("last", ["last"])):
        student, teacher = nets.pair()
        nets.leaves(student)
        term = ReviewKD(nets.student, nets.teacher)
        for other in set(TAPS) - {tap}:
            term.project[other].requires_grad_(False)
            term.project[other][1].weight.zero_()
        term(student, teacher, nets.batch()).backward()
        assert [name for name in TAPS if student.maps[name].grad.any()] == seen


def test_its_levels_are_those_that_both_networks_offer(nets):
    few = NetworkSpec(8, 9, {"stride4": 4, "stride16": 8, "last": 9})
    assert list(ReviewKD(nets.student, few).laterals) == ["stride16", "last"]


@pytest.mark.parametrize(("width", "channels"), [(2, 2), (7, 7), (512, 7)])
def test_it_is_never_wider_than_the_students_deepest_map(width, channels, nets):
    term = ReviewKD(nets.student, nets.teacher, width=width)
    assert {lateral[0].out_channels for lateral in term.laterals.values()} == {channels}


@pytest.mark.parametrize(
    ("channels", "offer"), [({}, "no maps"), ({"stride4": 4}, "stride4")], ids=["no maps", "too shallow"]
)
def test_networks_without_a_level_in_common_are_refused(channels, offer, nets):
    message = rf"reviewkd: the student offers stride4, .* the teacher {offer}; they need one of stride8, .*last in"
    with pytest.raises(RecipeError, match=message):
        ReviewKD(nets.student, NetworkSpec(8, 9, channels))
