import json
import warnings
from dataclasses import asdict

import numpy as np
import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from sklearn import metrics as reference
from torchmetrics.functional.classification import multiclass_accuracy, multiclass_precision, multiclass_specificity

from dspkd.evaluation.metrics import DEFINITIONS, summarise
from dspkd.evaluation.predictions import Predictions

ISIC_2019 = (4522, 12875, 3323, 867, 2624, 239, 253, 628)  # MEL NV BCC AK BKL DF VASC SCC


def make(labels, logits, groups=None, names="ABCDEFGH"):
    logits = np.asarray(logits, dtype=np.float32)
    ids = tuple(f"image{n}" for n in range(len(labels)))
    return Predictions(
        classes=tuple(names[: logits.shape[1]]),
        ids=ids,
        groups=tuple(groups or ids),
        labels=np.asarray(labels),
        logits=logits,
    )


def one_hot(confusion):
    """Predictions with this confusion matrix: one-hot logits, every image its own group."""
    pairs = [(t, p) for t, row in enumerate(confusion) for p, count in enumerate(row) for _ in range(count)]
    return make([t for t, _ in pairs], np.eye(len(confusion))[[p for _, p in pairs]])


def drawn(seed, images, classes):
    generator = np.random.default_rng(seed)
    return make(generator.integers(classes, size=images), generator.normal(size=(images, classes)))


def test_a_confusion_matrix_worked_by_hand():
    # 20 images:  A 6 (5 right, 1 as B), B 10 (8 right, 2 as C), C 4 (1 right, 2 as A, 1 as B)
    got = summarise(one_hot([[5, 1, 0], [0, 8, 2], [2, 1, 1]]))
    assert got.confusion == ((5, 1, 0), (0, 8, 2), (2, 1, 1))
    assert got.accuracy == pytest.approx(14 / 20)
    a, b, c = got.per_class
    assert [(r.tp, r.fp, r.fn, r.tn) for r in (a, b, c)] == [(5, 2, 1, 12), (8, 2, 2, 8), (1, 2, 3, 14)]
    assert [r.precision for r in (a, b, c)] == pytest.approx([5 / 7, 8 / 10, 1 / 3])
    assert [r.recall for r in (a, b, c)] == pytest.approx([5 / 6, 8 / 10, 1 / 4])
    assert [r.specificity for r in (a, b, c)] == pytest.approx([12 / 14, 8 / 10, 14 / 16])
    assert [r.f1 for r in (a, b, c)] == pytest.approx([10 / 13, 16 / 20, 2 / 7])
    # of one-hot predictions the ROC curve has one corner: AUC = (recall + specificity) / 2
    assert [r.auc for r in (a, b, c)] == pytest.approx([(r.recall + r.specificity) / 2 for r in (a, b, c)])
    assert got.balanced_accuracy == pytest.approx((5 / 6 + 8 / 10 + 1 / 4) / 3)
    assert got.specificity_macro == pytest.approx((12 / 14 + 8 / 10 + 14 / 16) / 3)
    assert got.specificity_weighted == pytest.approx((6 * 12 / 14 + 10 * 8 / 10 + 4 * 14 / 16) / 20)
    assert got.precision_weighted == pytest.approx((6 * 5 / 7 + 10 * 8 / 10 + 4 / 3) / 20)
    assert got.recall_weighted == pytest.approx(got.accuracy)
    assert (got.tied, got.absent, got.undefined) == (0, (), ())


@pytest.mark.parametrize("seed", range(2))
def test_macro_and_weighted_means_are_torchmetrics(drawn, seed):
    predictions = drawn(seed, classes=5)
    got = summarise(predictions)
    predicted, labels = torch.tensor(predictions.predicted), torch.tensor(predictions.labels)
    for average in ("macro", "weighted"):
        for name, metric in (("specificity", multiclass_specificity), ("precision", multiclass_precision)):
            want = metric(predicted, labels, num_classes=5, average=average).item()
            assert getattr(got, f"{name}_{average}") == pytest.approx(want, abs=1e-6)
    assert got.balanced_accuracy == pytest.approx(
        multiclass_accuracy(predicted, labels, num_classes=5, average="macro").item(), abs=1e-6
    )


