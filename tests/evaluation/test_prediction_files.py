"""Prediction files of anyone's models."""

import csv
import re

import numpy as np
import pytest
from sklearn.metrics import average_precision_score, roc_auc_score

from dspkd.errors import DataError
from dspkd.evaluation.intervals import resample
from dspkd.evaluation.metrics import summarise
from dspkd.evaluation.prediction_files import load_together
from dspkd.evaluation.ranking import ranking

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
    np.testing.assert_allclose(run.probabilities, [[0.1, 0.9], [0.75, 0.25], [0, 1]], atol=1e-6)
    assert (run.classes, run.ids, run.groups) == (("MEL", "NV"), ("a", "b", "c"), ("1", "1", "2"))
    assert run.labels.tolist() == [1, 0, 1]


def test_names_may_be_in_another_case(written):
    (run,) = load_together([written("a.csv", ["ID", "Label", "Probability_NV", "probability_MEL", "Group"], ROWS)])
    assert (run.classes, run.ids, run.groups) == (("MEL", "NV"), ("a", "b", "c"), ("1", "1", "2"))
    np.testing.assert_allclose(run.probabilities[1], [0.75, 0.25], atol=1e-6)


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


def test_a_tie_goes_to_the_same_class_whatever_the_order_of_columns_in_the_first_file(written):
    tied = [["a", "NV", "0.5", "0.5", "1"], ["b", "MEL", "0.5", "0.5", "1"], ["c", "NV", "0.8", "0.2", "2"]]
    turned = [[image, label, q, p, lesion] for image, label, p, q, lesion in tied]
    first = written("a.csv", HEADER, tied)
    second = written("b.csv", ["id", "label", "prob_MEL", "prob_NV", "group"], turned)
    for files in ([first, second], [second, first]):
        assert [summarise(run).accuracy for run in load_together(files)] == [pytest.approx(2 / 3)] * 2


def test_decimal_commas_are_read_where_no_score_has_a_point(written):
    path = written("a.csv", [";".join(HEADER)], [])
    path.write_text(path.read_text() + "".join(f"{';'.join(row).replace('.', ',')}\n" for row in ROWS))
    (run,) = load_together([path])
    np.testing.assert_allclose(run.written, [[0.1, 0.9], [0.75, 0.25], [0, 1]])
    with pytest.raises(DataError, match=r"line 2: prob_NV must be a number, got '0,9'"):
        load_together([written("b.csv", HEADER, [["a", "NV", "0,9", "0.1", "1"]])])


@pytest.mark.parametrize(("decimals", "total", "read"), [(2, 0.82, True), (6, 0.95, False), (3, 0.98, True)])
def test_probabilities_sum_to_1_but_for_what_rounding_to_their_decimals_explains(written, decimals, total, read):
    names = [f"prob_{k:02d}" for k in range(40)]
    rest = [f"{cell:.{decimals}f}" for cell in (total - 0.4 - 3e-5, 0.4 + 3e-5, *[0.0] * 38)]
    path = written("a.csv", ["id", "label", "group", *names], [["a", "00", "1", *rest], ["b", "01", "2", *rest]])
    if read:
        np.testing.assert_allclose(load_together([path])[0].probabilities[:, 1], 0.4 / total, rtol=1e-3)
    else:
        with pytest.raises(DataError, match=r"their sum is 0\.95; add the column of a class that is left out"):
            load_together([path])


def test_groups_and_labels_come_from_the_metadata_where_the_file_lacks_them(written):
    scores = written("a.csv", ["id", "logit_NV", "logit_MEL"], [["b", "1", "2"], ["a", "3", "-4"]])
    metadata = written("meta.csv", ["isic_id", "patient_id", "label"], [["a", "p", "NV"], ["b", "q", "MEL"]])
    (run,) = load_together([scores], metadata)
    assert (run.groups, run.labels.tolist()) == (("q", "p"), [0, 1])


