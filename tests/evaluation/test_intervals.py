from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from sklearn.metrics import accuracy_score, balanced_accuracy_score, f1_score, log_loss, roc_auc_score

from dspkd.errors import DataError
from dspkd.evaluation.intervals import Scores, estimate, percentiles, resample, resample_f1
from dspkd.evaluation.metrics import summarise
from dspkd.evaluation.predictions import Predictions
from dspkd.evaluation.scoring import METRICS, scorers
from dspkd.evaluation.shares import wilson


@pytest.fixture(scope="module")
def runs(drawn):
    return [drawn(seed, images=60, classes=3) for seed in range(2)]


def test_observed_scores_are_those_of_the_summary(runs):
    scores = resample(runs, resamples=3)
    for metric in METRICS:
        assert scores[metric].observed == pytest.approx([getattr(summarise(run), metric) for run in runs], rel=1e-6)
        assert scores[metric].drawn.shape == (2, 3)


def test_a_resample_is_scored_as_if_its_images_were_listed(runs):
    """The same groups drawn again by hand, their images listed, and scored by scikit-learn."""
    scores = resample(runs, resamples=20, seed=5)
    names = np.unique(runs[0].groups)
    picked = np.random.default_rng(5).integers(len(names), size=(20, len(names)))
    for s, groups in enumerate(picked):
        images = np.concatenate([np.flatnonzero(np.array(runs[0].groups) == names[g]) for g in groups])
        for r, run in enumerate(runs):
            labels, predicted = run.labels[images], run.predicted[images]
            p, present = run.probabilities[images], np.unique(labels)
            want = (
                np.mean([roc_auc_score(labels == k, p[:, k]) for k in present]),
                balanced_accuracy_score(labels, predicted),
                log_loss(labels, p, labels=[0, 1, 2], sample_weight=1 / np.bincount(labels)[labels]),
                f1_score(labels, predicted, average="macro", labels=np.unique(labels)),
                accuracy_score(labels, predicted),
            )
            assert [scores[metric].drawn[r, s] for metric in METRICS] == pytest.approx(want, rel=1e-6)


def test_resamples_do_not_depend_on_the_chunk_size(runs, monkeypatch):
    whole = resample(runs, resamples=50)
    monkeypatch.setattr("dspkd.evaluation.intervals._WEIGHTS_AT_ONCE", 7 * 30)
    parts = resample(runs, resamples=50)
    for metric in METRICS:
        np.testing.assert_allclose(parts[metric].drawn, whole[metric].drawn, rtol=1e-12)  # sums of log losses round


def test_a_class_that_a_resample_lacks_is_left_out(one_hot):
    scores = resample([one_hot([0, 0, 0, 1], [0, 0, 0, 1])], resamples=200)
    assert set(scores["balanced_accuracy"].drawn[0]) == {1.0}  # and not 0.5 where class 1 was not drawn
    assert set(scores["f1_macro"].drawn[0]) == {1.0}
    np.testing.assert_allclose(scores["log_loss"].drawn, np.log(1 + 2 * np.exp(-1)))  # that of every image


def test_the_spread_of_accuracy_over_single_images_is_binomial(drawn):
    run = drawn(0, images=400, images_per_group=1)
    scores = resample([run], resamples=4000)["accuracy"]
    share = scores.observed[0]
    assert scores.drawn.std() == pytest.approx(np.sqrt(share * (1 - share) / 400), rel=0.05)


def test_images_seen_twice_are_not_twice_the_evidence(drawn):
    run = drawn(0, images=200, images_per_group=1)
    twice = [np.repeat(np.arange(200), 2)][0]
    double = replace(
        run,
        ids=tuple(f"copy{n}" for n in range(400)),
        groups=tuple(run.groups[n] for n in twice),
        labels=run.labels[twice],
        logits=run.logits[twice],
    )
    once, again = (resample([each], resamples=500)["balanced_accuracy"] for each in (run, double))
    np.testing.assert_allclose(again.drawn, once.drawn, rtol=1e-12)


