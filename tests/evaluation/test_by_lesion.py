import numpy as np
import pytest

from dspkd.errors import DataError
from dspkd.evaluation.by_lesion import by_lesion, lesion_summary
from dspkd.evaluation.metrics import summarise


def test_a_lesion_has_the_mean_probability_of_its_images(made):
    logits = np.log([[0.9, 0.1], [0.2, 0.8], [0.6, 0.4], [0.4, 0.6]])
    got = by_lesion(made([0, 1, 0, 0], logits, groups=["x", "b", "x", "x"]))
    assert got.ids == got.groups == ("x", "b")
    assert got.labels.tolist() == [0, 1]
    assert got.probabilities == pytest.approx(np.array([[1.9 / 3, 1.1 / 3], [0.2, 0.8]]), rel=1e-6)


def test_single_images_stay_as_they_are(drawn):
    predictions = drawn(0, images_per_group=1)
    got = by_lesion(predictions)
    np.testing.assert_allclose(got.probabilities, predictions.probabilities, rtol=1e-5)
    assert summarise(got).confusion == summarise(predictions).confusion


def test_it_is_the_mean_whatever_the_order(drawn):
    predictions = drawn(1, images=120, images_per_group=3)
    got = by_lesion(predictions)
    for name, p in zip(got.ids, got.probabilities, strict=True):
        rows = [row for row, group in enumerate(predictions.groups) if group == name]
        assert p == pytest.approx(predictions.probabilities[rows].mean(axis=0), rel=1e-5)


def test_impossible_images_do_not_break_a_lesion(made):
    got = by_lesion(made([0, 0], [[1e5, -1e5], [1e5, -1e5]], groups=["x", "x"]))
    assert got.probabilities[0] == pytest.approx([1, 0])


def test_a_patient_with_several_classes_has_no_one_answer(made):
    with pytest.raises(DataError, match="group 'p' has images of several classes; figures by lesion need"):
        by_lesion(made([0, 0, 1], np.zeros((3, 2)), groups=["q", "p", "p"]))


def test_the_figures_by_lesion_are_none_where_a_group_has_several_classes(made):
    assert lesion_summary(made([0, 1], np.zeros((2, 2)), groups=["p", "p"])) is None
    # wrong as an image, right as a lesion: p of class 0 is (0.9 + 0.4) / 2
    got = lesion_summary(made([0, 0, 1], np.log([[0.9, 0.1], [0.4, 0.6], [0.3, 0.7]]), groups=["p", "p", "q"]))
    assert (got.images, got.accuracy, got.balanced_accuracy) == (2, 1, 1)
