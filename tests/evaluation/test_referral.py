"""The referral threshold by brute force, and intervals that rest on lesions."""

import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dspkd.evaluation import referral, shares

KINDS = ("malignant", "benign", "premalignant", "malignant")


def by_hand(predictions, kinds=KINDS):
    """The sum of the softmax over all classes that are not benign, image by image."""
    sums = []
    for logits in predictions.logits.tolist():
        weights = [math.exp(logit - max(logits)) for logit in logits]
        sums.append(sum(w for w, kind in zip(weights, kinds, strict=True) if kind != "benign") / sum(weights))
    return np.array(sums)


def test_the_sum_is_over_the_classes_that_are_not_benign(drawn):
    predictions = drawn(0)
    np.testing.assert_allclose(referral.not_benign(predictions, KINDS), by_hand(predictions))
    unknown = ("unknown", "benign", "benign", "benign")
    np.testing.assert_allclose(referral.not_benign(predictions, unknown), by_hand(predictions, unknown))


@given(st.integers(0, 500), st.sampled_from([0.5, 0.8, 0.9, 0.95, 1.0]))
def test_no_higher_threshold_refers_enough_cancers(drawn, seed, sensitivity):
    predictions = drawn(seed, images=120, images_per_group=1)
    cancers = by_hand(predictions)[np.isin(predictions.labels, [0, 3])]
    got = referral.threshold(predictions, KINDS, sensitivity=sensitivity)
    assert got == round(got, 4)
    assert np.mean(cancers >= got) >= sensitivity
    # a step of 0.0001, and the hundredth of one below
    assert got == referral.MOST or np.mean(cancers >= got + 2.1e-4) < sensitivity
    assert got <= referral.MOST


def test_easy_validation_images_do_not_raise_the_threshold_above_one_half(make):
    """All cancers have 99.9 %, and one with 60 % must still be referred."""
    labels = [0] * 40 + [1] * 40
    logits = 7 * np.eye(4)[labels]
    assert referral.threshold(make(labels, logits), KINDS) == referral.MOST == 0.5


def test_premalignant_and_benign_lesions_do_not_set_the_threshold(drawn):
    predictions = drawn(1)
    logits = predictions.logits.copy()
    logits[np.isin(predictions.labels, [1, 2])] *= 5
    assert referral.threshold(replace(predictions, logits=logits), KINDS) == referral.threshold(predictions, KINDS)


@pytest.mark.parametrize(("lesions", "enough"), [(29, False), (30, True)])
def test_a_threshold_needs_thirty_lesions_however_often_they_were_photographed(make, lesions, enough):
    draw = np.random.default_rng(0)
    groups = [*np.arange(lesions).repeat(5), *range(1000, 1100)]
    labels = [0, 3, 0, 0, 3] * lesions + [1, 2] * 50
    predictions = make(labels, draw.normal(size=(len(labels), 4)), groups)
    assert (referral.threshold(predictions, KINDS) is not None) == enough


def test_the_interval_of_a_share_rests_on_lesions_and_not_on_images():
    right = np.array([True] * 18 + [False] * 2)
    once = referral.share(right, [str(n) for n in range(20)])
    thrice = referral.share(right.repeat(3), [str(n) for n in np.arange(20).repeat(3)])
    assert (once.images, once.lesions, thrice.images, thrice.lesions) == (20, 20, 60, 20)
    assert (thrice.share, thrice.low, thrice.high) == (once.share, once.low, once.high)
    # Wilson for 18 of 20: the roots of (p - q)^2 = z^2 q (1 - q) / n
    for bound in (once.low, once.high):
        assert (0.9 - bound) ** 2 == pytest.approx(1.959964**2 * bound * (1 - bound) / 20, rel=1e-4)
    assert once.low < 0.9 < once.high


def test_a_share_of_no_image_is_unknown():
    assert referral.share_of(np.array([True]), np.array([False]), ["a"]) == referral.Share(None, 0.0, 1.0, 0, 0)


def test_a_share_is_of_the_images_named():
    right, of = np.array([True, True, False, True]), np.array([True, False, True, False])
    assert referral.share_of(right, of, ["a", "b", "c", "d"]).share == 0.5
    assert referral.share_of(right, of, ["a", "b", "a", "d"]).lesions == 1


@pytest.mark.parametrize(("lost", "gained", "n"), [(0, 0, 54), (3, 1, 40), (1, 3, 40), (20, 0, 20), (0, 7, 100)])
def test_the_paired_interval_solves_its_definition(lost, gained, n):
    low, high = shares.paired(lost, gained, [1] * n)
    less, more = (lost + 1) / (n + 2), (gained + 1) / (n + 2)
    variance = (less * (1 - less) + more * (1 - more) + 2 * less * more) / (n + 2)  # of a multinomial's difference
    middle, reach = more - less, 1.959964 * math.sqrt(variance)
    assert (low, high) == pytest.approx((max(-1, middle - reach), min(1, middle + reach)), abs=1e-6)


def test_the_paired_interval_rests_on_lesions_and_narrows_with_them():
    assert shares.paired(6, 3, [3] * 20) == pytest.approx(shares.paired(2, 1, [1] * 20))
    assert shares.paired(0, 0, [1] * 53)[0] < -0.05 < shares.paired(0, 0, [1] * 54)[0]
    assert shares.paired(0, 0, [54])[0] < -0.5  # one lesion, 54 images
    assert shares.paired(3, 1, [1] * 40) == pytest.approx([-each for each in shares.paired(1, 3, [1] * 40)][::-1])


def test_images_without_an_id_are_no_lesions_but_count_for_the_interval():
    right, named, unnamed = np.array([True] * 6), list("aabbcc"), [f"image:{n}" for n in range(4)]
    mixed = referral.share(right, [*named[:2], *unnamed])
    assert (mixed.images, mixed.lesions) == (6, 1)
    assert referral.share(right, [f"image:{n}" for n in range(6)]).lesions == 0
    assert mixed.low == referral.share(right, ["a", "a", "b", "c", "d", "e"]).low
