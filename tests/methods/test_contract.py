"""The contract of every method; a new file in the folder is tested automatically."""

import pickle
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from dspkd.errors import RecipeError
from dspkd.methods import find, names, options
from dspkd.types import Output

pytestmark = pytest.mark.parametrize("name", names())


def build(name, nets):
    torch.manual_seed(0)
    return find(name)(nets.student, nets.teacher if find(name).needs_teacher else None)


def loss_of(name, term, nets, student, teacher):
    torch.manual_seed(1)
    return term(student, teacher if find(name).needs_teacher else None, nets.batch(len(student.logits)))


def changed(output, change):
    """Return `output` with `change` applied to each tensor, those of rotated and strongly augmented images too."""
    return Output(
        change(output.logits),
        change(output.pooled),
        {tap: change(x) for tap, x in output.maps.items()},
        *[other and changed(other, change) for other in (output.rotated, output.strong_aug)],
    )


def cast(output, dtype):
    return changed(output, lambda x: x.to(dtype))


def with_logits(output, logits_BK):
    """Return `output` with these logits, which are those of rotated and strongly augmented images too."""
    others = {"rotated": replace(output.rotated, logits=logits_BK.repeat(3, 1))}
    return replace(output, logits=logits_BK, strong_aug=replace(output.strong_aug, logits=logits_BK.clone()), **others)


@pytest.mark.parametrize("batch", [1, 5])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_it_is_a_finite_scalar_and_trains_only_the_student(name, batch, dtype, nets):
    term = build(name, nets)
    student, teacher = (cast(x, dtype) for x in nets.pair(batch))
    of_student, of_teacher = nets.leaves(student), nets.leaves(teacher)
    with torch.autocast("cpu", torch.bfloat16, enabled=dtype is torch.bfloat16):
        loss = loss_of(name, term, nets, student, teacher)
    loss.backward()
    assert loss.shape == ()
    assert loss.dtype == torch.float32
    assert 0 <= loss.item() < float("inf")
    grads = [x.grad for x in of_student if x.grad is not None]
    assert all(grad.isfinite().all() for grad in grads)
    # One image has no neighbours: methods on the relations between images have nothing to say about it.
    assert any(grad.any() for grad in grads) or batch == 1
    of_teacher = [x.grad for x in of_teacher if x.grad is not None]
    assert any(grad.any() for grad in of_teacher) if find(name).trains_teacher else not of_teacher


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_its_arithmetic_is_float32_for_any_input_type(name, dtype, nets):
    halves = [cast(x, dtype) for x in nets.pair()]
    term = build(name, nets)
    losses = [loss_of(name, term, nets, *pair) for pair in (halves, [cast(x, torch.float32) for x in halves])]
    assert torch.equal(*losses)


def test_its_arithmetic_is_float64_for_float64_inputs(name, nets):
    pair = nets.pair(dtype=torch.float64)
    assert loss_of(name, build(name, nets).double(), nets, *pair).dtype == torch.float64


def test_autocast_affects_convolutions_only(name, nets):
    """bfloat16 keeps 8 bits: a loss computed in it would be off by some 0.4 % per operation."""
    term = build(name, nets)
    student, teacher = nets.pair()
    with torch.autocast("cpu", torch.bfloat16):
        low = loss_of(name, term, nets, student, teacher)
    high = loss_of(name, term, nets, student, teacher)
    has_convolutions = any(isinstance(module, torch.nn.Conv2d) for module in term.modules())
    torch.testing.assert_close(low, high, rtol=0.05 if has_convolutions else 1e-6, atol=0)


@pytest.mark.parametrize("logits", ["equal", "constant", "huge", "huge and opposite"])
def test_extreme_logits_leave_loss_and_gradient_finite(name, logits, nets):
    student, teacher = nets.pair()
    s_BK, t_BK = {
        "equal": (teacher.logits.clone(), teacher.logits),
        "constant": (torch.full_like(student.logits, 2.0), torch.full_like(student.logits, -1.0)),
        "huge": (1e4 * torch.eye(8)[:5], 1e4 * torch.eye(8)[:5]),
        "huge and opposite": (1e4 * torch.eye(8)[:5], -1e4 * torch.eye(8)[:5]),
    }[logits]
    student, teacher = with_logits(student, s_BK), with_logits(teacher, t_BK)
    leaves = nets.leaves(student)
    loss = loss_of(name, build(name, nets), nets, student, teacher)
    loss.backward()
    assert loss.isfinite()
    assert all(x.grad.isfinite().all() for x in leaves if x.grad is not None)


