from dataclasses import replace

import numpy as np
import pytest
import torch

from dspkd.errors import RecipeError
from dspkd.methods.dist import DIST


def probabilities(z_BK, temperature):
    return np.exp(z_BK / temperature) / np.exp(z_BK / temperature).sum(axis=1, keepdims=True)


@pytest.mark.parametrize(("inter", "intra", "temperature"), [(1, 1, 1), (2, 0, 1), (0, 3, 1), (1, 2, 4)])
def test_it_is_the_formula(inter, intra, temperature, nets):
    student, teacher = nets.pair(dtype=torch.float64)
    term = DIST(nets.student, nets.teacher, inter=inter, intra=intra, temperature=temperature)
    s, t = (probabilities(x.logits.numpy(), temperature) for x in (student, teacher))
    rows = np.mean([np.corrcoef(s[b], t[b])[0, 1] for b in range(5)])
    columns = np.mean([np.corrcoef(s[:, k], t[:, k])[0, 1] for k in range(8)])
    want = temperature**2 * (inter * (1 - rows) + intra * (1 - columns))
    # 1e-8 in the denominator, beside norms of 0.01 and more.
    assert term(student, teacher, nets.batch()).item() == pytest.approx(want, rel=1e-3)


def test_it_is_zero_where_the_networks_agree(nets):
    student, teacher = nets.pair(dtype=torch.float64)
    agreed = replace(student, logits=teacher.logits + 3)
    assert DIST(nets.student, nets.teacher)(agreed, teacher, nets.batch()).item() == pytest.approx(0, abs=1e-4)


def test_one_image_has_no_spread_along_the_batch(nets):
    student, teacher = nets.pair(1)
    assert DIST(nets.student, nets.teacher, inter=0.0)(student, teacher, nets.batch(1)).item() == 1


def test_networks_with_other_classes_are_refused(nets):
    with pytest.raises(RecipeError, match=r"dist: compares logits .* the student has 8, the teacher 7"):
        DIST(nets.student, replace(nets.teacher, classes=7))


def test_it_agrees_with_a_published_program(golden):
    golden.check("dist", DIST(*golden.specs()), "logits")
