"""Intervals of shares in closed form, and of scores that no resample varies."""

import numpy as np
import pytest
from scipy import stats

from dspkd.evaluation.intervals import estimate, percentiles, resample
from dspkd.evaluation.shares import wilson


@pytest.mark.parametrize(("right", "images"), [(0, 5), (5, 5), (7, 20), (150, 200)])
def test_wilsons_interval_is_scipys_where_every_image_is_its_own_lesion(right, images):
    want = stats.binomtest(right, images).proportion_ci(method="wilson")
    assert wilson(right, [1] * images) == pytest.approx((want.low, want.high))


def test_wilsons_interval_counts_a_lesion_photographed_four_times_once():
    assert wilson(20, [4] * 10) == pytest.approx(wilson(5, [1] * 10))
    low, high = wilson(8, [1, 1, 1, 1, 12])
    assert high - low > np.subtract(*wilson(8, [4, 4, 4, 4])[::-1])  # one lesion outweighs the others


@pytest.mark.parametrize("right", [True, False])
@pytest.mark.parametrize(("images", "each", "low"), [(20, 1, 0.839), (20, 2, 0.722), (12, 1, 0.757), (3, 1, 0.438)])
def test_a_perfect_score_has_wilsons_interval_and_none_right_has_its_mirror(one_hot, right, images, each, low):
    labels = np.arange(images) // each % 2
    run = one_hot(labels, labels if right else 1 - labels, np.arange(images) // each, classes=2)
    scores = resample([run, run], resamples=20)
    for metric in ("accuracy", *(("balanced_accuracy", "f1_macro", "auc_macro") if images % 4 == 0 else ())):
        want = (low, 1) if right else (0, 1 - low)
        assert percentiles(scores[metric]) == pytest.approx(want, abs=1e-3), metric
        mean = estimate(scores[metric], [0, 1])
        assert (mean.low, mean.high) == pytest.approx(want, abs=1e-3)


def test_a_class_of_few_lesions_widens_the_interval_of_a_perfect_mean_over_classes(one_hot):
    labels = np.array([0] * 40 + [1] * 4)
    scores = resample([one_hot(labels, labels)], resamples=20)
    effective = 4 / (1 / 40 + 1 / 4)
    for metric in ("balanced_accuracy", "f1_macro", "auc_macro"):
        assert percentiles(scores[metric])[0] == pytest.approx(1 / (1 + stats.norm.ppf(0.975) ** 2 / effective))
    assert percentiles(scores["accuracy"]) == pytest.approx(wilson(44, [1] * 44))
