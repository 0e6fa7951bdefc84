import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy.special import softmax
from sklearn.metrics import brier_score_loss, log_loss
from torchmetrics.classification import BinaryCalibrationError, MulticlassCalibrationError

from dspkd.evaluation.calibration import (
    BINS,
    DEFINITIONS,
    Calibration,
    _bins,
    calibration,
    reliability,
    scaled,
    temperature,
)
from dspkd.evaluation.metrics import summarise


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("classes", [2, 5])
def test_equals_torchmetrics_and_scikit_learn(drawn, seed, classes):
    predictions = drawn(seed, classes=classes, gain=2.0)
    got, p = calibration(predictions), predictions.probabilities
    p_t, labels_t = torch.tensor(p), torch.tensor(predictions.labels)
    assert got.ece == pytest.approx(MulticlassCalibrationError(classes, n_bins=BINS)(p_t, labels_t).item(), rel=1e-5)
    by_class = [BinaryCalibrationError(n_bins=BINS)(p_t[:, k], (labels_t == k).int()).item() for k in range(classes)]
    assert got.classwise_ece == pytest.approx(np.mean(by_class), rel=1e-5)
    truth = predictions.labels
    assert got.brier == pytest.approx(brier_score_loss(truth, p, labels=range(classes), scale_by_half=False))
    assert got.log_loss == pytest.approx(log_loss(truth, p))


def test_worked_by_hand(make):
    # probability 0.8 for the first of two classes, right in 3 of 5; 0.55 for the second, right in 1 of 2
    logits = np.log([[0.8, 0.2]] * 5 + [[0.45, 0.55]] * 2)
    got = calibration(make([0, 0, 0, 1, 1, 1, 0], logits))
    assert got.ece == pytest.approx((5 * 0.2 + 2 * 0.05) / 7)
    assert got.classwise_ece == pytest.approx((5 * 0.2 + 2 * 0.05) / 7)
    assert got.brier == pytest.approx((3 * 2 * 0.2**2 + 2 * 2 * 0.8**2 + 2 * 0.45**2 + 2 * 0.55**2) / 7)


def test_bins_are_closed_above_and_the_first_one_below():
    assert _bins(np.array([0.0, 1e-9, 1 / 15, 1 / 15 + 1e-9, 1.0])).tolist() == [0, 0, 0, 1, 14]


def test_the_bins_of_the_reliability_diagram_add_up_to_the_ece(drawn):
    predictions = drawn(1)
    bins = reliability(predictions)
    gap = sum(row.images * abs(row.confidence - row.accuracy) for row in bins) / len(predictions)
    assert gap == pytest.approx(calibration(predictions).ece)
    assert sum(row.images * row.accuracy for row in bins) / len(predictions) == pytest.approx(
        summarise(predictions).accuracy
    )


@given(true=st.floats(0.2, 5.0))
def test_the_temperature_that_scaled_the_logits_is_recovered(make, true):
    generator = np.random.default_rng(0)
    honest = 2 * generator.normal(size=(4000, 3))
    labels = (softmax(honest, axis=1).cumsum(axis=1) < generator.random((4000, 1))).sum(axis=1)
    assert temperature(make(labels, true * honest)) == pytest.approx(true, rel=0.05)


def test_no_other_temperature_has_less_loss_and_no_prediction_changes(drawn):
    predictions = drawn(2, gain=3.0)
    fitted = temperature(predictions)
    best = calibration(scaled(predictions, fitted)).log_loss
    for other in (0.05, 0.9 * fitted, 1.1 * fitted, 20.0):
        assert calibration(scaled(predictions, other)).log_loss > best
    assert summarise(scaled(predictions, fitted)).confusion == summarise(predictions).confusion


@pytest.mark.parametrize(("wrong", "least"), [(0, 1.0), (9, 1.0), (10, 0.05)])
def test_few_errors_do_not_sharpen_probabilities(make, wrong, least):
    labels = np.arange(300) % 3
    logits_NK = 0.5 * np.eye(3)[labels]  # right, and far from certain
    logits_NK[:wrong] = 0.5 * np.eye(3)[(labels[:wrong] + 1) % 3]
    fitted = temperature(make(labels, logits_NK))
    assert fitted == 1.0 if least == 1 else least < fitted < 1


def test_certain_predictions_have_the_extreme_values(make):
    right = make([0, 1], [[1e4, 0], [0, 1e4]])
    assert calibration(right) == Calibration(0, 0, 0, 0)
    wrong = make([1, 0], [[1e4, 0], [0, 1e4]])
    assert calibration(wrong) == Calibration(1, 1, 2, 1e4)


def test_every_number_has_a_definition():
    assert set(DEFINITIONS) == set(Calibration.__annotations__)
