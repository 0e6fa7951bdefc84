import csv
from dataclasses import replace

import numpy as np
import pytest
from sklearn.metrics import average_precision_score, confusion_matrix, roc_auc_score

from dspkd.errors import DataError
from dspkd.evaluation.isic2019 import score, submit
from dspkd.evaluation.isic2019_submission import CATEGORIES


def test_a_probability_of_a_half_is_not_enough_and_nothing_over_nothing_is_one(make):
    # three classes; the third has no image and is never given
    p = np.array([[0.5, 0.3, 0.2], [0.6, 0.3, 0.1], [0.45, 0.4, 0.15], [0.3, 0.7, 0.0]]) + 1e-9
    got = score(make([0, 0, 1, 1], np.log(p / p.sum(axis=1, keepdims=True)) - 1e-6))
    # class A: TP 1, FP 0, FN 1, TN 2; class B: TP 1, FP 0, FN 1, TN 2; class C: TN 4, the rest 0
    assert got.sensitivity == pytest.approx((1 / 2 + 1 / 2 + 1) / 3)
    assert got.specificity == pytest.approx(1)
    assert got.ppv == pytest.approx(1)
    assert got.npv == pytest.approx((2 / 3 + 2 / 3 + 1) / 3)
    assert got.dice == pytest.approx((2 / 3 + 2 / 3 + 1) / 3)
    assert got.accuracy == pytest.approx((3 / 4 + 3 / 4 + 1) / 3)
    assert got.balanced_accuracy == pytest.approx((1 + 1 / 2) / 2)  # of classes with images, by the largest


def test_a_tied_maximum_is_wrong(make):
    got = score(make([0, 0, 1, 1], [[1, 1], [2, 1], [5, 5], [0, 1]]))
    assert got.balanced_accuracy == pytest.approx((1 / 2 + 1 / 2) / 2)
    assert got.sensitivity == 1 / 2  # of a probability of exactly a half, no class is given either


@pytest.mark.parametrize("seed", range(3))
def test_equals_scikit_learn_class_by_class(drawn, seed):
    predictions = drawn(seed, gain=2.0)
    got, p = score(predictions), predictions.probabilities
    tables = [confusion_matrix(predictions.labels == k, p[:, k] > 0.5).ravel() for k in range(4)]
    assert got.specificity == pytest.approx(np.mean([tn / (tn + fp) for tn, fp, _, _ in tables]))
    assert got.sensitivity == pytest.approx(np.mean([tp / (tp + fn) for _, _, fn, tp in tables]))
    assert got.ppv == pytest.approx(np.mean([tp / (tp + fp) for _, fp, _, tp in tables]))
    assert got.dice == pytest.approx(np.mean([2 * tp / (2 * tp + fp + fn) for _, fp, fn, tp in tables]))
    each = [(predictions.labels == k, p[:, k]) for k in range(4)]
    assert got.auc == pytest.approx(np.mean([roc_auc_score(*of) for of in each]))
    assert got.average_precision == pytest.approx(np.mean([average_precision_score(*of) for of in each]))


def test_one_class_alone_has_no_area(make):
    got = score(make([0, 0], [[1.0], [2.0]]))
    assert (got.auc, got.auc_above_80, got.average_precision) == (None, None, None)
    assert (got.specificity, got.npv) == (1, 1)


@pytest.fixture
def answered(make):
    predictions = make([0, 1, 1], [[0, 1, 2], [60, -60, 0], [-200, 200, 0]])
    ids = ("ISIC_0000001", "test/ISIC_0000002.jpg", "a/b/ISIC_3_downsampled")
    return replace(predictions, classes=("NV", "MEL", "SCC"), ids=ids)


def test_the_submission_file_has_the_format_of_the_challenge(answered, tmp_path):
    path = tmp_path / "deep" / "submission.csv"
    submit(answered, path)
    with path.open(newline="") as file:
        header, *rows = csv.reader(file)
    assert header == ["image", "MEL", "NV", "BCC", "AK", "BKL", "DF", "VASC", "SCC", "UNK"] == ["image", *CATEGORIES]
    assert [row[0] for row in rows] == ["ISIC_0000001", "ISIC_0000002", "ISIC_3_downsampled"]
    written = np.array([[float(value) for value in row[1:]] for row in rows])
    p = answered.probabilities
    np.testing.assert_array_equal(written[:, [1, 0, 7]], p)  # every bit of it
    assert written[:, [2, 3, 4, 5, 6, 8]].max() == 0
    assert ((written >= 0) & (written <= 1)).all()
    assert all("." in value or "e" in value for row in rows for value in row[1:])  # a column of integers is refused
    assert list(path.parent.iterdir()) == [path]


def test_a_class_that_the_challenge_lacks_is_refused(answered, tmp_path):
    with pytest.raises(DataError, match=r"no class ROS, ACNE, only MEL, NV, .*UNK"):
        submit(replace(answered, classes=("ROS", "MEL", "ACNE")), tmp_path / "submission.csv")
    with pytest.raises(DataError, match="2 images have the name 'x'"):
        submit(replace(answered, ids=("a/x.jpg", "b/x.jpg", "y")), tmp_path / "submission.csv")
    assert not list(tmp_path.iterdir())
