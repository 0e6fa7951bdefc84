from dataclasses import replace

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from dspkd.errors import RecipeError
from dspkd.methods._align import BatchNorm, averaged, stretched
from dspkd.methods._masking import draw_mask
from dspkd.methods.hierarchical_fusion import HierarchicalFusion
from dspkd.methods.mgd import MGD
from dspkd.types import NetworkSpec, Output

ORDERS = ["fuse_then_mask", "mask_then_fuse", "both"]
FUSIONS = ["concat", "sum", "abf"]
SEPARABLE = {"hidden": 4, "generator": "separable"}


def built(nets, seed=0, **options):
    torch.manual_seed(seed)
    return HierarchicalFusion(nets.student, nets.teacher, **{"width": 6} | options)


def normalised(x_BCHW):
    """Batch normalisation at its initial weight and bias."""
    mean, var = x_BCHW.mean((0, 2, 3), keepdims=True), x_BCHW.var((0, 2, 3), keepdims=True)
    return (x_BCHW - mean) / np.sqrt(var + 1e-5)


def mixed(x_BCHW, conv):
    """A 1x1 convolution."""
    out = np.einsum("oc,bchw->bohw", conv.weight.detach().numpy()[:, :, 0, 0], x_BCHW)
    return out if conv.bias is None else out + conv.bias.detach().numpy()[:, None, None]