@pytest.mark.parametrize("batch", [1, 2])
def test_maps_of_one_position_are_enough(name, batch, nets):
    grid = dict.fromkeys(nets.grid, 1)
    term = build(name, nets)
    student, teacher = nets.pair(batch, grid=grid)
    leaves = nets.leaves(student)
    loss = loss_of(name, term, nets, student, teacher)
    loss.backward()
    assert loss.isfinite()
    assert all(x.grad.isfinite().all() for x in [*leaves, *term.parameters()] if x.grad is not None)


def test_maps_that_are_all_zero_leave_the_gradient_finite(name, nets):
    student, teacher = nets.pair()
    dead = with_logits(changed(student, lambda x: 0 * x), student.logits)
    leaves = nets.leaves(dead)
    loss = loss_of(name, build(name, nets), nets, dead, teacher)
    loss.backward()
    assert loss.isfinite()
    assert all(x.grad.isfinite().all() for x in leaves if x.grad is not None)


def test_every_parameter_of_its_own_takes_part(name, nets):
    """A parameter without gradient would stop distributed training; those frozen in the term are exempt."""
    term = build(name, nets)
    student, teacher = nets.pair()
    nets.leaves(student)
    loss_of(name, term, nets, student, teacher).backward()
    assert [key for key, p in term.named_parameters() if p.requires_grad and p.grad is None] == []


def test_the_same_seed_gives_the_same_loss_and_the_inputs_stay_as_they_were(name, nets):
    student, teacher = nets.pair()
    term = build(name, nets).eval()
    losses = [loss_of(name, term, nets, student, teacher) for _ in range(2)]
    assert torch.equal(*losses)
    again, _ = nets.pair()
    assert torch.equal(student.logits, again.logits)
    assert all(torch.equal(x, again.maps[tap]) for tap, x in student.maps.items())


def test_the_loss_of_a_mixed_image_does_not_depend_on_the_order_of_its_labels(name, nets):
    """A term that reads one of two labels must set `needs_one_label`."""
    student, teacher = nets.pair()
    term = build(name, nets).eval()
    batch = nets.batch()
    first = replace(batch, other_labels=batch.labels.roll(1), own_share=torch.full((5,), 0.3))
    swapped = replace(batch, labels=first.other_labels, other_labels=first.labels, own_share=torch.full((5,), 0.7))
    losses = []
    for mixed in (first, swapped):
        torch.manual_seed(1)
        losses.append(term(student, teacher if find(name).needs_teacher else None, mixed))
    assert torch.allclose(*losses, rtol=1e-6) != find(name).needs_one_label


def test_two_classes_are_learned_or_refused(name, nets):
    shapes = replace(nets.student, classes=2, class_counts=(40, 8)), replace(nets.teacher, classes=2)
    try:
        term = find(name)(shapes[0], shapes[1] if find(name).needs_teacher else None)
    except RecipeError as error:
        assert "2 classes" in str(error)  # noqa: PT017
        return
    student, teacher = (nets.answer(spec, seed=seed) for seed, spec in enumerate(shapes))
    leaves = nets.leaves(student)
    batch = replace(nets.batch(), labels=nets.batch().labels % 2)
    term(student, teacher if find(name).needs_teacher else None, batch).backward()
    assert max(x.grad.abs().max() for x in leaves if x.grad is not None) > 1e-5


def test_it_survives_a_pickle_and_a_state_dict(name, nets):
    student, teacher = nets.pair()
    term = build(name, nets).eval()
    torch.manual_seed(99)
    other = find(name)(nets.student, nets.teacher).eval()
    other.load_state_dict(term.state_dict())
    want = loss_of(name, term, nets, student, teacher)
    assert torch.equal(loss_of(name, other, nets, student, teacher), want)
    assert torch.equal(loss_of(name, pickle.loads(pickle.dumps(term)), nets, student, teacher), want)


def test_its_options_are_typed_and_defaulted_and_the_defaults_are_valid(name, nets):
    for option in options(name).values():
        assert option.annotation is not option.default
        assert isinstance(option.default, bool | int | float | str)
    defaults = {key: option.default for key, option in options(name).items()}
    find(name)(nets.student, nets.teacher, **defaults)


def test_its_class_checks_every_option_like_a_recipe(name, nets):
    for key in options(name):
        with pytest.raises(RecipeError, match=rf"{name}\.{key}: .* got None"):
            find(name)(nets.student, nets.teacher, **{key: None})


def test_its_documentation_names_every_option_and_its_source(name):
    text = find(name).__doc__ or ""
    assert "Source:" in text
    assert all(key in text for key in options(name))


def test_a_missing_teacher_is_refused(name, nets):
    if not find(name).needs_teacher:
        assert find(name)(nets.student, None).name == name
        return
    with pytest.raises(RecipeError, match=f"{name}: compares the student with a teacher, and there is none"):
        find(name)(nets.student, None)


def test_it_has_a_test_of_its_own(name):
    assert (Path(__file__).parent / f"test_{name}.py").exists()
