import numpy as np
import pytest
import torch

from dspkd.evaluate.unknown import energy, max_logit, separation


def test_energy_is_minus_the_soft_maximum(drawn):
    predictions = drawn(0)
    want = -2.5 * torch.logsumexp(torch.tensor(predictions.logits).double() / 2.5, dim=1)
    np.testing.assert_allclose(energy(predictions, temperature=2.5), want)


def test_cold_energy_is_the_largest_logit(drawn):
    predictions = drawn(0)
    np.testing.assert_allclose(energy(predictions, temperature=1e-3), max_logit(predictions), atol=0.01)
    np.testing.assert_array_equal(max_logit(predictions), -predictions.logits.max(axis=1))


def test_both_see_what_a_softmax_cannot(made):
    sure, lost = (made([0], [[level + 2.0, level]]) for level in (8.0, 0.0))
    assert sure.probabilities == pytest.approx(lost.probabilities)
    for score in (energy, max_logit):
        assert score(lost) > score(sure)


def test_separation_by_hand():
    got = separation(np.array([0.0, 1.0, 2.0, 6.0]), np.array([2.0, 3.0]))
    # pairs (unknown, known): 2 beats 0 and 1 and ties 2; 3 beats 0, 1, 2; both lose to 6
    assert got.auc == pytest.approx(5.5 / 8)
    assert got.false_alarms == pytest.approx(2 / 4)  # to catch both, 2 is asked for


def test_one_in_twenty_of_the_unknown_may_slip_through():
    unknown = np.array([-5.0, *range(10, 29)])
    assert separation(np.array([0.0, 11.0]), unknown).false_alarms == 0.5
    assert separation(np.array([0.0, 11.0]), unknown[:-1]).false_alarms == 1.0
