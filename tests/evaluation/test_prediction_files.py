"""Prediction files of anyone's models."""

import csv

import numpy as np
import pytest

from dspkd.errors import DataError
from dspkd.evaluation.prediction_files import load_together

HEADER = ["image", "label", "prob_NV", "prob_MEL", "lesion_id"]
ROWS = [["a", "NV", "0.9", "0.1", "1"], ["b", "MEL", "0.25", "0.75", "1"], ["c", "NV", "1", "0", "2"]]


@pytest.fixture
def written(tmp_path):
    def write(name, header, rows):
        path = tmp_path / name
        with path.open("w", newline="") as file:
            csv.writer(file).writerows([header, *rows])
        return path

    return write


def test_probabilities_are_read_back_whatever_their_columns_are_called(written):
    (run,) = load_together([written("a.csv", HEADER, ROWS)])
    np.testing.assert_allclose(run.probabilities, [[0.9, 0.1], [0.25, 0.75], [1, 0]], atol=1e-6)
    assert (run.classes, run.ids, run.groups) == (("NV", "MEL"), ("a", "b", "c"), ("1", "1", "2"))
    assert run.labels.tolist() == [0, 1, 0]


def test_names_may_be_in_another_case(written):
    (run,) = load_together([written("a.csv", ["ID", "Label", "Probability_NV", "probability_MEL", "Group"], ROWS)])
    assert (run.classes, run.ids, run.groups) == (("NV", "MEL"), ("a", "b", "c"), ("1", "1", "2"))
    np.testing.assert_allclose(run.probabilities[1], [0.25, 0.75], atol=1e-6)


def test_our_own_file_is_read_as_it_is(drawn, tmp_path):
    run = drawn(0, images=20)
    run.save(tmp_path / "test.csv")
    (got,) = load_together([tmp_path / "test.csv"])
    np.testing.assert_array_equal(got.logits, run.logits)
    assert (got.ids, got.groups, got.classes) == (run.ids, run.groups, run.classes)


def test_another_order_of_images_and_classes_changes_nothing(written):
    first = written("a.csv", HEADER, ROWS)
    turned = [[image, label, q, p, lesion] for image, label, p, q, lesion in reversed(ROWS)]
    second = written("b.csv", ["id", "label", "prob_MEL", "prob_NV", "group"], turned)
    one, other = load_together([first, second])
    assert (one.ids, one.groups, one.classes) == (other.ids, other.groups, other.classes)
    np.testing.assert_array_equal(one.labels, other.labels)
    np.testing.assert_array_equal(one.logits, other.logits)


def test_groups_and_labels_come_from_the_metadata_where_the_file_lacks_them(written):
    scores = written("a.csv", ["id", "logit_NV", "logit_MEL"], [["b", "1", "2"], ["a", "3", "-4"]])
    metadata = written("meta.csv", ["isic_id", "patient_id", "label"], [["a", "p", "NV"], ["b", "q", "MEL"]])
    (run,) = load_together([scores], metadata)
    assert (run.groups, run.labels.tolist()) == (("q", "p"), [1, 0])


@pytest.mark.parametrize(
    ("header", "rows", "message"),
    [
        (HEADER[1:], [row[1:] for row in ROWS], r"a\.csv: no column id or image .* among label.*logit_<class>"),
        (["id", "label", "NV", "group"], [["a", "NV", "1", "1"]], r"no class scores among id, label, NV, group; exp"),
        (HEADER[:4], [row[:4] for row in ROWS], r"no column group or lesion_id .*--groups FILE with id"),
        (HEADER, [["a", "DF", "0.9", "0.1", "1"]], r"a\.csv, line 2: no class is called 'DF'"),
        (HEADER, [["a", "NV", "9", "0.1", "1"]], r"line 2: probabilities .* their sum is 9\.1; .*logit_<class>"),
        (HEADER, [["a", "NV", "1.1", "-0.1", "1"]], "probabilities must be at least 0"),
        (HEADER, [["a", "NV", "nan", "0.1", "1"]], "their sum is nan"),
        (HEADER, [["a", "NV", "x", "0.1", "1"]], r"line 2: prob_NV must be a number, got 'x'"),
        (HEADER, [["a", "NV", "0.9", "0.1", "1"]] * 2, "'a' is there a second time"),
        (HEADER, [["a", "NV", "0.9", "0.1", "nan"]], r"line 2: column 'lesion_id' is 'nan', which .*group is its id"),
    ],
)
def test_a_file_that_lacks_something_is_refused_with_its_remedy(written, header, rows, message):
    with pytest.raises(DataError, match=message):
        load_together([written("a.csv", header, rows)])


def test_files_about_other_images_or_classes_are_refused(written):
    first = written("a.csv", HEADER, ROWS)
    with pytest.raises(DataError, match=r"b\.csv: other images than .*a\.csv, such as 'c'"):
        load_together([first, written("b.csv", HEADER, ROWS[:2])])
    with pytest.raises(DataError, match=r"other classes than .* such as 'BCC'"):
        load_together([first, written("c.csv", ["image", "label", "prob_NV", "prob_BCC", "lesion_id"], ROWS[:1])])
    with pytest.raises(DataError, match=r"meta\.csv: 2 images of .* are missing, such as 'b'"):
        load_together([written("d.csv", HEADER[:4], [row[:4] for row in ROWS])],
                      written("meta.csv", ["id", "group"], [["a", "1"]]))  # fmt: skip