def test_runs_share_their_resamples_so_equal_runs_never_differ(runs):
    scores = resample([runs[0], runs[1], runs[0]], resamples=100)["f1_macro"]
    np.testing.assert_array_equal(scores.drawn[0], scores.drawn[2])
    assert estimate(scores, [0], [2]).error == 0
    paired, apart = estimate(scores, [0], [1]).error, np.hypot(*scores.drawn[:2].std(axis=1, ddof=1))
    assert paired != pytest.approx(apart, rel=1e-3)


def test_percentiles_are_the_middle_of_the_resamples():
    scores = Scores(np.array([0.5]), np.linspace(0, 1, 1001)[None])
    assert percentiles(scores) == pytest.approx((0.025, 0.975))


def scores_of(observed, common, own):
    """Scores whose resamples move all runs together by `common` and each by its `own`."""
    generator = np.random.default_rng(1)
    shared = common * generator.normal(size=200_000)
    return Scores(np.array(observed), shared + own * generator.normal(size=(len(observed), 200_000)))


def test_without_lesion_variance_it_is_welchs_test_over_seeds():
    one, other = [0.61, 0.64, 0.62, 0.66], [0.60, 0.59, 0.605]
    got = estimate(scores_of(one + other, common=0.05, own=0), [0, 1, 2, 3], [4, 5, 6])
    want = stats.ttest_ind(one, other, equal_var=False).confidence_interval()
    assert (got.low, got.high) == pytest.approx(tuple(want), rel=1e-6)
    assert got.value == pytest.approx(np.mean(one) - np.mean(other))


def test_without_seed_variance_the_lesions_decide():
    got = estimate(scores_of([0.6] * 4, common=0, own=0.02), [0, 1], [2, 3])
    assert got.error == pytest.approx(0.02, rel=0.02)  # two arms of two: 0.02^2 (1/2 + 1/2)
    assert (got.low, got.high) == pytest.approx((-0.0392, 0.0392), rel=0.02)
    assert got.seeds == 0


def test_the_variance_shared_by_seeds_and_lesions_is_counted_once():
    """Of one arm: variance of common part + variance over seeds / n, though resamples show each run's own part too."""
    observed = [0.58, 0.60, 0.62, 0.64, 0.56]
    got = estimate(scores_of(observed, common=0.02, own=0.02), range(5))
    assert got.error**2 == pytest.approx(0.02**2 + np.var(observed, ddof=1) / 5, rel=0.02)
    assert got.seeds == pytest.approx(np.std(observed, ddof=1) / np.sqrt(5))


def test_a_single_run_borrows_the_others_spread_and_two_have_none():
    scores = scores_of([0.60, 0.62, 0.64, 0.65], common=0.01, own=0)
    got = estimate(scores, [3], [0, 1, 2])
    assert got.seeds == pytest.approx(0.02 * np.sqrt(1 + 1 / 3))
    assert got.freedom == pytest.approx(2)
    assert estimate(scores, [0, 1, 2], [3]).seeds == pytest.approx(got.seeds)
    assert estimate(scores, [0], [3]).seeds is None
    assert estimate(scores, [0]).seeds is None


@settings(max_examples=25)
@given(st.integers(0, 2**32 - 1), st.integers(1, 4), st.integers(1, 4))
def test_an_interval_turns_with_its_difference_and_is_never_narrower_than_lesions_make_it(seed, ones, others):
    generator = np.random.default_rng(seed)
    scores = Scores(generator.random(ones + others), generator.random((ones + others, 50)))
    one, other = range(ones), range(ones, ones + others)
    got, rotated = estimate(scores, one, other), estimate(scores, other, one)
    assert (got.low, got.high) == pytest.approx((-rotated.high, -rotated.low))
    spread = (scores.drawn[one].mean(axis=0) - scores.drawn[other].mean(axis=0)).std(ddof=1)
    assert got.high - got.value >= 1.9599 * spread


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"ids": lambda run: run.ids[::-1]}, r"the runs' ids differ \('image0' and .*same images"),
        (
            {"groups": lambda run: run.groups[::-1]},
            r"the runs' groups differ \(image 'image0': '0' and '29'\); .*spelled",
        ),
        ({"labels": lambda run: run.labels[::-1]}, r"the runs' labels differ \(image 'image\d+': '.' and '.'\)"),
        ({"classes": lambda run: run.classes[::-1]}, r"the runs' classes differ \('A' and 'C'\)"),
    ],
)
def test_runs_on_other_images_are_refused(runs, changes, message):
    other = replace(runs[1], **{name: change(runs[1]) for name, change in changes.items()})
    with pytest.raises(DataError, match=message):
        resample([runs[0], other])


