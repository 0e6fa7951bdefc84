"""What every method promises; a new file in the folder enters by existing."""

import pickle
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from dspkd.errors import RecipeError
from dspkd.methods import find, names, options
from dspkd.types import Output

pytestmark = pytest.mark.parametrize("name", names())


def build(name, made):
    torch.manual_seed(0)
    return find(name)(made.student, made.teacher if find(name).needs_teacher else None)


def loss_of(name, term, made, student, teacher):
    torch.manual_seed(1)
    return term(student, teacher if find(name).needs_teacher else None, made.batch(len(student.logits)))


def changed(output, change):
    """Return `output` with `change` applied to each tensor, those of rotated and strong images too."""
    return Output(
        change(output.logits),
        change(output.pooled),
        {tap: change(x) for tap, x in output.maps.items()},
        *[other and changed(other, change) for other in (output.rotated, output.strong_aug)],
    )


def cast(output, dtype):
    return changed(output, lambda x: x.to(dtype))


def with_logits(output, logits_BK):
    """Return `output` with these logits, which are those of rotated and strong images too."""
    others = {"rotated": replace(output.rotated, logits=logits_BK.repeat(3, 1))}
    return replace(output, logits=logits_BK, strong_aug=replace(output.strong_aug, logits=logits_BK.clone()), **others)


@pytest.mark.parametrize("batch", [1, 5])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_it_is_a_finite_scalar_and_trains_the_student_alone(name, batch, dtype, made):
    term = build(name, made)
    student, teacher = (cast(x, dtype) for x in made.pair(batch))
    of_student, of_teacher = made.leaves(student), made.leaves(teacher)
    with torch.autocast("cpu", torch.bfloat16, enabled=dtype is torch.bfloat16):
        loss = loss_of(name, term, made, student, teacher)
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
def test_its_arithmetic_is_float32_whatever_the_networks_answer_in(name, dtype, made):
    halves = [cast(x, dtype) for x in made.pair()]
    term = build(name, made)
    losses = [loss_of(name, term, made, *pair) for pair in (halves, [cast(x, torch.float32) for x in halves])]
    assert torch.equal(*losses)


def test_its_arithmetic_is_float64_if_the_networks_answer_in_it(name, made):
    pair = made.pair(dtype=torch.float64)
    assert loss_of(name, build(name, made).double(), made, *pair).dtype == torch.float64


def test_autocast_touches_its_convolutions_alone(name, made):
    """bfloat16 keeps 8 bits: a loss computed in it would be off by some 0.4 % per operation."""
    term = build(name, made)
    student, teacher = made.pair()
    with torch.autocast("cpu", torch.bfloat16):
        low = loss_of(name, term, made, student, teacher)
    high = loss_of(name, term, made, student, teacher)
    has_convolutions = any(isinstance(module, torch.nn.Conv2d) for module in term.modules())
    torch.testing.assert_close(low, high, rtol=0.05 if has_convolutions else 1e-6, atol=0)


@pytest.mark.parametrize("logits", ["equal", "constant", "huge", "huge and opposite"])
def test_extreme_logits_leave_loss_and_gradient_finite(name, logits, made):
    student, teacher = made.pair()
    s_BK, t_BK = {
        "equal": (teacher.logits.clone(), teacher.logits),
        "constant": (torch.full_like(student.logits, 2.0), torch.full_like(student.logits, -1.0)),
        "huge": (1e4 * torch.eye(8)[:5], 1e4 * torch.eye(8)[:5]),
        "huge and opposite": (1e4 * torch.eye(8)[:5], -1e4 * torch.eye(8)[:5]),
    }[logits]
    student, teacher = with_logits(student, s_BK), with_logits(teacher, t_BK)
    leaves = made.leaves(student)
    loss = loss_of(name, build(name, made), made, student, teacher)
    loss.backward()
    assert loss.isfinite()
    assert all(x.grad.isfinite().all() for x in leaves if x.grad is not None)