@pytest.mark.parametrize("classes", [2, 3, 8])
@pytest.mark.parametrize("seed", range(3))
def test_equals_scikit_learn(seed, classes):
    predictions = drawn(seed, 60, classes)
    got, labels, predicted = summarise(predictions), predictions.labels, predictions.predicted
    assert set(labels) == set(range(classes))
    for mean in ("macro", "weighted"):
        want = reference.precision_recall_fscore_support(labels, predicted, average=mean, zero_division=0)[:3]
        assert [getattr(got, f"{m}_{mean}") for m in ("precision", "recall", "f1")] == pytest.approx(want)
    assert got.confusion == tuple(map(tuple, reference.confusion_matrix(labels, predicted).tolist()))
    assert got.accuracy == pytest.approx(reference.accuracy_score(labels, predicted))
    assert got.balanced_accuracy == pytest.approx(reference.balanced_accuracy_score(labels, predicted))
    p = predictions.probabilities
    auc = reference.roc_auc_score(labels, p[:, 1] if classes == 2 else p, multi_class="ovr", average="macro")
    assert got.auc_macro == pytest.approx(auc)
    # specificity of a class is the recall of "any other class"
    for k, row in enumerate(got.per_class):
        assert row.specificity == pytest.approx(reference.recall_score(labels != k, predicted != k))


@given(
    st.integers(0, 2**32 - 1),
    st.integers(1, 40),
    st.integers(2, 6),
)
def test_balanced_accuracy_is_scikit_learns_even_where_classes_are_absent(seed, images, classes):
    predictions = drawn(seed, images, classes)
    with warnings.catch_warnings(action="ignore"):  # it warns of predictions that are no label, which is what is tested
        want = reference.balanced_accuracy_score(predictions.labels, predictions.predicted)
    assert summarise(predictions).balanced_accuracy == pytest.approx(want)


@given(st.integers(0, 2**32 - 1), st.integers(20, 60), st.integers(2, 6))
def test_macro_specificity_is_bounded_by_accuracy(seed, images, classes):
    predictions = drawn(seed, images, classes)
    got = summarise(predictions)
    assume(not got.absent)
    wrong = images * (1 - got.accuracy)
    others = [images - row.images for row in got.per_class]
    assert got.specificity_macro <= 1 - wrong / max(others) / classes + 1e-12
    assert got.specificity_macro >= 1 - wrong / min(others) / classes - 1e-12


@pytest.mark.parametrize(("magnet", "want"), [(1, 0.9628), (5, 0.9815)])
def test_at_85_percent_on_isic_2019_macro_specificity_lies_between_96_and_98_percent(magnet, want):
    # every error goes to the largest class (NV), the lower end, or to the smallest (DF), the upper end
    total = sum(ISIC_2019)
    wrong = round(total * (1 - 0.8537))
    confusion = np.diag(ISIC_2019)
    for giver in (c for c in (1, 0, 2, 4) if c != magnet):
        moved = min(wrong, confusion[giver, giver])
        confusion[giver, [giver, magnet]] += (-moved, moved)
        wrong -= moved
    got = summarise(one_hot(confusion.tolist()))
    assert got.accuracy == pytest.approx(0.8537, abs=1e-4)
    assert got.specificity_macro == pytest.approx(want, abs=1e-4)


def test_a_class_without_images_is_left_out_of_every_mean_and_named():
    got = summarise(one_hot([[3, 0, 1], [0, 2, 0], [0, 0, 0]]))
    assert got.absent == ("C",)
    assert got.balanced_accuracy == got.recall_macro == pytest.approx((3 / 4 + 1) / 2)
    assert got.precision_macro == pytest.approx(1.0)
    assert got.specificity_macro == pytest.approx(1.0)
    assert got.f1_macro == pytest.approx((6 / 7 + 1) / 2)
    assert got.per_class[2].auc is None
    assert got.undefined == ("recall of C", "auc of C")  # C was answered once, so its precision is 0/1
    assert got.auc_macro == pytest.approx(np.mean([row.auc for row in got.per_class[:2]]))


