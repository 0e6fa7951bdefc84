from dataclasses import replace

import numpy as np
import pytest
import torch

from dspkd.errors import RecipeError
from dspkd.methods.kd import KD
from dspkd.methods.ltkd import LTKD, _groups

GROUPS = [[1, 0, 2], [4, 3], [7, 6, 5]]
"""Classes of (40, 120, 30, 8, 24, 3, 4, 6) images, 3, 2 and 3 from many to few."""


def softmax(z_BK, temperature):
    z_BK = z_BK / temperature
    return np.exp(z_BK) / np.exp(z_BK).sum(1, keepdims=True)


def by_hand(s_BK, t_BK, temperature, cross, within, shares):
    p_BK, q_BK = softmax(s_BK, temperature), softmax(t_BK, temperature)
    sums = [q_BK[:, group].sum() for group in GROUPS]
    total = 0.0
    for p, q in zip(p_BK, q_BK, strict=True):
        p_G, q_G = (np.array([x[group].sum() for group in GROUPS]) for x in (p, q))
        balanced = np.array(shares) / sums * q_G
        balanced /= balanced.sum()
        total += cross * (balanced * np.log(balanced / p_G)).sum()
        for share, group, of_s, of_t in zip(shares, GROUPS, p_G, q_G, strict=True):
            inner_s, inner_t = p[group] / of_s, q[group] / of_t
            total += within * share * (inner_t * np.log(inner_t / inner_s)).sum()
    return temperature**2 * total / len(s_BK)


@pytest.mark.parametrize(("target", "shares"), [("groups", [1 / 3, 1 / 3, 1 / 3]), ("classes", [3 / 8, 2 / 8, 3 / 8])])
@pytest.mark.parametrize(("temperature", "cross", "within"), [(4.0, 1.0, 1.0), (1.0, 0.5, 3.0), (2.0, 0.0, 1.0)])
def test_it_is_the_formula(temperature, cross, within, target, shares, nets):
    student, teacher = nets.pair(dtype=torch.float64)
    term = LTKD(nets.student, nets.teacher, temperature=temperature, cross=cross, within=within, target=target)
    want = by_hand(student.logits.numpy(), teacher.logits.numpy(), temperature, cross, within, shares)
    # The logarithms of the target shares are float32.
    assert term(student, teacher, nets.batch()).item() == pytest.approx(want, rel=1e-6)


@pytest.mark.parametrize(
    ("case", "options"),
    [
        ("groups_T4.0_a1.0_b1.0", {"target": "groups"}),
        ("classes_T4.0_a1.0_b1.0", {}),
        ("groups_T1.0_a1.0_b3.0", {"target": "groups", "temperature": 1.0, "within": 3.0}),
    ],
)
def test_it_agrees_with_an_independent_program(case, options, golden_priors):
    student, teacher = golden_priors.specs()
    student = replace(student, class_counts=tuple(golden_priors["class_counts"].tolist()))
    golden_priors.check(f"ltkd_{case}", LTKD(student, teacher, **options), "logits", rtol=1e-6, atol=1e-6)


def test_for_one_image_balancing_makes_the_target_the_shares_whatever_the_teacher_predicts(nets):
    student, teacher = nets.pair(1, dtype=torch.float64)
    p_K = torch.softmax(student.logits[0] / 4, dim=0)
    p_G = torch.stack([p_K[group].sum() for group in GROUPS])
    u_G = torch.tensor([3 / 8, 2 / 8, 3 / 8], dtype=torch.float64)
    want = 16 * (u_G * (u_G / p_G).log()).sum().item()
    term = LTKD(nets.student, nets.teacher, within=0.0)
    assert term(student, teacher, nets.batch(1)).item() == pytest.approx(want, rel=1e-6)


