from dataclasses import replace

import numpy as np
import pytest
import torch

from dspkd.errors import RecipeError
from dspkd.methods.bkd import BKD
from dspkd.methods.kd import KD


def by_hand(s_BK, t_BK, counts, temperature, beta):
    weights = (1 - beta) / (1 - beta ** np.array(counts, dtype=float))
    total = 0.0
    for s, t in zip(s_BK / temperature, t_BK / temperature, strict=True):
        p, q = np.exp(s) / np.exp(s).sum(), weights * np.exp(t) / np.exp(t).sum()
        q /= q.sum()
        total += (q * np.log(q / p)).sum()
    return temperature**2 * total / len(s_BK)


@pytest.mark.parametrize(("temperature", "beta"), [(1.0, 0.0), (2.0, 0.9), (4.0, 0.9999)])
def test_it_is_the_formula(temperature, beta, nets):
    student, teacher = nets.pair(dtype=torch.float64)
    term = BKD(nets.student, nets.teacher, temperature=temperature, effective_beta=beta)
    want = by_hand(student.logits.numpy(), teacher.logits.numpy(), nets.student.class_counts, temperature, beta)
    # The logarithms of the weights are float32.
    assert term(student, teacher, nets.batch()).item() == pytest.approx(want, rel=1e-6)


@pytest.mark.parametrize(("temperature", "beta"), [(4.0, 0.9999), (2.0, 0.99)])
def test_it_agrees_with_the_authors_program(temperature, beta, golden_priors):
    student, teacher = golden_priors.specs()
    student = replace(student, class_counts=tuple(golden_priors["class_counts"].tolist()))
    term = BKD(student, teacher, temperature=temperature, effective_beta=beta)
    golden_priors.check(f"bkd_term_T{temperature}_beta{beta}", term, "logits", rtol=1e-6, atol=1e-6)


def test_equal_weights_are_plain_distillation(nets):
    pair = nets.pair(dtype=torch.float64)
    bkd, kd = BKD(nets.student, nets.teacher, effective_beta=0.0), KD(nets.student, nets.teacher, temperature=2.0)
    torch.testing.assert_close(bkd(*pair, nets.batch()), kd(*pair, nets.batch()), rtol=1e-6, atol=0)


def test_inverse_counts_are_a_teacher_corrected_by_its_prior_times_the_temperature(nets):
    """As beta goes to 1, w goes to 1 / N, and kd removes T log N from the teacher's logits."""
    pair = nets.pair(dtype=torch.float64)
    counts = nets.student.class_counts
    teacher = replace(nets.teacher, class_prior=tuple(count / sum(counts) for count in counts))
    bkd = BKD(nets.student, teacher, temperature=3.0, effective_beta=1 - 1e-12)
    kd = KD(nets.student, teacher, temperature=3.0, prior=3.0)
    torch.testing.assert_close(bkd(*pair, nets.batch()), kd(*pair, nets.batch()), rtol=1e-5, atol=0)


@pytest.mark.parametrize(
    ("counts", "message"), [((), "there is no training set"), ((4, 4, 4, 0, 4, 4, 4, 4), "of class 3; merge or drop")]
)
def test_unknown_and_empty_classes_are_refused(counts, message, nets):
    with pytest.raises(RecipeError, match=rf"bkd\.effective_beta = 0\.999: .*{message}"):
        BKD(replace(nets.student, class_counts=counts), nets.teacher)
