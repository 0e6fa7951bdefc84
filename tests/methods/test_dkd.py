from dataclasses import replace

import numpy as np
import pytest
import torch

from dspkd.errors import RecipeError
from dspkd.methods.dkd import DKD
from dspkd.methods.kd import KD


def divergence(q, p):
    return (q * np.log(q / p)).sum()


def parts(z, y):
    p = np.exp(z) / np.exp(z).sum()
    return np.array([p[y], 1 - p[y]]), np.delete(p, y) / (1 - p[y])


@pytest.mark.parametrize(("alpha", "beta", "temperature"), [(1, 2, 4), (1, 0, 1), (0, 1, 1), (0.5, 8, 2)])
def test_it_is_the_formula(alpha, beta, temperature, nets):
    (student, teacher), batch = nets.pair(dtype=torch.float64), nets.batch()
    term = DKD(nets.student, nets.teacher, alpha=alpha, beta=beta, temperature=temperature)
    want = 0.0
    for s, t, y in zip(student.logits.numpy(), teacher.logits.numpy(), batch.labels.numpy(), strict=True):
        (s_label, s_rest), (t_label, t_rest) = parts(s / temperature, y), parts(t / temperature, y)
        want += temperature**2 / 5 * (alpha * divergence(t_label, s_label) + beta * divergence(t_rest, s_rest))
    assert term(student, teacher, batch).item() == pytest.approx(want, rel=1e-9)


def test_plain_distillation_is_its_case_of_beta_equal_to_what_the_teacher_leaves_the_others(nets):
    """For one image: KL = KL of the label + (1 - p_t(y)) KL of the rest."""
    (student, teacher), batch = nets.pair(1, dtype=torch.float64), nets.batch(1)
    left = 1 - torch.softmax(teacher.logits, dim=1)[0, batch.labels[0]].item()
    term = DKD(nets.student, nets.teacher, alpha=1.0, beta=left, temperature=1.0)
    torch.testing.assert_close(
        term(student, teacher, batch), KD(nets.student, nets.teacher, temperature=1.0)(student, teacher, batch)
    )


def test_the_labels_logit_does_not_affect_the_other_classes_part(nets):
    (student, teacher), batch = nets.pair(dtype=torch.float64), nets.batch()
    term = DKD(nets.student, nets.teacher, alpha=0.0)
    moved = replace(student, logits=student.logits + 7 * torch.nn.functional.one_hot(batch.labels, 8))
    torch.testing.assert_close(term(moved, teacher, batch), term(student, teacher, batch))


def test_networks_with_other_classes_are_refused(nets):
    with pytest.raises(RecipeError, match=r"dkd: compares logits .* the student has 8, the teacher 7"):
        DKD(nets.student, replace(nets.teacher, classes=7))


def test_it_agrees_with_the_authors_program(golden):
    golden.check("dkd_a1.0_b2.0_T4.0", DKD(*golden.specs(), alpha=1.0, beta=2.0, temperature=4.0), "logits")
