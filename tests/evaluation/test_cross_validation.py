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
    assert variance(observed, without[:, None], arms, pool) == (
        pytest.approx(2 * squares / (4 * (F - 1)) / F * SHARED),
        4 * (F - 1),
    )
    differences = table[0] - table[1]
    assert variance(observed, without[:, None], arms) == (pytest.approx(differences.var(ddof=1) / F * SHARED), F - 1)


def test_seeds_are_averaged_before_folds_are_compared():
    table = np.random.default_rng(8).normal(size=(6, F))  # two methods of three seeds
    observed, without = table.mean(axis=1), (table.sum(axis=1, keepdims=True) - table) / (F - 1)
    differences = table[:3].mean(axis=0) - table[3:].mean(axis=0)
    arms = [np.arange(3), np.arange(3, 6)]
    assert variance(observed, without[:, None], arms)[0] == pytest.approx(differences.var(ddof=1) / F * SHARED)


def test_one_seed_is_enough_for_a_verdict_and_lesions_bound_it():
    arms = {"good": [out_of_fold(9, gain=3.0)], "poor": [out_of_fold(10, gain=0.1)]}
    rows = verdicts(arms, resamples=300)
    assert {row.word for row in rows} == {"better"}
    assert all(row.minimum_detectable_difference > 0 and row.p < 0.05 for row in rows)
    scores = resample(arms["good"] + arms["poor"], ("accuracy",), resamples=300)["accuracy"]
    flat = replace(scores, without=np.repeat(scores.observed[:, None, None], F, axis=2))  # folds that do not differ
    lesions = np.std(scores.drawn[0] - scores.drawn[1], ddof=1)
    assert estimate(flat, [0], [1]).error == pytest.approx(lesions)
    assert estimate(flat, [0], [1]).freedom == np.inf


def test_what_folds_are_called_does_not_count():
    one, other = out_of_fold(0), out_of_fold(1)
    moved = replace(other, folds=(other.folds + 1) % F)
    assert verdicts({"a": [one], "b": [moved]}, resamples=50) == verdicts({"a": [one], "b": [other]}, resamples=50)


def divided_again(run, seed):
    """Return the run with the folds of another division, in equal parts by lesion."""
    order = np.random.default_rng(seed).permutation(len(run) // 2) % F
    return replace(run, folds=np.repeat(order, 2))


def test_methods_need_the_same_folds():
    one, other = out_of_fold(0), out_of_fold(1)
    with pytest.raises(DataError, match="folds differ"):
        verdicts({"a": [one], "b": [replace(other, folds=None)]}, resamples=10)
    with pytest.raises(DataError, match="a: the images are divided into folds in 2 ways, of which it has 1, 0 runs"):
        verdicts({"a": [one], "b": [divided_again(other, 0)]}, resamples=10)
    with pytest.raises(DataError, match="the runs have 4 and 2 folds"):
        verdicts({"a": [one], "b": [replace(other, folds=other.folds // 2)]}, resamples=10)
    several = {name: [run, divided_again(run, 0)] for name, run in (("a", one), ("b", other))}
    with pytest.raises(DataError, match=r"c: the images are divided into folds in 2 ways, of which it has \d, \d runs"):
        verdicts(several | {"c": [*several["b"], several["b"][0]]}, resamples=10)


def test_repeated_folds_add_degrees_of_freedom_and_do_not_shrink_the_correction():
    arms = [
        [run, divided_again(replace(run, logits=again.logits), 0)]
        for run, again in ((out_of_fold(a, gain), out_of_fold(b, gain)) for a, b, gain in ((5, 8, 1.5), (6, 9, 0.5)))
    ]
    runs = [arms[1][0], arms[0][0], arms[0][1], arms[1][1]]  # the divisions in no order
    scores = resample(runs, ("accuracy",), resamples=200)["accuracy"]
    scores = replace(scores, drawn=np.repeat(scores.observed[:, None], 200, axis=1))
    difference = estimate(scores, [1, 2], [0, 3])
    by_fold = np.concatenate([accuracies(one) - accuracies(other) for one, other in zip(*arms, strict=True)])
    error = by_fold.std(ddof=1) * (1 / F + 1 / (F - 1)) ** 0.5
    assert difference.value == pytest.approx(by_fold.mean())
    assert difference.error == pytest.approx(error)
    assert difference.freedom == 2 * F - 1
    assert p_value(difference) == pytest.approx(2 * stats.t.sf(abs(by_fold.mean()) / error, 2 * F - 1))
    one_division = estimate(scores, [1], [0])
    assert one_division.freedom == F - 1


def test_auroc_of_each_division_is_within_its_own_folds():
    run = out_of_fold(3)
    again = divided_again(run, 1)
    both, alone = (resample(each, ("auc_macro",), resamples=20)["auc_macro"] for each in ([run, again], [again]))
    assert both.observed[1] == alone.observed[0] != both.observed[0]
    assert both.drawn[1].tolist() == alone.drawn[0].tolist()
    assert sorted(both.without[1][~np.isnan(both.without[1])]) == sorted(alone.without[0].ravel())


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


def test_folds_of_one_class_each_have_no_auroc_and_other_verdicts():
    run, other = (replace(out_of_fold(seed), folds=out_of_fold(seed).labels) for seed in (0, 1))
    metrics = {row.metric for row in verdicts({"a": [run], "b": [other]}, resamples=50)}
    assert "auc_macro" not in metrics
    assert "balanced_accuracy" in metrics
    assert np.isnan(estimate(resample([run], ("auc_macro",), resamples=50)["auc_macro"], [0]).value)
