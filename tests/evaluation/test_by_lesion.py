from dataclasses import replace

import numpy as np
import pytest

from dspkd.errors import DataError
from dspkd.evaluation.by_lesion import by_lesion, lesion_summary
from dspkd.evaluation.metrics import summarise


def test_a_lesion_has_the_mean_probability_of_its_images(make):
    logits = np.log([[0.9, 0.1], [0.2, 0.8], [0.6, 0.4], [0.4, 0.6]])
    got = by_lesion(make([0, 1, 0, 0], logits, groups=["x", "b", "x", "x"]))
    assert got.ids == got.groups == ("x", "b")
    assert got.labels.tolist() == [0, 1]
    assert got.probabilities == pytest.approx(np.array([[1.9 / 3, 1.1 / 3], [0.2, 0.8]]), rel=1e-6)


def test_single_images_stay_as_they_are(drawn):
    predictions = drawn(0, images_per_group=1)
    got = by_lesion(predictions)
    np.testing.assert_allclose(got.probabilities, predictions.probabilities, rtol=1e-5)
    assert summarise(got).confusion == summarise(predictions).confusion


def test_the_mean_does_not_depend_on_the_order(drawn):
    predictions = drawn(1, images=120, images_per_group=3)
    got = by_lesion(predictions)
    for name, p in zip(got.ids, got.probabilities, strict=True):
        rows = [row for row, group in enumerate(predictions.groups) if group == name]
        assert p == pytest.approx(predictions.probabilities[rows].mean(axis=0), rel=1e-5)


def test_extreme_logits_give_finite_probabilities(make):
    got = by_lesion(make([0, 0], [[1e5, -1e5], [1e5, -1e5]], groups=["x", "x"]))
    assert got.probabilities[0] == pytest.approx([1, 0])


def test_a_lesion_stays_in_its_fold(drawn):
    predictions = drawn(1, images=120, images_per_group=3)
    number = {name: n for n, name in enumerate(dict.fromkeys(predictions.groups))}
    fold_of = {name: n % 5 for name, n in number.items()}
    folded = replace(predictions, folds=np.array([fold_of[name] for name in predictions.groups]))
    got = by_lesion(folded)
    assert got.folds.tolist() == [fold_of[name] for name in got.ids]


def test_a_group_of_several_classes_is_refused(make):
    with pytest.raises(DataError, match="group 'p' has images of several classes"):
        by_lesion(make([0, 0, 1], np.zeros((3, 2)), groups=["q", "p", "p"]))


def test_the_summary_by_lesion_is_none_where_a_group_has_several_classes(make):
    assert lesion_summary(make([0, 1], np.zeros((2, 2)), groups=["p", "p"])) is None
    # wrong as an image, right as a lesion: p of class 0 is (0.9 + 0.4) / 2
    got = lesion_summary(make([0, 0, 1], np.log([[0.9, 0.1], [0.4, 0.6], [0.3, 0.7]]), groups=["p", "p", "q"]))
    assert (got.images, got.accuracy, got.balanced_accuracy) == (2, 1, 1)