def test_where_the_teacher_has_the_target_shares_everywhere_it_is_plain_distillation(nets):
    student, teacher = nets.pair(dtype=torch.float64)
    log_p_BK = teacher.logits.log_softmax(dim=1)
    for share, group in zip((3 / 8, 2 / 8, 3 / 8), GROUPS, strict=True):
        log_p_BK[:, group] += np.log(share) - log_p_BK[:, group].logsumexp(dim=1, keepdim=True)
    balanced = replace(teacher, logits=log_p_BK)
    ltkd, kd = (of(nets.student, nets.teacher, temperature=1.0) for of in (LTKD, KD))
    got, want = (term(student, balanced, nets.batch()) for term in (ltkd, kd))
    torch.testing.assert_close(got, want, rtol=1e-6, atol=0)


def test_the_gradient_is_the_closed_form(nets):
    """(T / B) (cross p~ (P_s - hat P) + within w (p~_s - p~_t)), for class c of group G."""
    (student, teacher), T = nets.pair(dtype=torch.float64), 2.0
    s_BK = student.logits.requires_grad_()
    LTKD(nets.student, nets.teacher, temperature=T, within=3.0)(student, teacher, nets.batch()).backward()
    p_BK, q_BK = softmax(s_BK.detach().numpy(), T), softmax(teacher.logits.numpy(), T)
    p_BG, q_BG = (np.stack([x[:, group].sum(1) for group in GROUPS], 1) for x in (p_BK, q_BK))
    shares = np.array([3, 2, 3]) / 8
    hat_BG = shares / q_BG.sum(0) * q_BG
    hat_BG /= hat_BG.sum(1, keepdims=True)
    want = np.zeros_like(p_BK)
    for g, group in enumerate(GROUPS):
        inner_s, inner_t = p_BK[:, group] / p_BG[:, [g]], q_BK[:, group] / q_BG[:, [g]]
        want[:, group] = T / 5 * (inner_s * (p_BG - hat_BG)[:, [g]] + 3 * shares[g] * (inner_s - inner_t))
    np.testing.assert_allclose(s_BK.grad.numpy(), want, atol=1e-7)


def test_renumbering_the_classes_does_not_change_it(nets):
    student, teacher = nets.pair(dtype=torch.float64)
    order = torch.randperm(8)
    counts = tuple(nets.student.class_counts[c] for c in order)
    renumbered = LTKD(replace(nets.student, class_counts=counts), nets.teacher)
    there = (replace(output, logits=output.logits[:, order]) for output in (student, teacher))
    here = LTKD(nets.student, nets.teacher)(student, teacher, nets.batch())
    torch.testing.assert_close(renumbered(*there, nets.batch()), here)


@pytest.mark.parametrize("classes", [2, 3])
def test_few_classes_are_groups_of_their_own(classes, nets):
    """Then nothing is within a group, and the target is the teacher with equal sums over the batch."""
    counts = (5, 9, 2)[:classes]
    specs = [replace(spec, classes=classes, class_counts=counts) for spec in (nets.student, nets.teacher)]
    student, teacher = (replace(x, logits=x.logits[:, :classes]) for x in nets.pair(dtype=torch.float64))
    q_BK = torch.softmax(teacher.logits / 4, dim=1)
    corrected = replace(teacher, logits=teacher.logits - 4 * q_BK.sum(dim=0).log())
    got, want = LTKD(*specs)(student, teacher, nets.batch()), KD(*specs)(student, corrected, nets.batch())
    torch.testing.assert_close(got, want, rtol=1e-6, atol=0)


def test_groups_are_cut_at_a_third_and_two_thirds_of_the_classes():
    assert [len(group) for group in _groups(range(10))] == [3, 4, 3]
    assert _groups((5, 9, 9)) == [[1], [2], [0]]


def test_a_teacher_certain_of_one_group_leaves_it_finite(nets):
    student, teacher = nets.pair()
    certain = replace(teacher, logits=torch.nn.functional.one_hot(torch.ones(5).long(), 8) * 1000.0)
    assert LTKD(nets.student, nets.teacher)(student, certain, nets.batch()).isfinite()


def test_it_needs_the_training_images(nets):
    with pytest.raises(RecipeError, match=r"ltkd: needs the training images per class, and there is no training set"):
        LTKD(replace(nets.student, class_counts=()), nets.teacher)
