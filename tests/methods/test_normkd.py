from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from dspkd.errors import RecipeError
from dspkd.methods.kd import KD
from dspkd.methods.normkd import NormKD


def by_hand(s_BK, t_BK, t_norm):
    """Mean over images of tau_t^2 sum_k q_k log(q_k / p_k)."""
    total = 0.0
    for s, t in zip(s_BK, t_BK, strict=True):
        tau_s, tau_t = t_norm * np.std(s, ddof=1), t_norm * np.std(t, ddof=1)
        p = np.exp(s / tau_s) / np.exp(s / tau_s).sum()
        q = np.exp(t / tau_t) / np.exp(t / tau_t).sum()
        total += tau_t**2 * (q * np.log(q / p)).sum()
    return total / len(s_BK)


@pytest.mark.parametrize("t_norm", [0.5, 1.0, 2.0, 10.0])
def test_it_is_the_formula(t_norm, nets):
    student, teacher = nets.pair(dtype=torch.float64)
    loss = NormKD(nets.student, nets.teacher, t_norm=t_norm)(student, teacher, nets.batch())
    assert loss.item() == pytest.approx(by_hand(student.logits.numpy(), teacher.logits.numpy(), t_norm), rel=1e-10)


@pytest.mark.parametrize("spread", [1e-4, 1e-5])
@pytest.mark.parametrize("network", ["student", "teacher"])
def test_a_small_spread_is_as_good_as_any_other(spread, network, nets):
    networks = dict(zip(("student", "teacher"), nets.pair(dtype=torch.float64), strict=True))
    networks[network] = replace(networks[network], logits=spread * networks[network].logits)
    loss = NormKD(nets.student, nets.teacher)(networks["student"], networks["teacher"], nets.batch())
    want = by_hand(networks["student"].logits.numpy(), networks["teacher"].logits.numpy(), 1.0)
    assert loss.item() == pytest.approx(want, rel=1e-8)


@given(gain=st.floats(0.01, 100), shift=st.floats(-100, 100))
def test_gain_and_shift_of_the_students_logits_do_not_matter(nets, gain, shift):
    student, teacher = nets.pair(dtype=torch.float64)
    term = NormKD(nets.student, nets.teacher)
    moved = replace(student, logits=gain * student.logits + shift)
    torch.testing.assert_close(term(moved, teacher, nets.batch()), term(student, teacher, nets.batch()))


def test_gain_of_the_teachers_logits_counts_squared(nets):
    student, teacher = nets.pair(dtype=torch.float64)
    term = NormKD(nets.student, nets.teacher)
    louder = replace(teacher, logits=3 * teacher.logits)
    torch.testing.assert_close(term(student, louder, nets.batch()), 9 * term(student, teacher, nets.batch()))


def test_it_is_zero_where_the_logits_agree_up_to_gain_and_shift(nets):
    student, teacher = nets.pair(dtype=torch.float64)
    agreed = replace(student, logits=0.2 * teacher.logits + 5)
    assert NormKD(nets.student, nets.teacher)(agreed, teacher, nets.batch()).item() == pytest.approx(0, abs=1e-12)


def test_the_gradient_neither_shifts_nor_stretches_the_students_logits(nets):
    student, teacher = nets.pair(dtype=torch.float64)
    s_BK = student.logits.requires_grad_()
    NormKD(nets.student, nets.teacher)(student, teacher, nets.batch()).backward()
    centred_BK = s_BK.detach() - s_BK.detach().mean(dim=1, keepdim=True)
    nothing_B = torch.zeros(5, dtype=torch.float64)
    assert s_BK.grad.norm() > 0.1
    torch.testing.assert_close(s_BK.grad.sum(dim=1), nothing_B, rtol=0, atol=1e-12)
    torch.testing.assert_close((s_BK.grad * centred_BK).sum(dim=1), nothing_B, rtol=0, atol=1e-12)


def test_logits_of_one_spread_make_it_plain_distillation(nets):
    """With every standard deviation equal to 1 the temperature of each image is t_norm."""
    student, teacher = (
        replace(x, logits=x.logits / x.logits.std(dim=1, keepdim=True)) for x in nets.pair(dtype=torch.float64)
    )
    losses = [
        NormKD(nets.student, nets.teacher, t_norm=2.5)(student, teacher, nets.batch()),
        KD(nets.student, nets.teacher, temperature=2.5)(student, teacher, nets.batch()),
    ]
    torch.testing.assert_close(*losses)


@pytest.mark.parametrize("flat", ["student", "teacher"])
def test_logits_that_are_all_equal_have_no_spread_and_give_no_nan(flat, nets):
    student, teacher = nets.pair()
    networks = {"student": student, "teacher": teacher}
    networks[flat] = replace(networks[flat], logits=torch.full((5, 8), 3.0))
    s_BK = networks["student"].logits.requires_grad_()
    loss = NormKD(nets.student, nets.teacher)(networks["student"], networks["teacher"], nets.batch())
    loss.backward()
    assert loss.isfinite()
    assert s_BK.grad.isfinite().all()


def test_networks_with_other_classes_are_refused(nets):
    with pytest.raises(RecipeError, match=r"normkd: compares logits .* the student has 8, the teacher 7"):
        NormKD(nets.student, replace(nets.teacher, classes=7))


@pytest.mark.parametrize("t_norm", [1.0, 2.0])
def test_it_agrees_with_the_authors_program(t_norm, golden):
    golden.check(f"normkd_tnorm{t_norm}", NormKD(*golden.specs(), t_norm=t_norm), "logits")
