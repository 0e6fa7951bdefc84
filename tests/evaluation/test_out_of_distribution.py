import numpy as np
import pytest
import torch
from sklearn.metrics import average_precision_score, roc_auc_score, roc_curve

from dspkd.evaluation.out_of_distribution import DEFINITIONS, SCORES, energy, max_logit, max_probability, separation


def alone(known, unknown):
    """Every image is a lesion of its own."""
    return [f"k{n}" for n in range(len(known))], [f"u{n}" for n in range(len(unknown))]


def values(known, unknown):
    known, unknown = np.asarray(known, dtype=float), np.asarray(unknown, dtype=float)
    got = separation(known, unknown, alone(known, unknown), resamples=50)
    return {name: getattr(got, name).value for name in DEFINITIONS}


def test_energy_is_minus_the_soft_maximum(drawn):
    logits = drawn(0).logits
    want = -2.5 * torch.logsumexp(torch.tensor(logits).double() / 2.5, dim=1)
    np.testing.assert_allclose(energy(logits, temperature=2.5), want)


def test_energy_at_a_low_temperature_is_the_largest_logit(drawn):
    logits = drawn(0).logits
    np.testing.assert_allclose(energy(logits, temperature=1e-3), max_logit(logits), atol=0.01)
    np.testing.assert_array_equal(max_logit(logits), -logits.max(axis=1))


def test_max_probability_is_that_of_the_predicted_class(drawn):
    predictions = drawn(0)
    got = max_probability(predictions.logits)
    np.testing.assert_allclose(got, -predictions.probabilities.max(axis=1))


def test_energy_and_max_logit_depend_on_the_level_of_the_logits(make):
    sure, lost = (make([0], [[level + 2.0, level]]).logits for level in (8.0, 0.0))
    assert max_probability(sure) == pytest.approx(max_probability(lost))
    for score in (energy, max_logit):
        assert score(lost) > score(sure)
    assert set(SCORES.values()) == {energy, max_logit, max_probability}


def test_separation_by_hand():
    got = values([0, 1, 2, 6], [2, 3])
    # pairs (unknown, known): 2 beats 0 and 1 and ties 2; 3 beats 0, 1, 2; both lose to 6
    assert got["auc"] == pytest.approx(5.5 / 8)
    assert got["false_alarms"] == pytest.approx(2 / 4)  # to find both, the threshold is 2: 2 and 6 are called unknown
    assert got["let_through"] == 1  # to keep all four, the threshold is above 6
    # from 6 downwards: precision 1/2 where 3 is found, 2/4 where 2 is
    assert got["average_precision"] == pytest.approx(1 / 2 * 1 / 2 + 1 / 2 * 2 / 4)


def test_one_in_twenty_may_be_missed():
    unknown = [-5.0, *range(10, 29)]
    assert values([0.0, 11.0], unknown)["false_alarms"] == 0.5
    assert values([0.0, 11.0], unknown[:-1])["false_alarms"] == 1.0
    known = [99.0, *range(19)]  # twenty, of which one may be called unknown
    assert values(known, [18.0, 18.5, 50.0, 100.0])["let_through"] == 1 / 4
    assert values(known[:-1], [18.0, 18.5, 50.0, 100.0])["let_through"] == 3 / 4


def test_separated_scores_are_perfect_and_reversed_ones_worst():
    assert values([0, 1], [2, 3]) == {"auc": 1, "average_precision": 1, "false_alarms": 0, "let_through": 0}
    worst = values([2, 3], [0, 1])
    assert (worst["auc"], worst["false_alarms"], worst["let_through"]) == (0, 1, 1)


@pytest.mark.parametrize("digits", [0, 1, 6])  # with many ties, some, none
@pytest.mark.parametrize("seed", range(3))
def test_equals_scikit_learn(seed, digits):
    generator = np.random.default_rng(seed)
    known, unknown = generator.normal(size=130).round(digits), generator.normal(0.8, size=70).round(digits)
    got = values(known, unknown)
    score, strange = np.concatenate([known, unknown]), np.repeat([0, 1], [130, 70])
    assert got["auc"] == pytest.approx(roc_auc_score(strange, score))
    assert got["average_precision"] == pytest.approx(average_precision_score(strange, score))
    for name, positive, sign in (("false_alarms", strange, 1), ("let_through", 1 - strange, -1)):
        fpr, tpr, _ = roc_curve(positive, sign * score, drop_intermediate=False)
        assert got[name] == pytest.approx(fpr[np.argmax(tpr >= 0.95)]), name


