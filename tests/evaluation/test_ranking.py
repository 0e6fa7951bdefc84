import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import average_precision_score
from torchmetrics.functional.classification import binary_sensitivity_at_specificity

from dspkd.evaluation.intervals import resample
from dspkd.evaluation.metrics import summarise
from dspkd.evaluation.ranking import DEFINITIONS, Ranking, ranking


def with_scores(make, mine, others):
    """Predictions whose probability of the first class rises with these scores."""
    scores = np.array([*mine, *others])
    return make([0] * len(mine) + [1] * len(others), np.stack([scores, -scores], axis=1))


@pytest.mark.parametrize("seed", range(3))
def test_equals_scikit_learn_and_torchmetrics(drawn, seed):
    predictions = drawn(seed)
    for k, row in enumerate(ranking(predictions)):
        mine, p = predictions.labels == k, predictions.probabilities[:, k]
        assert row.average_precision == pytest.approx(average_precision_score(mine, p))
        want, _ = binary_sensitivity_at_specificity(torch.tensor(p), torch.tensor(mine).int(), min_specificity=0.9)
        assert row.sensitivity_at_90 == pytest.approx(want.item(), abs=1e-6)


def test_the_partial_area_is_worked_by_hand(make):
    # Falling: 4 of 5 found without a false alarm; two others (of 4); the fifth; the last two others.
    # ROC: (0, 0) ... (0, .8) (.25, .8) (.5, .8) (.5, 1) (.75, 1) (1, 1); above .8: .5 * .8 + .5 * 1
    (row, _) = ranking(with_scores(make, [9, 8, 7, 6, 3], [5, 4, 2, 1]))
    assert row.auc_above_80 == pytest.approx(0.9)
    assert row.sensitivity_at_90 == pytest.approx(0.8)


def test_the_curve_is_cut_inside_a_slope_of_ties(make):
    # Two of four found, then two tied with two of four others: from (0, .5) straight to (.5, 1).
    # It crosses .8 at (.3, .8): .2 * .9 + .5 * 1
    (row, _) = ranking(with_scores(make, [9, 8, 5, 5], [5, 5, 2, 1]))
    assert row.auc_above_80 == pytest.approx(0.68)


def test_perfect_and_guessing(make):
    (perfect, _) = ranking(with_scores(make, [3, 4], [1, 2]))
    assert (perfect.average_precision, perfect.auc_above_80, perfect.sensitivity_at_90) == (1, 1, 1)
    (guessing, _) = ranking(with_scores(make, [1, 1], [1, 1, 1]))
    assert guessing.auc_above_80 == pytest.approx(0.18)
    assert guessing.sensitivity_at_90 == 0


def test_exactly_a_tenth_of_the_others_may_be_wrong(make):
    (row, _) = ranking(with_scores(make, [9, 7], [8, *range(-9, 0)]))  # ten others, one above
    assert row.sensitivity_at_90 == 1


@given(st.integers(0, 2**32 - 1))
def test_the_part_lies_between_its_bounds(drawn, seed):
    predictions = drawn(seed % 1000, images=40, classes=3)
    for row, of_class in zip(ranking(predictions), summarise(predictions).per_class, strict=True):
        assert row.auc_above_80 <= of_class.auc + 1e-12  # the rest of the area is below sensitivity 0.8
        assert of_class.auc <= row.auc_above_80 + 0.8 * (1 - row.auc_above_80) + 1e-12


def test_without_images_of_both_kinds_there_is_no_number(one_hot):
    alone, *absent = ranking(one_hot([0, 0], [0, 1]))
    assert {alone, *absent} == {Ranking(name, None, None, None) for name in "ABC"}


def test_every_number_has_a_definition():
    assert {"name", *DEFINITIONS} == set(Ranking.__annotations__)


@pytest.mark.parametrize("shift", [3.3, -40.7])
def test_equal_answers_are_tied_whatever_their_logits_have_in_common(make, shift):
    labels = np.arange(80) % 2
    common = shift * np.random.default_rng(0).normal(size=(80, 1))
    run = make(labels, np.array([0.3, 1.1]) + common)
    assert len(np.unique(run.probabilities[:, 0])) > 1  # as float32 rounds them
    assert summarise(run).auc_macro == 0.5
    assert resample([run], ("auc_macro",), resamples=5)["auc_macro"].drawn == pytest.approx(0.5)
