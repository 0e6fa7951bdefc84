import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from dspkd.evaluation.intervals import Estimate, Scores
from dspkd.evaluation.scoring import METRICS
from dspkd.evaluation.significance import LEVEL, holm, minimum_detectable_difference, of_scores, p_value, verdicts


def estimated(value, error=0.01, freedom=10.0):
    reach = error * stats.t.ppf(0.975, freedom)
    return Estimate(value, value - reach, value + reach, error, freedom, seeds=0.0)


@pytest.fixture(scope="module")
def arms(drawn):
    """A good recipe, a poor one, one equal to the good one, and one with a single run."""
    gains = {"good": (2.0, 0, 3), "poor": (0.5, 10, 3), "equal": (2.0, 20, 3), "lone": (2.0, 30, 1)}
    return {name: [drawn(first + n, gain=gain) for n in range(runs)] for name, (gain, first, runs) in gains.items()}


@pytest.fixture(scope="module")
def results(arms):
    return {(v.one, v.other, v.metric): v for v in verdicts(arms, resamples=500)}


def test_each_pair_has_a_verdict_by_each_metric(results):
    assert len(results) == 6 * len(METRICS)
    for metric in METRICS:
        assert results["good", "poor", metric].word == "better"
        assert results["poor", "equal", metric].word == "worse"
        assert results["good", "equal", metric].word == "inconclusive"


def test_a_verdict_is_as_its_interval_where_nothing_is_corrected(arms):
    for pair in (("good", "poor"), ("good", "equal"), ("poor", "lone")):
        for verdict in verdicts(arms, [pair], resamples=500):
            outside = not verdict.difference.low <= 0 <= verdict.difference.high
            assert (verdict.word != "inconclusive") == outside == (verdict.p < LEVEL)


def test_a_verdict_is_reversed_with_its_pair(arms, results):
    swapped = verdicts(dict(reversed(arms.items())), resamples=500)
    opposite = {"better": "worse", "worse": "better", "inconclusive": "inconclusive"}
    for verdict in swapped:
        same = results[verdict.other, verdict.one, verdict.metric]
        assert verdict.word == opposite[same.word]
        assert verdict.difference.value == pytest.approx(-same.difference.value)
        assert verdict.p == pytest.approx(same.p, rel=1e-6, abs=1e-12)


def test_two_single_runs_have_no_p_value(arms):
    for verdict in verdicts({"a": arms["good"][:1], "b": arms["poor"][:1]}, resamples=500):
        assert not verdict.difference.low <= 0 <= verdict.difference.high  # these two runs do differ
        assert (verdict.word, verdict.p, verdict.minimum_detectable_difference) == ("inconclusive", None, None)
        assert verdict.p_pooled is verdict.p_pairwise is None


def test_a_pair_without_p_value_does_not_count_in_the_correction(arms):
    three = {"good": arms["good"], "lone": arms["lone"], "other": arms["equal"][:1]}
    few = {(v.one, v.other): v for v in verdicts(three, resamples=500) if v.metric == METRICS[0]}
    p = [p_value(few["good", name].difference) for name in ("lone", "other")]
    assert [few["good", name].p_pooled for name in ("lone", "other")] == pytest.approx(holm(p))
    assert few["lone", "other"].p is None
    assert few["good", "lone"].minimum_detectable_difference == pytest.approx(
        minimum_detectable_difference(few["good", "lone"].difference, 2)
    )


def test_p_is_students():
    assert p_value(estimated(0.02, 0.01, 7)) == pytest.approx(2 * (1 - stats.t.cdf(2, 7)))
    assert p_value(estimated(-0.02, 0.01, 7)) == p_value(estimated(0.02, 0.01, 7))
    assert p_value(estimated(0.0196, 0.01, np.inf)) == pytest.approx(0.05, abs=1e-4)


def test_the_way_with_the_larger_p_decides_beyond_the_level_of_the_interval():
    """A normal way has the wider interval; far out, Student's tail with 4 degrees of freedom is the heavier one."""
    ways = {"error": 0.0086, "freedom": np.inf, "others": ((0.006, 4.0),)}
    difference = Estimate(0.025, 0.025 - 1.96 * 0.0086, 0.025 + 1.96 * 0.0086, seeds=0.0, **ways)
    assert difference.high - difference.value > 0.006 * stats.t.ppf(0.975, 4)
    assert p_value(difference) == pytest.approx(2 * stats.t.sf(0.025 / 0.006, 4))
    assert p_value(difference) > 2 * stats.norm.sf(0.025 / 0.0086)
    alone = minimum_detectable_difference(estimated(0.025, 0.006, 4.0), 7)
    assert minimum_detectable_difference(difference, 7) == pytest.approx(alone)
    assert alone > minimum_detectable_difference(estimated(0.025, 0.0086, np.inf), 7)


def test_p_is_one_where_nothing_varied():
    assert p_value(Estimate(0.1, 0.1, 0.1, 0.0, np.inf, None)) == 1


def test_holm_by_hand():
    # sorted .005 .01 .03 .04: times 4, 3, 2, 1 = .02 .03 .06 .04, and none below the one before it
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm([0.5, 0.9]) == [1, 1]
    assert holm([]) == []


