import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dspkd.evaluation.selective import refer, risk_coverage, threshold_for


def confident(make, rows):
    """Predictions of two classes from (label, predicted, confidence)."""
    p = [[c, 1 - c] if predicted == 0 else [1 - c, c] for _, predicted, c in rows]
    return make([label for label, _, _ in rows], np.log(p))


ROWS = [(0, 0, 0.9), (0, 1, 0.8), (1, 1, 0.7), (0, 0, 0.6), (0, 1, 0.55)]


def test_risk_and_coverage_by_hand(make):
    coverage, risk = risk_coverage(confident(make, ROWS))
    assert coverage == pytest.approx([0.2, 0.4, 0.6, 0.8, 1.0])
    assert risk == pytest.approx([0, 1 / 2, 1 / 3, 1 / 4, 2 / 5])


def test_images_of_equal_confidence_enter_together(make):
    coverage, risk = risk_coverage(make([0, 1, 0, 1], [[2, 0], [2, 0], [0, 2], [5, 0]]))
    assert coverage == pytest.approx([0.25, 1])
    assert risk == pytest.approx([1, 3 / 4])


def test_risk_at_full_coverage_is_the_error_rate(drawn):
    predictions = drawn(0)
    coverage, risk = risk_coverage(predictions)
    assert coverage[-1] == 1
    assert risk[-1] == pytest.approx(np.mean(predictions.predicted != predictions.labels))
    assert (np.diff(coverage) > 0).all()


@pytest.mark.parametrize(
    ("sensitivity", "threshold", "answered", "missed"),
    [(0.5, 0.0, 1.0, 2), (0.75, 0.55, 0.8, 1), (1.0, 0.8, 0.2, 0)],  # of four images of class 0, two are missed
)
def test_the_threshold_is_just_above_the_mistakes_that_are_not_allowed(make, sensitivity, threshold, answered, missed):
    predictions = confident(make, ROWS)
    got = threshold_for(predictions, 0, sensitivity=sensitivity)
    assert got == pytest.approx(threshold, abs=1e-6)
    referral = refer(predictions, 0, got)
    assert referral.answered == pytest.approx(answered)
    assert 1 - referral.found - referral.referred == pytest.approx(missed / 4)


@given(st.integers(0, 500), st.sampled_from([0.7, 0.8, 0.9, 0.95, 1.0]), st.integers(0, 3))
def test_no_lower_threshold_finds_or_refers_enough(drawn, seed, sensitivity, number):
    predictions = drawn(seed, images=80)
    threshold = threshold_for(predictions, number, sensitivity=sensitivity)
    kept = refer(predictions, number, threshold)
    assert kept.found + kept.referred >= sensitivity - 1e-9
    confidence = predictions.probabilities.max(axis=1)
    for lower in confidence[confidence < threshold]:
        less = refer(predictions, number, lower)
        assert less.found + less.referred < sensitivity