def test_constant_predictions_score_chance_and_every_0_over_0_is_listed():
    got = summarise(make([0, 0, 1, 2], np.tile([3.0, 2.0, 1.0], (4, 1))))
    assert got.accuracy == pytest.approx(1 / 2)
    assert got.balanced_accuracy == pytest.approx(1 / 3)
    assert [row.auc for row in got.per_class] == [0.5, 0.5, 0.5]
    assert [row.specificity for row in got.per_class] == [0, 1, 1]
    assert got.undefined == ("precision of B", "precision of C")
    assert got.tied == 0


def test_a_tie_counts_as_its_first_class_but_as_wrong_by_the_rule_of_isic():
    got = summarise(make([0, 0, 1, 1], [[1, 1], [2, 1], [5, 5], [0, 1]]))
    assert got.tied == 2
    assert got.balanced_accuracy == pytest.approx((2 / 2 + 1 / 2) / 2)
    assert got.balanced_accuracy_isic == pytest.approx((1 / 2 + 1 / 2) / 2)


def test_without_ties_the_rule_of_isic_changes_nothing():
    got = summarise(drawn(0, 50, 4))
    assert got.tied == 0
    assert got.balanced_accuracy_isic == got.balanced_accuracy


def test_one_class_alone():
    got = summarise(make([0, 0], [[1.0], [2.0]]))
    assert (got.accuracy, got.balanced_accuracy, got.f1_macro) == (1, 1, 1)
    assert got.auc_macro is None
    assert got.undefined == ("specificity of A", "auc of A")


def test_one_image():
    got = summarise(make([1], [[0.0, 1.0]]))
    assert (got.images, got.groups, got.accuracy, got.balanced_accuracy) == (1, 1, 1, 1)
    assert got.auc_macro is None
    assert got.absent == ("A",)


def test_groups_are_counted_once_in_each_class_they_occur_in():
    got = summarise(make([0, 0, 1, 1], np.eye(2)[[0, 0, 1, 1]], groups=["x", "x", "x", "y"]))
    assert got.groups == 2
    assert [row.groups for row in got.per_class] == [1, 2]
    assert [row.images for row in got.per_class] == [2, 2]


@settings(max_examples=20)
@given(st.permutations(range(30)))
def test_the_order_of_images_does_not_matter(order):
    whole = drawn(3, 30, 4)
    order = np.array(order)
    shuffled = make(whole.labels[order], whole.logits[order], groups=[whole.groups[n] for n in order])
    want, got = asdict(summarise(whole)), asdict(summarise(shuffled))
    assert json.dumps(got) == json.dumps(want)


def test_a_shift_of_an_images_logits_changes_nothing():
    whole = drawn(4, 30, 4)
    moved = make(whole.labels, whole.logits + np.arange(30, dtype=np.float32)[:, None])
    assert summarise(moved).auc_macro == pytest.approx(summarise(whole).auc_macro, abs=2e-3)  # float32 of 30 + x
    assert summarise(moved).confusion == summarise(whole).confusion


def test_every_number_has_a_definition():
    fields = asdict(summarise(drawn(0, 20, 3)))
    parts = {part for name in fields for part in ([name] if name in DEFINITIONS else name.rsplit("_", 1))}
    assert parts - set(DEFINITIONS) == {"images", "groups", "per", "class", "confusion", "absent"}
    assert {"precision", "recall", "specificity", "f1", "auc"} <= set(fields["per_class"][0]) & set(DEFINITIONS)


def test_images_without_an_id_and_copies_are_no_lesions():
    got = summarise(make([0, 0, 1, 1], np.eye(2)[[0, 0, 1, 1]], groups=["x", "image:b", "copies:c", "copies:c"]))
    assert (got.groups, [row.groups for row in got.per_class]) == (1, [1, 0])