@pytest.mark.parametrize("batch", [1, 2])
def test_maps_of_one_position_are_enough(name, batch, made):
    grid = dict.fromkeys(made.grid, 1)
    term = build(name, made)
    student, teacher = made.pair(batch, grid=grid)
    leaves = made.leaves(student)
    loss = loss_of(name, term, made, student, teacher)
    loss.backward()
    assert loss.isfinite()
    assert all(x.grad.isfinite().all() for x in [*leaves, *term.parameters()] if x.grad is not None)


def test_maps_that_are_all_zero_leave_the_gradient_finite(name, made):
    student, teacher = made.pair()
    dead = with_logits(changed(student, lambda x: 0 * x), student.logits)
    leaves = made.leaves(dead)
    loss = loss_of(name, build(name, made), made, dead, teacher)
    loss.backward()
    assert loss.isfinite()
    assert all(x.grad.isfinite().all() for x in leaves if x.grad is not None)


def test_every_parameter_of_its_own_takes_part(name, made):
    """A parameter without gradient would stop distributed training; those that are frozen in the term are no matter."""
    term = build(name, made)
    student, teacher = made.pair()
    made.leaves(student)
    loss_of(name, term, made, student, teacher).backward()
    assert [key for key, p in term.named_parameters() if p.requires_grad and p.grad is None] == []


def test_the_same_seed_gives_the_same_loss_and_the_inputs_stay_as_they_were(name, made):
    student, teacher = made.pair()
    term = build(name, made).eval()
    losses = [loss_of(name, term, made, student, teacher) for _ in range(2)]
    assert torch.equal(*losses)
    again, _ = made.pair()
    assert torch.equal(student.logits, again.logits)
    assert all(torch.equal(x, again.maps[tap]) for tap, x in student.maps.items())


def test_what_it_makes_of_a_mixed_image_does_not_depend_on_which_of_the_two_comes_first(name, made):
    """A term that reads one label of two cannot pass, and must say so."""
    student, teacher = made.pair()
    term = build(name, made).eval()
    batch = made.batch()
    first = replace(batch, other_labels=batch.labels.roll(1), own_share=torch.full((5,), 0.3))
    swapped = replace(batch, labels=first.other_labels, other_labels=first.labels, own_share=torch.full((5,), 0.7))
    losses = []
    for mixed in (first, swapped):
        torch.manual_seed(1)
        losses.append(term(student, teacher if find(name).needs_teacher else None, mixed))
    assert torch.allclose(*losses, rtol=1e-6) != find(name).needs_one_label


def test_it_survives_a_pickle_and_a_state_dict(name, made):
    student, teacher = made.pair()
    term = build(name, made).eval()
    torch.manual_seed(99)
    other = find(name)(made.student, made.teacher).eval()
    other.load_state_dict(term.state_dict())
    want = loss_of(name, term, made, student, teacher)
    assert torch.equal(loss_of(name, other, made, student, teacher), want)
    assert torch.equal(loss_of(name, pickle.loads(pickle.dumps(term)), made, student, teacher), want)


def test_its_options_are_typed_and_defaulted_and_the_defaults_are_valid(name, made):
    for option in options(name).values():
        assert option.annotation is not option.default
        assert isinstance(option.default, bool | int | float | str)
    defaults = {key: option.default for key, option in options(name).items()}
    find(name)(made.student, made.teacher, **defaults)


def test_its_class_checks_every_option_as_the_recipe_does(name, made):
    for key in options(name):
        with pytest.raises(RecipeError, match=rf"{name}\.{key}: .* got None"):
            find(name)(made.student, made.teacher, **{key: None})


def test_its_documentation_names_every_option_and_its_source(name):
    text = find(name).__doc__ or ""
    assert "Source:" in text
    assert all(key in text for key in options(name))


def test_it_says_so_when_it_needs_a_teacher(name, made):
    if not find(name).needs_teacher:
        assert find(name)(made.student, None).name == name
        return
    with pytest.raises(RecipeError, match=f"{name}: compares the student with a teacher, and there is none"):
        find(name)(made.student, None)


def test_it_has_a_test_of_its_own(name):
    assert (Path(__file__).parent / f"test_{name}.py").exists()
