from dataclasses import replace

import numpy as np
import pytest
import torch

from dspkd.errors import RecipeError
from dspkd.methods.cosine import Cosine


@pytest.mark.parametrize("margin", [0.0, 0.9])
def test_it_is_the_formula(margin, nets):
    student, teacher = nets.pair(dtype=torch.float64)
    term = Cosine(nets.student, nets.teacher, margin=margin).double()
    weight, bias = (p.detach().numpy() for p in term.map.parameters())
    losses = []
    for s, t in zip(student.pooled.numpy(), teacher.pooled.numpy(), strict=True):
        mapped = weight @ s + bias
        losses.append(max(0, 1 - margin - mapped @ t / (np.linalg.norm(mapped) * np.linalg.norm(t))))
    assert term(student, teacher, nets.batch()).item() == pytest.approx(np.mean(losses), rel=1e-10)


def test_the_length_of_the_teachers_vectors_does_not_matter(nets):
    student, teacher = nets.pair()
    term = Cosine(nets.student, nets.teacher)
    longer = replace(teacher, pooled=8 * teacher.pooled)
    torch.testing.assert_close(term(student, longer, nets.batch()), term(student, teacher, nets.batch()))


def test_a_margin_outside_its_range_is_refused(nets):
    with pytest.raises(RecipeError, match=r"cosine\.margin: should be less than 1, got 1.5"):
        Cosine(nets.student, nets.teacher, margin=1.5)