def test_no_run_is_refused():
    with pytest.raises(DataError, match="nothing to resample"):
        resample([])


def test_f1_of_each_class_is_that_of_scikit_learn_and_its_mean_is_macro_f1():
    generator = np.random.default_rng(5)
    labels = generator.integers(3, size=60)
    runs = [
        Predictions(
            ("A", "B", "C", "unseen"),
            tuple(f"i{n}" for n in range(60)),
            tuple(f"g{n // 3}" for n in range(60)),
            labels,
            generator.normal(size=(60, 4)).astype(np.float32),
        )
        for _ in range(2)
    ]
    by_class, whole = resample_f1(runs, resamples=50), resample(runs, resamples=50)
    assert list(by_class) == ["A", "B", "C"]
    for place, run in enumerate(runs):
        expected = f1_score(run.labels, run.predicted, labels=[0, 1, 2], average=None)
        np.testing.assert_allclose([scores.observed[place] for scores in by_class.values()], expected)
    together = np.mean([scores.drawn for scores in by_class.values()], axis=0)
    np.testing.assert_allclose(together, whole["f1_macro"].drawn)


def test_an_f1_of_0_or_1_has_an_interval_with_a_width():
    labels = np.arange(60) // 20
    logits = np.eye(3, dtype=np.float32)[np.where(labels == 2, 1, labels)]
    ids = tuple(f"i{n}" for n in range(60))
    scores = resample_f1([Predictions(("A", "B", "C"), ids, ids, labels, logits)], resamples=50)
    assert percentiles(scores["A"]) == pytest.approx(wilson(20, np.ones(20)))
    assert percentiles(scores["C"]) == pytest.approx(wilson(0, np.ones(20)))


def test_pooled_variance_is_obuchowski_and_rocketts_but_for_the_lesions_of_a_pair(shared):
    """The golden lesion part is the mean over pairs, ours each pair's own: the squared errors agree in the mean."""
    golden = np.load(shared / "golden/losses2.npz")
    theta, cov = golden["or_theta"].ravel(), golden["or_cov"]
    root = np.linalg.cholesky(cov)
    normal = np.random.default_rng(0).normal(size=(12, 4000))
    normal -= normal.mean(axis=1, keepdims=True)
    normal = np.linalg.solve(np.linalg.cholesky(np.cov(normal)), normal)  # of covariance 1 exactly
    scores, arms = Scores(theta, root @ normal), [range(4), range(4, 8), range(8, 12)]
    pairs = [(arms[0], arms[1]), (arms[0], arms[2]), (arms[1], arms[2])]
    got = [estimate(scores, *pair, pool=arms) for pair in pairs]
    seeds = 2 * golden["or_nested__ms"] / 4
    lesions = golden["or_nested__se"] ** 2 - seeds
    floors = [np.var(scores.drawn[one].mean(0) - scores.drawn[other].mean(0), ddof=1) for one, other in pairs]
    assert np.mean(floors) == pytest.approx(golden["or_nested__floor"] ** 2)
    own_R = [np.var(scores.drawn[rows] - scores.drawn[rows].mean(0), axis=1, ddof=1).sum() / 12 for rows in arms]
    parts = [floor - own_R[arms.index(a)] - own_R[arms.index(b)] for floor, (a, b) in zip(floors, pairs, strict=True)]
    assert np.mean(parts) == pytest.approx(lesions)
    for each, floor, part in zip(got, floors, parts, strict=True):
        both = max(0, part) + seeds
        variances = [(floor, np.inf), (both, both**2 / (seeds**2 / 9))]
        assert each.high - each.value == pytest.approx(max(np.sqrt(v) * stats.t.ppf(0.975, nu) for v, nu in variances))
        assert each.seeds**2 == pytest.approx(seeds)


