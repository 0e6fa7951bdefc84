from dataclasses import replace

import numpy as np
import pytest
import torch

from dspkd.errors import RecipeError
from dspkd.methods.kd import KD


def by_hand(s_BK, t_BK, temperature):
    """T^2 / B * sum_b sum_k q_k log(q_k / p_k), one image at a time."""
    total = 0.0
    for s, t in zip(s_BK / temperature, t_BK / temperature, strict=True):
        p, q = np.exp(s) / np.exp(s).sum(), np.exp(t) / np.exp(t).sum()
        total += (q * np.log(q / p)).sum()
    return temperature**2 * total / len(s_BK)


@pytest.mark.parametrize("temperature", [0.5, 1.0, 4.0, 20.0])
def test_it_is_the_formula(temperature, nets):
    student, teacher = nets.pair(dtype=torch.float64)
    loss = KD(nets.student, nets.teacher, temperature=temperature)(student, teacher, nets.batch())
    want = by_hand(student.logits.numpy(), teacher.logits.numpy(), temperature)
    assert loss.item() == pytest.approx(want, rel=1e-10)


@pytest.mark.parametrize("temperature", [1.0, 4.0, 20.0])
def test_the_gradient_is_hintons(temperature, nets):
    student, teacher = nets.pair(dtype=torch.float64)
    s_BK = student.logits.requires_grad_()
    KD(nets.student, nets.teacher, temperature=temperature)(student, teacher, nets.batch()).backward()
    p_BK = torch.softmax(s_BK.detach() / temperature, dim=1)
    q_BK = torch.softmax(teacher.logits / temperature, dim=1)
    torch.testing.assert_close(s_BK.grad, temperature * (p_BK - q_BK) / 5)


def test_it_is_zero_exactly_where_the_networks_agree_up_to_a_shift(nets):
    student, teacher = nets.pair(dtype=torch.float64)
    agreed = replace(student, logits=teacher.logits + torch.randn(5, 1))
    assert KD(nets.student, nets.teacher)(agreed, teacher, nets.batch()).item() == pytest.approx(0, abs=1e-12)


def test_at_a_high_temperature_it_is_the_squared_difference_of_centred_logits(nets):
    """Hinton's limit: T^2 KL -> |s - t|^2 / (2 K), both centred."""
    student, teacher = nets.pair(dtype=torch.float64)
    difference = student.logits - teacher.logits
    centred = difference - difference.mean(dim=1, keepdim=True)
    loss = KD(nets.student, nets.teacher, temperature=1e4)(student, teacher, nets.batch())
    assert loss.item() == pytest.approx(centred.square().sum().item() / (2 * 8 * 5), rel=1e-2)


def test_networks_with_other_classes_are_refused(nets):
    with pytest.raises(RecipeError, match=r"kd: compares logits .* the student has 8, the teacher 7"):
        KD(nets.student, replace(nets.teacher, classes=7))


@pytest.mark.parametrize("temperature", [1.0, 4.0])
def test_it_agrees_with_published_programs(temperature, golden):
    golden.check(f"vanilla_kd_T{temperature}", KD(*golden.specs(), temperature=temperature), "logits")