@pytest.mark.parametrize(
    ("header", "rows", "message"),
    [
        (HEADER[1:], [row[1:] for row in ROWS], r"a\.csv: no column id or image .* among label.*logit_<class>"),
        (["id", "label", "NV", "group"], [["a", "NV", "1", "1"]], r"no class scores among id, label, NV, group; exp"),
        (HEADER[:4], [row[:4] for row in ROWS], r"no column group or patient_id .*--groups FILE with id"),
        (HEADER, [["a", "DF", "0.9", "0.1", "1"]], r"a\.csv, line 2: no class is called 'DF'"),
        (HEADER, [["a", "NV", "9", "0.1", "1"]], r"line 2: probabilities .* their sum is 9\.1; .*logit_<class>"),
        (HEADER, [["a", "NV", "97", "3", "1"]], r"line 2: .* their sum is 100; divide percentages by 100$"),
        (
            ["id", "label", "logit_A", "logit_B", "group"],
            [["a", "A", "0.9", "0.1", "1"], ["b", "B", "0", "1", "2"]],
            r"a\.csv: the columns logit_<class> hold probabilities, .* sum to 1; call the columns prob_<class>",
        ),
        (
            ["id", "label", "logit_A", "logit_B", "group"],
            [["a", "A", "97", "3", "1"], ["b", "B", "40", "61", "2"]],
            r"hold percentages, .* sum to 100; divide them by 100 and call the columns prob_<class>",
        ),
        (HEADER, [["a", "NV", "1.1", "-0.1", "1"]], "probabilities must be at least 0"),
        (HEADER, [["a", "NV", "nan", "0.1", "1"]], "line 2: prob_NV must be finite, also in float32, got 'nan'"),
        (["id", "label", "logit_A", "group"], [["a", "A", "1e39", "1"]], "line 2: logit_A must be finite.* got '1e39'"),
        (HEADER, [["a", "NV", "0.9", "0.1", "anonymous"]], "'anonymous', which names no lesion or patient"),
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
    with pytest.raises(DataError, match=r"^[^:]*meta\.csv: has no row for 2 of 3 images of .*, such as 'b'"):
        load_together([written("d.csv", HEADER[:4], [row[:4] for row in ROWS])],
                      written("meta.csv", ["id", "group"], [["a", "1"]]))  # fmt: skip


SCORES = ["id", "label", "logit_A", "logit_B"]
IMAGES = [["a", "A", "3", "-4"], ["b", "B", "1", "2"]]


@pytest.mark.parametrize(
    ("columns", "cells", "groups", "line"),
    [
        (
            ["lesion_id", "patient_id"],
            ["l1", "p", "l2", "p"],
            ("p", "p"),
            "'patient_id' of .*meta.csv, not 'lesion_id'",
        ),
        (["Patient_ID", "group"], ["p", "g1", "p", "g2"], ("g1", "g2"), "'group' of .*meta.csv, not 'Patient_ID'"),
        (
            ["patient_id", "lesion_id"],
            ["p", "l1", "", "l2"],
            ("l1", "l2"),
            "'lesion_id' of .*meta.csv, not 'patient_id'",
        ),
        (["lesion_id"], ["l", "l"], ("l", "l"), "'lesion_id' of .*meta.csv"),
        (["sex"], ["f", "m"], ("own a", "own b"), "'group'$"),
    ],
)
def test_a_patient_comes_before_a_lesion_and_the_groups_option_before_the_files(written, columns, cells, groups, line):
    half = len(cells) // 2
    metadata = written(
        "meta.csv", ["id", *columns], [["a", *cells[:half]], ["b", *cells[half:]], ["other", *[""] * half]]
    )
    own = written("a.csv", [*SCORES, "group"], [[*row, f"own {row[0]}"] for row in IMAGES])
    lines = []
    first, second = load_together([own, own], metadata, lines.append)
    assert first.groups == second.groups == groups
    (printed,) = lines
    assert re.search(f"column {line}", printed)
    assert ("'group' of the prediction files" in printed) == (groups[0] != "own a")


@pytest.mark.parametrize(
    ("cell", "other", "place", "message"),
    [(4, "7.0", "image 'b'", "'7' and '7.0'.*name the same"), (1, "A", "image 'b'", "'B' and 'A'.*same true class")],
)
def test_files_that_differ_in_an_image_are_refused_with_its_name_and_both_values(written, cell, other, place, message):
    rows = [[*row, "7"] for row in IMAGES]
    changed = [rows[0], [*rows[1][:cell], other, *rows[1][cell + 1 :]]]
    files = [written(f"{name}.csv", [*SCORES, "group"], each) for name, each in (("one", rows), ("two", changed))]
    with pytest.raises(DataError, match=rf"two\.csv against .*one\.csv: the runs' .*{place}: {message}"):
        load_together(files)


@pytest.fixture
def votes(written):
    """Write the shares that an ensemble of so many networks votes for each of three classes."""

    def write(networks, form="{:.1f}"):
        generator = np.random.default_rng(networks)
        labels = generator.integers(3, size=120)
        votes_NK = np.stack([generator.multinomial(networks, 0.2 + 0.4 * np.eye(3)[label]) for label in labels])
        rows = [
            [f"i{n}", "ABC"[labels[n]], *map(form.format, votes_NK[n] / networks), f"g{n}"] for n in range(len(labels))
        ]
        return written("votes.csv", ["id", "label", "prob_A", "prob_B", "prob_C", "group"], rows)

    return write


@pytest.mark.parametrize(("networks", "form"), [(5, "{:.1f}"), (7, "{:.3f}"), (3, "{:.3f}"), (1, "{:.0f}")])
def test_tied_probabilities_are_ranked_as_they_are_written(votes, networks, form):
    """The sums of some rows differ from 1, and rows have different numbers of zeros: dividing by either parts ties."""
    (run,) = load_together([votes(networks, form)])
    want = [roc_auc_score(run.labels == k, run.written[:, k]) for k in range(3)]
    assert [row.auc for row in summarise(run).per_class] == pytest.approx(want, abs=1e-12)
    assert resample([run], ("auc_macro",), resamples=2)["auc_macro"].observed[0] == pytest.approx(np.mean(want))
    want = [average_precision_score(run.labels == k, run.written[:, k]) for k in range(3)]
    assert [row.average_precision for row in ranking(run)] == pytest.approx(want, abs=1e-12)


def test_a_probability_of_0_of_the_true_class_leaves_log_loss_undefined_and_nothing_else(votes):
    (run,) = load_together([votes(3, "{:.3f}")])
    summary, scores = summarise(run), resample([run], resamples=5)
    assert np.isnan([summary.log_loss, *scores["log_loss"].observed]).all()
    assert np.isfinite([summary.accuracy, summary.auc_macro, *scores["f1_macro"].observed]).all()
    positive = run.take(np.flatnonzero(run.written[np.arange(len(run)), run.labels] > 0))
    assert np.isfinite(summarise(positive).log_loss)
