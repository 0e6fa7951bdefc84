"""Out-of-fold predictions: AUROC within folds, counts of all images, and the variance from fold to fold."""

from dataclasses import replace

import numpy as np
import pytest
from scipy import stats
from sklearn.metrics import balanced_accuracy_score

from dspkd.errors import DataError
from dspkd.evaluation.cross_validation import variance
from dspkd.evaluation.intervals import estimate, resample
from dspkd.evaluation.metrics import summarise
from dspkd.evaluation.prediction_files import load_together
from dspkd.evaluation.predictions import Predictions
from dspkd.evaluation.scoring import scorers
from dspkd.evaluation.significance import p_value, verdicts

F = 4


def out_of_fold(seed, gain=1.0, classes=3, images=160, sizes=None):
    """Return predictions of networks of F folds, each with a bias of its own; two images to a lesion."""
    generator = np.random.default_rng(seed)
    number = np.arange(images)
    labels = np.minimum(number // 2 % (classes + 2), classes - 1)  # the last class has most images
    folds = np.repeat(np.arange(F), sizes or [images // F] * F)
    logits = generator.normal(size=(images, classes)) + gain * np.eye(classes)[labels]
    logits += generator.normal(size=(F, classes))[folds]
    logits = np.round(logits, 1).astype(np.float32)  # so that there are ties
    names = tuple("ABCDE"[:classes])
    return Predictions(names, tuple(map(str, number)), tuple(str(n // 2) for n in number), labels, logits, folds)


def auc_by_hand(run, k, weights=None):
    """Return the share of pairs of images of one fold in which that of the class scores higher."""
    weights = np.ones(len(run)) if weights is None else weights
    won = pairs = 0.0
    p = run.probabilities[:, k]
    for i in np.flatnonzero(run.labels == k):
        for j in np.flatnonzero((run.labels != k) & (run.folds == run.folds[i])):
            pairs += weights[i] * weights[j]
            won += weights[i] * weights[j] * ((p[i] > p[j]) + (p[i] == p[j]) / 2)
    return won / pairs


@pytest.mark.parametrize("sizes", [None, [100, 20, 36, 4]])
def test_auroc_compares_images_of_one_fold_only(sizes):
    run = out_of_fold(0, sizes=sizes)
    by_hand = [auc_by_hand(run, k) for k in range(3)]
    assert [row.auc for row in summarise(run).per_class] == pytest.approx(by_hand)
    pooled = [row.auc for row in summarise(replace(run, folds=None)).per_class]
    assert max(abs(a - b) for a, b in zip(by_hand, pooled, strict=True)) > 0.01
    drawn = np.random.default_rng(1).integers(0, 3, size=(2, 80)).astype(np.float32)
    groups, by_metric = scorers([run], ("auc_macro",))
    order = [sorted(set(run.groups)).index(group) for group in run.groups]
    expected = [np.mean([auc_by_hand(run, k, times[order]) for k in range(3)]) for times in drawn]
    assert groups == 80
    assert by_metric["auc_macro"](drawn)[0] == pytest.approx(expected)


def test_what_differs_between_networks_does_not_change_auroc():
    run = out_of_fold(2, classes=2)
    untied = run.logits + np.random.default_rng(0).normal(size=run.logits.shape) / 1000  # rounding would break ties
    run = replace(run, logits=untied.astype(np.float32))
    bias = np.where(run.folds == 1, 3.0, 0.0)[:, None] * [1, -1]
    moved = replace(run, logits=(run.logits + bias).astype(np.float32))
    assert summarise(moved).auc_macro == pytest.approx(summarise(run).auc_macro)
    assert summarise(replace(moved, folds=None)).auc_macro < summarise(run).auc_macro - 0.02


def test_balanced_accuracy_and_log_loss_are_of_all_images_together():
    run = out_of_fold(3)
    whole = replace(run, folds=None)
    assert summarise(run).balanced_accuracy == balanced_accuracy_score(run.labels, run.predicted)
    assert summarise(run).log_loss == summarise(whole).log_loss
    scores, other = (resample([each], resamples=50) for each in (run, whole))
    for metric in ("balanced_accuracy", "log_loss", "f1_macro", "accuracy"):
        assert scores[metric].drawn.tolist() == other[metric].drawn.tolist()


def test_a_class_that_a_fold_lacks_is_compared_in_the_others():
    run = out_of_fold(4)
    rows = np.flatnonzero((run.labels != 2) | (run.folds != 0))
    fewer = run.take(rows)
    assert summarise(fewer).per_class[2].auc == pytest.approx(auc_by_hand(fewer, 2))
    without = resample([fewer], resamples=10)["auc_macro"].without
    assert np.isfinite(without).all()


def accuracies(run):
    """Return the accuracy of each fold."""
    return np.array([(run.predicted == run.labels)[run.folds == fold].mean() for fold in range(F)])


SHARED = (1 / F + 1 / (F - 1)) * F
"""How much larger the variance is than that of F independent networks."""


def test_accuracy_with_equal_folds_has_the_corrected_t_test_of_the_folds():
    """Pseudo-values of a mean over images are then the folds' own means. Source: Nadeau, Bengio, 2003."""
    one, other = out_of_fold(5, gain=1.5), out_of_fold(6, gain=0.5)
    scores = resample([one, other], ("accuracy",), resamples=200)["accuracy"]
    scores = replace(scores, drawn=np.repeat(scores.observed[:, None], 200, axis=1))  # leaves the folds alone
    difference = estimate(scores, [0], [1])
    by_fold = accuracies(one) - accuracies(other)
    t = by_fold.mean() / (by_fold.std(ddof=1) * (1 / F + 1 / (F - 1)) ** 0.5)
    assert difference.value / difference.error == pytest.approx(t)
    assert p_value(difference) == pytest.approx(2 * stats.t.sf(t, F - 1))
    assert p_value(difference) > stats.ttest_rel(accuracies(one), accuracies(other)).pvalue
    mean = estimate(scores, [0])
    assert mean.error == pytest.approx(stats.sem(accuracies(one)) * SHARED**0.5)
    assert mean.freedom == F - 1


def test_pooling_takes_the_interaction_of_methods_and_folds():
    table = np.random.default_rng(7).normal(size=(5, F))  # of methods and folds
    observed, without = table.mean(axis=1), (table.sum(axis=1, keepdims=True) - table) / (F - 1)
    arms, pool = [np.array([0]), np.array([1])], [[row] for row in range(5)]
    squares = sum(
        (table[a, f] - table[a].mean() - table[:, f].mean() + table.mean()) ** 2 for a in range(5) for f in range(F)
    )
    assert variance(observed, without, arms, pool) == (
        pytest.approx(2 * squares / (4 * (F - 1)) / F * SHARED),
        4 * (F - 1),
    )
    differences = table[0] - table[1]
    assert variance(observed, without, arms) == (pytest.approx(differences.var(ddof=1) / F * SHARED), F - 1)


def test_seeds_are_averaged_before_folds_are_compared():
    table = np.random.default_rng(8).normal(size=(6, F))  # two methods of three seeds
    observed, without = table.mean(axis=1), (table.sum(axis=1, keepdims=True) - table) / (F - 1)
    differences = table[:3].mean(axis=0) - table[3:].mean(axis=0)
    arms = [np.arange(3), np.arange(3, 6)]
    assert variance(observed, without, arms)[0] == pytest.approx(differences.var(ddof=1) / F * SHARED)


def test_one_seed_is_enough_for_a_verdict_and_lesions_bound_it():
    arms = {"good": [out_of_fold(9, gain=3.0)], "poor": [out_of_fold(10, gain=0.1)]}
    rows = verdicts(arms, resamples=300)
    assert {row.word for row in rows} == {"better"}
    assert all(row.minimum_detectable_difference > 0 and row.p < 0.05 for row in rows)
    scores = resample(arms["good"] + arms["poor"], ("accuracy",), resamples=300)["accuracy"]
    flat = replace(scores, without=np.repeat(scores.observed[:, None], F, axis=1))  # folds that do not differ
    lesions = np.std(scores.drawn[0] - scores.drawn[1], ddof=1)
    assert estimate(flat, [0], [1]).error == pytest.approx(lesions)
    assert estimate(flat, [0], [1]).freedom == np.inf


def test_other_folds_are_other_images():
    one, other = out_of_fold(0), out_of_fold(1)
    moved = replace(other, folds=(other.folds + 1) % F)
    for run in (moved, replace(other, folds=None)):
        with pytest.raises(DataError, match="folds differ"):
            verdicts({"a": [one], "b": [run]}, resamples=10)


def test_folds_are_joined_in_the_order_of_ids():
    run = out_of_fold(0)
    parts = [run.take(np.flatnonzero(run.folds == fold)) for fold in range(F)]
    joined = Predictions.of_folds([replace(part, folds=None) for part in parts])
    assert list(joined.ids) == sorted(run.ids)
    assert joined.logits.tolist() == run.of(joined.ids).logits.tolist()
    assert joined.folds.tolist() == run.of(joined.ids).folds.tolist()
    with pytest.raises(DataError, match="occurs twice"):
        Predictions.of_folds([parts[0], parts[0]])
    with pytest.raises(DataError, match="fold 1 has the classes A, B, X, fold 0 A, B, C"):
        Predictions.of_folds([parts[0], replace(parts[1], classes=("A", "B", "X"))])
    with pytest.raises(DataError, match="lesion or patient '0' is in two folds, 0 and 1"):
        replace(run, folds=np.arange(len(run)) % 2)
    with pytest.raises(DataError, match=r"folds \(3,\): lengths must agree"):
        replace(run, folds=np.zeros(3, np.int64))


def test_a_file_keeps_the_folds_and_referee_reads_them(tmp_path):
    run = out_of_fold(0)
    run.save(tmp_path / "a.csv")
    assert (tmp_path / "a.csv").read_text().startswith("id,group,label,fold,logit_A,logit_B,logit_C\n0,0,A,0,")
    for again in (Predictions.load(tmp_path / "a.csv"), load_together([tmp_path / "a.csv"])[0]):
        assert again.folds.tolist() == run.folds.tolist()
        assert again.logits.tolist() == run.logits.tolist()
    shuffled = run.take(np.random.default_rng(0).permutation(len(run)))
    shuffled.save(tmp_path / "b.csv")
    first, second = load_together([tmp_path / "a.csv", tmp_path / "b.csv"])
    assert second.folds.tolist() == first.folds.tolist()
    text = (tmp_path / "a.csv").read_text()
    (tmp_path / "a.csv").write_text(text.replace("0,0,A,0,", "0,0,A,first,", 1))
    for read in (Predictions.load, lambda path: load_together([path])):
        with pytest.raises(DataError, match="line 2: fold must be a whole number of at least 0, got 'first'"):
            read(tmp_path / "a.csv")
