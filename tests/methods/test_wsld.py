from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F

from dspkd.errors import RecipeError
from dspkd.methods.kd import KD
from dspkd.methods.wsld import WSLD


def probabilities(z, temperature=1.0):
    return np.exp(z / temperature) / np.exp(z / temperature).sum()


def by_hand(s_BK, t_BK, labels_B, temperature):
    total = 0.0
    for s, t, y in zip(s_BK, t_BK, labels_B, strict=True):
        ratio = -np.log(probabilities(s)[y]) / (-np.log(probabilities(t)[y]) + 1e-7)
        soft = -(probabilities(t, temperature) * np.log(probabilities(s, temperature))).sum()
        total += (1 - np.exp(-ratio)) * soft
    return temperature**2 * total / len(s_BK)


@pytest.mark.parametrize("temperature", [0.5, 2.0, 10.0])
def test_it_is_the_formula(temperature, nets):
    (student, teacher), batch = nets.pair(dtype=torch.float64), nets.batch()
    loss = WSLD(nets.student, nets.teacher, temperature=temperature)(student, teacher, batch)
    want = by_hand(student.logits.numpy(), teacher.logits.numpy(), batch.labels.numpy(), temperature)
    assert loss.item() == pytest.approx(want, rel=1e-10)


def test_a_teacher_that_predicts_the_labels_makes_it_plain_distillation(nets):
    """Then every weight is 1, and the gradient is that of kd."""
    student, batch = nets.answer(nets.student, dtype=torch.float64), nets.batch()
    sure = replace(nets.answer(nets.teacher), logits=200 * F.one_hot(batch.labels, 8).double())
    grads = []
    for method in (WSLD, KD):
        s_BK = student.logits.clone().requires_grad_()
        term = method(nets.student, nets.teacher, temperature=2.0)
        term(replace(student, logits=s_BK), sure, batch).backward()
        grads.append(s_BK.grad)
    torch.testing.assert_close(*grads)


def test_a_student_that_predicts_the_labels_has_weight_zero(nets):
    teacher, batch = nets.answer(nets.teacher, dtype=torch.float64), nets.batch()
    sure = replace(nets.answer(nets.student), logits=200 * F.one_hot(batch.labels, 8).double())
    assert WSLD(nets.student, nets.teacher)(sure, teacher, batch).item() == pytest.approx(0, abs=1e-12)


def test_the_gradient_is_that_of_distillation_times_a_weight_in_0_1_per_image(nets):
    (student, teacher), batch = nets.pair(dtype=torch.float64), nets.batch()
    s_BK = student.logits.requires_grad_()
    WSLD(nets.student, nets.teacher, temperature=2.0)(student, teacher, batch).backward()
    plain_BK = 2 * (torch.softmax(s_BK.detach() / 2, 1) - torch.softmax(teacher.logits / 2, 1)) / 5
    weight_BK = s_BK.grad / plain_BK
    torch.testing.assert_close(weight_BK, weight_BK[:, :1].expand(-1, 8))
    assert ((weight_BK > 0) & (weight_BK < 1)).all()


def test_networks_with_other_classes_are_refused(nets):
    with pytest.raises(RecipeError, match=r"wsld: compares logits .* the student has 8, the teacher 7"):
        WSLD(nets.student, replace(nets.teacher, classes=7))


def test_with_the_labels_it_agrees_with_the_authors_program(golden):
    class Total(nn.Module):
        def __init__(self):
            super().__init__()
            self.soft = WSLD(*golden.specs(), temperature=2.0)

        def forward(self, student, teacher, batch):
            return F.cross_entropy(student.logits, batch.labels) + 2.5 * self.soft(student, teacher, batch)

    golden.check("wsld_total", Total(), "logits")