def test_a_pool_of_two_equal_arms_is_the_pair_itself_and_a_wide_third_widens_it():
    scores = scores_of([0.60, 0.62, 0.64, 0.66, 0.68, 0.70, 0.2, 0.5, 0.8], common=0.001, own=0)
    one, other, wild = range(3), range(3, 6), range(6, 9)
    own, pooled = estimate(scores, one, other), estimate(scores, one, other, pool=[one, other])
    assert (pooled.low, pooled.high, pooled.freedom) == pytest.approx((own.low, own.high, own.freedom))
    three = estimate(scores, one, other, pool=[one, other, wild])
    assert three.seeds**2 == pytest.approx((0.02**2 + 0.02**2 + 0.3**2) / 3 * 2 / 3)
    assert three.freedom == pytest.approx(6, rel=1e-3)


def test_weighted_auroc_and_log_loss_are_the_golden_ones(shared):
    golden = np.load(shared / "golden/losses2.npz")
    labels, names, classes = golden["stat_labels"], tuple("ABCD"), range(4)
    lesions, first = np.unique(golden["stat_lesion"], return_index=True)
    weights = golden["stat_weights"][first][None].astype(np.float32)  # those of a lesion's images are equal
    ids, groups = tuple(map(str, range(60))), tuple(f"{lesion:03d}" for lesion in golden["stat_lesion"])
    order = np.argsort([f"{lesion:03d}" for lesion in lesions])
    run = Predictions(names, ids, groups, labels, golden["stat_logp"].astype(np.float32))
    _, by_metric = scorers([run], ("auc_macro", "log_loss"))
    assert by_metric["log_loss"](weights[:, order])[0, 0] == pytest.approx(
        np.nanmean(golden["stat_class_log_loss_weighted"]), rel=1e-6
    )
    ranked = Predictions(names, ids, groups, labels, golden["stat_scores"].astype(np.float32))
    got = [_of_class_auroc(golden["stat_scores"], labels, golden["stat_weights"], k) for k in classes]
    assert got == pytest.approx(golden["stat_auroc_weighted"])  # the definition, pair by pair
    p = ranked.probabilities
    want = np.mean([_of_class_auroc(p, labels, golden["stat_weights"], k) for k in classes])
    assert scorers([ranked], ("auc_macro",))[1]["auc_macro"](weights[:, order])[0, 0] == pytest.approx(want)


def _of_class_auroc(scores, labels, weights, k):
    mine, others = labels == k, labels != k
    won = np.sign(scores[mine, k][:, None] - scores[others, k]) / 2 + 0.5
    pairs = weights[mine][:, None] * weights[others]
    return (pairs * won).sum() / pairs.sum()


def test_auroc_of_a_resample_of_one_class_is_the_observed_one_and_of_images_of_one_class_nan(one_hot):
    scores = resample([one_hot([0, 0, 0, 1], [0, 0, 1, 1])], resamples=200)["auc_macro"]
    assert not np.isnan(scores.drawn).any()
    assert scores.observed[0] in scores.drawn[0]
    assert np.isnan(resample([one_hot([0, 0], [0, 0])], resamples=5)["auc_macro"].observed).all()


def test_tied_scores_count_half(one_hot):
    run = one_hot([0, 0, 1, 1, 2, 2, 2], [0, 1, 1, 0, 2, 0, 1])
    assert resample([run], ("auc_macro",), resamples=2)["auc_macro"].observed[0] == pytest.approx(
        np.mean([roc_auc_score(run.labels == k, run.probabilities[:, k]) for k in range(3)])
    )