def test_intervals_are_those_of_lesions_drawn_with_replacement():
    """Drawn here one by one and scored by scikit-learn; lesions have one to five images that are similar."""
    generator = np.random.default_rng(5)
    sizes = generator.integers(1, 6, size=60)
    groups = np.repeat([f"g{n}" for n in range(60)], sizes)
    strange = np.repeat(np.arange(60) < 20, sizes)
    score = np.repeat(generator.normal(size=60), sizes) + 0.1 * generator.normal(size=len(groups)) + 0.7 * strange
    got = separation(score[~strange], score[strange], (groups[~strange], groups[strange]))
    aucs = []
    for _ in range(1500):
        picked = np.concatenate([generator.choice(20, 20), 20 + generator.choice(40, 40)])
        rows = np.concatenate([np.flatnonzero(groups == f"g{n}") for n in picked])
        aucs.append(roc_auc_score(strange[rows], score[rows]))
    low, high = np.quantile(aucs, [0.025, 0.975])
    assert (got.auc.low, got.auc.high) == pytest.approx((low, high), abs=0.03)  # some four standard errors of these
    assert got.auc.high - got.auc.low == pytest.approx(high - low, rel=0.08)  # of 90 %, it would be 16 % less
    assert got.auc.low < got.auc.value < got.auc.high
    images = separation(score[~strange], score[strange], alone(score[~strange], score[strange]))
    assert images.auc.high - images.auc.low < 0.75 * (high - low)


def test_copies_of_images_change_neither_number_nor_interval():
    generator = np.random.default_rng(7)
    known, unknown = generator.normal(size=30), generator.normal(1, size=12)
    one = separation(known, unknown, alone(known, unknown), resamples=200)
    twice = [np.repeat(each, 2) for each in (*alone(known, unknown), known, unknown)]
    two = separation(twice[2], twice[3], (twice[0], twice[1]), resamples=200)
    for name in DEFINITIONS:
        assert vars(getattr(one, name)) == pytest.approx(vars(getattr(two, name))), name


def test_a_patient_may_have_both_kinds_and_be_the_only_one():
    known, unknown = np.array([0.0, 1.0]), np.array([2.0])
    got = separation(known, unknown, (["p", "p"], ["p"]), resamples=20)
    assert vars(got.auc) == {"value": 1, "low": pytest.approx(0.207, abs=1e-3), "high": 1}


@pytest.mark.parametrize(("unknown", "high"), [([9.0], 0.793), ([9.0, 9.5, 10.0, 11.0], 0.490)])
def test_a_few_unknown_images_that_are_all_found_are_no_certainty(unknown, high):
    known = np.arange(8.0)
    got = separation(known, np.array(unknown), alone(known, unknown), resamples=50)
    assert (got.let_through.value, got.let_through.low) == (0, 0)
    assert got.let_through.high == pytest.approx(high, abs=1e-3)
    assert (got.auc.value, got.auc.high) == (1, 1)
    assert got.auc.low == pytest.approx(1 - high, abs=1e-3)


def test_known_and_unknown_lesions_are_drawn_apart():
    """On the same resamples, two equal sets of scores would be equally good on every resample."""
    score = np.arange(12.0)
    got = separation(score, score, alone(score, score), resamples=200).auc
    assert got.value == pytest.approx(0.5)
    assert got.low < 0.45
    assert got.high > 0.55


def test_a_resample_has_as_many_unknown_lesions_as_there_are():
    """One unknown and two known images of equal score: precision is 1/3 however they are drawn."""
    got = separation(np.ones(2), np.ones(1), alone(np.ones(2), np.ones(1)), resamples=100).average_precision
    assert vars(got) == pytest.approx(dict.fromkeys(("value", "low", "high"), 1 / 3))
