from dataclasses import replace

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy.special import rel_entr, softmax
from scipy.stats import zscore

from dspkd.errors import RecipeError
from dspkd.methods.logit_standardisation import LogitStandardisation
from dspkd.methods.normkd import NormKD


@pytest.mark.parametrize("temperature", [0.5, 2.0, 10.0])
def test_it_is_the_formula(temperature, nets):
    student, teacher = nets.pair(dtype=torch.float64)
    p, q = (softmax(zscore(x.logits.numpy(), axis=1, ddof=1) / temperature, axis=1) for x in (student, teacher))
    loss = LogitStandardisation(nets.student, nets.teacher, temperature=temperature)(student, teacher, nets.batch())
    # 1e-7 beside standard deviations of some 3.
    assert loss.item() == pytest.approx(temperature**2 * rel_entr(q, p).sum() / 5, rel=1e-6)


@given(gain=st.floats(0.01, 100), shift=st.floats(-100, 100))
def test_gain_and_shift_of_either_networks_logits_do_not_matter(nets, gain, shift):
    student, teacher = nets.pair(dtype=torch.float64)
    term = LogitStandardisation(nets.student, nets.teacher)
    moved = [replace(x, logits=gain * x.logits + shift) for x in (student, teacher)]
    want = term(student, teacher, nets.batch())
    torch.testing.assert_close(term(moved[0], teacher, nets.batch()), want, rtol=1e-4, atol=1e-6)
    torch.testing.assert_close(term(student, moved[1], nets.batch()), want, rtol=1e-4, atol=1e-6)


def test_it_is_normkd_where_the_teachers_spread_is_one(nets):
    student, teacher = nets.pair(dtype=torch.float64)
    level = replace(teacher, logits=teacher.logits / teacher.logits.std(dim=1, keepdim=True))
    losses = [
        LogitStandardisation(nets.student, nets.teacher, temperature=1.5)(student, level, nets.batch()),
        NormKD(nets.student, nets.teacher, t_norm=1.5)(student, level, nets.batch()),
    ]
    torch.testing.assert_close(*losses, rtol=1e-5, atol=0)


def test_networks_with_other_classes_are_refused(nets):
    with pytest.raises(RecipeError, match=r"logit_standardisation: compares logits .* student has 8, the teacher 7"):
        LogitStandardisation(nets.student, replace(nets.teacher, classes=7))


def test_it_agrees_with_the_authors_formula(golden):
    golden.check("logit_standardisation", LogitStandardisation(*golden.specs(), temperature=2.0), "logits")