def pooled(x_BCHW, size):
    B, C, H, W = x_BCHW.shape
    return x_BCHW.reshape(B, C, size, H // size, size, W // size).mean((3, 5))


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def fused_by_hand(term, fuse, levels):
    if fuse == "concat":
        return normalised(mixed(np.concatenate(levels, axis=1), term.fusion.project[0]))
    if fuse == "sum":
        return normalised(mixed(sum(levels), term.fusion.project[0]))
    y = levels[0]
    for x, attend in zip(levels[1:], term.fusion.attend, strict=True):
        z = sigmoid(mixed(np.concatenate([x, y], axis=1), attend))
        y = x * z[:, :1] + y * z[:, 1:]
    return normalised(F.conv2d(torch.from_numpy(y), term.fusion.project[0].weight.detach(), padding=1).numpy())


def by_hand(term, student, teacher, *, fuse, order, masks):
    maps = {tap: x.numpy() for tap, x in student.maps.items()}
    mask, *level_masks = [m.numpy() for m in masks]
    size = teacher.maps[term.target].shape[-1]
    levels = [pooled(normalised(mixed(maps[tap], lateral[0])), size) for tap, lateral in term.laterals.items()]
    aligned = mixed(maps[term.target], term.align)
    if order != "fuse_then_mask":
        levels = [level * level_mask for level, level_mask in zip(levels, level_masks, strict=True)]
    added = term.gate.item() * fused_by_hand(term, fuse, levels)
    fused = aligned * mask + added if order == "mask_then_fuse" else (aligned + added) * mask
    error = term.generation(torch.from_numpy(fused)).detach().numpy() - teacher.maps[term.target].numpy()
    return (error**2).sum() / len(error)


@pytest.mark.parametrize("levels", ["last3", "all"])
@pytest.mark.parametrize("fuse", FUSIONS)
@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize("kind", ["channel", "spatial"])
def test_it_is_the_formula(levels, fuse, order, kind, nets):
    options = {"levels": levels, "fuse": fuse, "mask_order": order, "mask": kind}
    term = built(nets, mask_ratio=0.4, gate=0.7, **options).double()
    student, teacher = nets.pair(dtype=torch.float64)
    torch.manual_seed(5)
    channels = [9] + [6] * len(term.laterals)
    masks = [draw_mask(torch.empty(5, c, 2, 2, dtype=torch.float64), kind, 0.4, nets.batch()) for c in channels]
    torch.manual_seed(5)
    loss = term(student, teacher, nets.batch())
    assert loss.item() == pytest.approx(by_hand(term, student, teacher, fuse=fuse, order=order, masks=masks), rel=1e-9)


@pytest.mark.parametrize(("target", "channels", "size"), [("stride16", 8, 4), ("stride8", 6, 8)])
@pytest.mark.parametrize("fuse", FUSIONS)
@pytest.mark.parametrize("order", ORDERS)
def test_with_a_shallower_target_it_is_the_same_formula(target, channels, size, fuse, order, nets):
    term = built(nets, target=target, mask_ratio=0.4, gate=0.7, fuse=fuse, mask_order=order).double()
    student, teacher = nets.pair(dtype=torch.float64)
    torch.manual_seed(5)
    shapes = [channels] + [6] * len(term.laterals)
    masks = [draw_mask(torch.empty(5, c, size, size).double(), "channel", 0.4, nets.batch()) for c in shapes]
    torch.manual_seed(5)
    loss = term(student, teacher, nets.batch())
    assert loss.item() == pytest.approx(by_hand(term, student, teacher, fuse=fuse, order=order, masks=masks), rel=1e-9)


@pytest.mark.parametrize(("target", "shallower"), [("stride16", ["stride4", "stride8"]), ("stride8", ["stride4"])])
def test_a_shallower_target_is_fused_with_all_maps_before_it_and_no_other_is_read(target, shallower, nets):
    for levels in ("last3", "all"):
        term = built(nets, target=target, levels=levels, gate=0.5)
        assert list(term.laterals) == shallower
        student, teacher = nets.pair()
        nets.leaves(student)
        term(student, replace(teacher, maps={target: teacher.maps[target]}), nets.batch()).backward()
        assert [tap for tap, x in student.maps.items() if x.grad is not None and x.grad.any()] == [*shallower, target]
    assert term.generation[0].in_channels == nets.teacher.channels[target]


def test_a_target_that_is_not_offered_is_refused(nets):
    with pytest.raises(RecipeError, match=r"hierarchical_fusion.target = 'stride16': the teacher offers last, not str"):
        HierarchicalFusion(nets.student, NetworkSpec(8, 7, {"last": 3}), target="stride16")
    with pytest.raises(RecipeError, match=r"hierarchical_fusion.target: .*'stride8', got 'stride4'"):
        HierarchicalFusion(nets.student, nets.teacher, target="stride4")


@pytest.mark.parametrize("fuse", FUSIONS)
@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize("target", ["last", "stride16"])
@pytest.mark.parametrize("shared_options", [{}, {"mask": "spatial", "mask_ratio": 0.6}, {"hidden": 4}, SEPARABLE])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_with_its_gate_at_zero_it_is_mgd_bit_for_bit(fuse, order, target, shared_options, dtype, nets):
    fusion = built(nets, fuse=fuse, mask_order=order, target=target, **shared_options)
    torch.manual_seed(0)
    plain = MGD(nets.student, nets.teacher, target=target, **shared_options)
    results = []
    for term in (fusion, plain):
        student, teacher = nets.pair()
        leaf = student.maps[target].requires_grad_()
        torch.manual_seed(11)
        with torch.autocast("cpu", torch.bfloat16, enabled=dtype is torch.bfloat16):
            loss = term(student, teacher, nets.batch())
        loss.backward()
        results.append((loss, leaf.grad, next(term.generation.parameters()).grad))
    assert all(torch.equal(ours, theirs) for ours, theirs in zip(*results, strict=True))


@pytest.mark.parametrize("fuse", FUSIONS)
@pytest.mark.parametrize("order", ORDERS)
def test_the_gradient_reaches_every_level_once_the_gate_is_open(fuse, order, nets):
    for gate in (0.0, 0.5):
        student, teacher = nets.pair()
        nets.leaves(student)
        term = built(nets, fuse=fuse, mask_order=order, gate=gate)
        term(student, teacher, nets.batch()).backward()
        reached = [tap for tap, x in student.maps.items() if x.grad is not None and x.grad.any()]
        assert reached == (["stride8", "stride16", "stride32", "last"] if gate else ["last"])
        assert term.gate.grad != 0


def test_all_levels_are_one_more_than_the_last_three(nets):
    assert list(built(nets).laterals) == ["stride8", "stride16", "stride32"]
    assert list(built(nets, levels="all").laterals) == ["stride4", "stride8", "stride16", "stride32"]


def test_training_opens_the_gate_and_learns_from_shallow_maps(nets):
    """The teacher's map is a function of the student's shallow one, on new images at every step."""
    losses = {}
    for method, options in ((MGD, {}), (HierarchicalFusion, {"width": 8})):
        torch.manual_seed(0)
        term = method(nets.student, nets.teacher, mask_ratio=0, hidden=32, **options)
        optimizer = torch.optim.Adam(term.parameters(), lr=1e-2)
        for step in range(60):
            student = nets.answer(nets.student, 32, seed=step)
            target = averaged(student.maps["stride8"], student.maps["last"])
            maps = {"last": torch.cat([target, target, target[:, :1]], dim=1)}
            optimizer.zero_grad()
            loss = term(student, Output(student.logits, student.pooled, maps), nets.batch(32))
            loss.backward()
            optimizer.step()
        losses[method] = loss.item()
    assert term.gate.item() != 0
    assert losses[HierarchicalFusion] < losses[MGD] / 2


def test_grids_that_do_not_divide_are_pooled_adaptively(nets):
    grid = {"stride4": 17, "stride8": 9, "stride16": 5, "stride32": 3, "last": 3}
    student, _ = nets.pair(grid=grid)
    _, teacher = nets.pair()
    assert built(nets, gate=0.5)(student, teacher, nets.batch()).isfinite()


@pytest.mark.parametrize(("size", "corner"), [((5, 7), (3, 3)), ((5, 6), (3, 2)), ((4, 7), (2, 3))])
def test_a_cell_of_a_grid_of_two_by_three_averages_what_it_touches(size, corner):
    x_BCHW = torch.randn(2, 3, *size)
    want_BC = x_BCHW[:, :, : corner[0], : corner[1]].mean((2, 3))
    torch.testing.assert_close(averaged(x_BCHW, torch.empty(2, 1, 2, 3))[:, :, 0, 0], want_BC)


@pytest.mark.parametrize("grid", [(4, 6), (2, 3), (1, 1), (4, 3)])
def test_average_pooling_is_adaptive_pooling_where_sizes_divide(grid):
    x_BCHW = torch.randn(2, 3, 4, 6)
    torch.testing.assert_close(averaged(x_BCHW, torch.empty(2, 1, *grid)), F.adaptive_avg_pool2d(x_BCHW, grid))


def test_a_map_on_the_right_grid_is_unchanged():
    x_BCHW = torch.randn(2, 3, 4, 6)
    assert stretched(x_BCHW, torch.empty(1, 9, 4, 6)) is x_BCHW
    assert stretched(x_BCHW, torch.empty(1, 9, 8, 3)).shape == (2, 3, 8, 3)


def test_one_value_per_channel_is_normalised_with_running_statistics():
    norm = BatchNorm(3)
    norm(torch.randn(16, 3, 4, 4) * 5 + 2)
    mean, var = norm.running_mean.clone(), norm.running_var.clone()
    x_BCHW = torch.randn(1, 3, 1, 1)
    got = norm(x_BCHW).flatten()
    torch.testing.assert_close(got, (x_BCHW.flatten() - mean) / (var + 1e-5).sqrt())
    assert torch.equal(norm.running_mean, mean)


@pytest.mark.parametrize("shape", [(2, 3, 1, 1), (1, 3, 2, 1), (3, 3, 4, 4)])
def test_with_more_values_it_is_ordinary_batch_normalisation(shape):
    x_BCHW = torch.randn(shape)
    ours, theirs = BatchNorm(3), torch.nn.BatchNorm2d(3)
    assert torch.equal(ours(x_BCHW), theirs(x_BCHW))
    assert torch.equal(ours.running_var, theirs.running_var)


def test_a_level_that_is_not_offered_is_refused(nets):
    student = NetworkSpec(8, 7, {tap: c for tap, c in nets.student.channels.items() if tap != "stride4"})
    HierarchicalFusion(student, nets.teacher)
    with pytest.raises(RecipeError, match=r"levels = 'all': the student offers stride8, .*, last, not stride4"):
        HierarchicalFusion(student, nets.teacher, levels="all")
    with pytest.raises(RecipeError, match=r"hierarchical_fusion.target = 'last': the teacher offers stride8, not last"):
        HierarchicalFusion(student, NetworkSpec(8, 7, {"stride8": 3}))