@given(st.lists(st.floats(0, 1), min_size=1, max_size=12))
def test_holm_rejects_what_the_step_down_procedure_rejects(p_values):
    rejected = set()
    for step, place in enumerate(sorted(range(len(p_values)), key=p_values.__getitem__)):
        if p_values[place] * (len(p_values) - step) >= LEVEL:
            break
        rejected.add(place)
    assert {place for place, p in enumerate(holm(p_values)) if p < LEVEL} == rejected


@pytest.mark.parametrize(("freedom", "pairs"), [(2.2, 1), (4, 3), (4, 10), (30, 6), (np.inf, 1)])
def test_the_minimum_detectable_difference_is_significant_in_four_of_five_studies(freedom, pairs):
    """Of studies with errors of their own, the true difference being the mean of what they say is detectable."""
    generator = np.random.default_rng(0)
    chi = 1 if np.isinf(freedom) else np.sqrt(generator.chisquare(freedom, 200_000) / freedom)
    true = minimum_detectable_difference(estimated(0.0, 0.01 * np.mean(chi), freedom), pairs)
    observed = true + 0.01 * generator.normal(size=200_000)
    significant = observed / (0.01 * chi) > stats.t.ppf(1 - LEVEL / 2 / pairs, freedom)
    assert significant.mean() == pytest.approx(0.8, abs=0.004)  # four standard errors of the simulation


def test_the_minimum_detectable_difference_is_the_textbooks_at_infinite_freedom():
    assert minimum_detectable_difference(estimated(0.3, 0.01, np.inf)) == pytest.approx(
        0.01 * (1.95996 + 0.84162), rel=1e-4
    )
    assert minimum_detectable_difference(estimated(0.3, 0.02, 5)) == pytest.approx(
        2 * minimum_detectable_difference(estimated(0, 0.01, 5))
    )


def scored(observed):
    """Scores without lesion variance: arms a, b, c, d of three runs each."""
    values = np.concatenate([observed[name] for name in "abcd"])
    return Scores(values, np.repeat(values[:, None], 2, axis=1)), {
        name: range(3 * n, 3 * n + 3) for n, name in enumerate("abcd")
    }


def test_pooling_finds_what_three_seeds_of_two_arms_cannot():
    spread = np.array([-0.01, 0, 0.01])
    scores, rows = scored({"a": 0.64 + spread, "b": 0.60 + spread, "c": 0.5 + spread, "d": 0.5 + spread})
    pairs = [("a", "b"), ("c", "d"), ("c", "b")]
    got = of_scores("balanced_accuracy", scores, rows, pairs)[0]
    t = 0.04 / np.sqrt(2 / 3 * 0.01**2)
    assert got.p_pairwise == pytest.approx(2 * stats.t.sf(t, 4))
    assert got.p_pooled == pytest.approx(2 * 2 * stats.t.sf(t, 8))  # the second of three by Holm
    assert got.p == max(got.p_pooled, got.p_pairwise)
    assert got.word == "better"


def test_an_arm_of_wider_seeds_is_not_judged_by_the_narrow_ones():
    narrow, wide = 0.003 * np.array([-1, 0, 1]), 0.03 * np.array([-1, 0, 1])
    scores, rows = scored({"a": 0.66 + wide, "b": 0.60 + narrow, "c": 0.6 + narrow, "d": 0.6 + narrow})
    (got,) = of_scores("balanced_accuracy", scores, rows, [("a", "b")])
    assert got.p_pooled < LEVEL < got.p_pairwise
    assert got.word == "inconclusive"
    own = Estimate(0.06, got.difference.low, got.difference.high, got.difference.error, got.difference.freedom, 0.0)
    assert got.difference.low < 0 < got.difference.high  # the interval is that of the pairwise test
    assert got.minimum_detectable_difference == pytest.approx(minimum_detectable_difference(own))


def test_of_a_log_loss_less_is_better():
    spread = np.array([-0.01, 0, 0.01])
    scores, rows = scored({"a": 1.2 + spread, "b": 1.6 + spread, "c": 1.6 + spread, "d": 1.6 + spread})
    (loss,), (share,) = (of_scores(metric, scores, rows, [("a", "b")]) for metric in ("log_loss", "accuracy"))
    assert (loss.word, share.word) == ("better", "worse")


def test_a_metric_that_the_images_do_not_define_is_left_out(one_hot):
    arms = {name: [one_hot([0, 0, 0], [0, 0, 1])] * 2 for name in "ab"}
    assert {row.metric for row in verdicts(arms, resamples=20)} == set(METRICS) - {"auc_macro"}


@pytest.mark.parametrize("error", [0.0, 1e-17])
def test_nothing_is_detectable_where_nothing_varied(error):
    assert minimum_detectable_difference(Estimate(0.1, 0.1, 0.1, error, np.inf, None), 3) is None
    assert p_value(Estimate(0.1, 0.1, 0.1, error, np.inf, None)) == 1


@pytest.mark.parametrize("others", [0.0, 0.01])
def test_two_arms_that_never_vary_have_no_detectable_difference_whatever_the_others_do(others):
    spread = others * np.array([-1, 0, 1])
    scores, rows = scored({"a": np.ones(3), "b": np.ones(3), "c": 0.6 + spread, "d": 0.6 + spread})
    (got,) = of_scores("accuracy", scores, rows, [("a", "b")])
    assert (got.word, got.p, got.minimum_detectable_difference) == ("inconclusive", 1, None)
    assert got.difference.varied == (others > 0)
