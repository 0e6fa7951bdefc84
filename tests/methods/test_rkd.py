from dataclasses import replace
from itertools import product

import numpy as np
import pytest
import torch

from dspkd.methods.rkd import RKD


def bent(x):
    return 0.5 * x**2 if abs(x) < 1 else abs(x) - 0.5


def relative_distances(x_BD):
    distance = np.array([[np.linalg.norm(a - b) for b in x_BD] for a in x_BD])
    return distance / distance[distance > 0].mean()


def cosine(a, at, b):
    u, v = a - at, b - at
    lengths = np.linalg.norm(u) * np.linalg.norm(v)
    return (u * v).sum() / lengths if lengths else 0.0


def by_hand(s, t, distance, angle):
    pairs = np.mean([bent(d) for d in (relative_distances(s) - relative_distances(t)).ravel()])
    triples = product(range(len(s)), repeat=3)
    corners = np.mean([bent(cosine(s[i], s[j], s[k]) - cosine(t[i], t[j], t[k])) for i, j, k in triples])
    return distance * pairs + angle * corners


@pytest.mark.parametrize(("distance", "angle"), [(25.0, 50.0), (1.0, 0.0), (0.0, 1.0)])
def test_it_is_the_formula(distance, angle, nets):
    student, teacher = nets.pair(dtype=torch.float64)
    loss = RKD(nets.student, nets.teacher, distance=distance, angle=angle)(student, teacher, nets.batch())
    want = by_hand(student.pooled.numpy(), teacher.pooled.numpy(), distance, angle)
    assert loss.item() == pytest.approx(want, rel=1e-9)


def test_translation_rotation_and_scale_of_all_vectors_do_not_matter(nets):
    student, teacher = nets.pair(dtype=torch.float64)
    term = RKD(nets.student, nets.teacher)
    turn, _ = torch.linalg.qr(torch.randn(7, 7, dtype=torch.float64))
    moved = replace(student, pooled=3 * student.pooled @ turn + 5)
    torch.testing.assert_close(term(moved, teacher, nets.batch()), term(student, teacher, nets.batch()))
    assert term(moved, student, nets.batch()).item() == pytest.approx(0, abs=1e-12)


def test_one_image_has_no_relations(nets):
    student, teacher = nets.pair(1)
    assert RKD(nets.student, nets.teacher)(student, teacher, nets.batch(1)).item() == 0


def test_two_images_in_one_place_leave_the_gradient_finite(nets):
    student, teacher = nets.pair()
    s_BD = student.pooled[[0, 0, 1, 2, 3]].clone().requires_grad_()
    RKD(nets.student, nets.teacher)(replace(student, pooled=s_BD), teacher, nets.batch()).backward()
    assert s_BD.grad.isfinite().all()


@pytest.mark.parametrize(("case", "weights"), [("rkd_distance", (1.0, 0.0)), ("rkd_angle", (0.0, 1.0))])
def test_it_agrees_with_published_programs(case, weights, golden):
    golden.check(case, RKD(*golden.specs(), distance=weights[0], angle=weights[1]), "pooled")
