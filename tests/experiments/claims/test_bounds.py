"""Bounds against all small confusion matrices."""

from itertools import product
from math import prod

import pytest

from dspkd.experiments.paper.claims.bounds import (
    accuracy_bounds,
    balanced_accuracy_bounds,
    majority_needed,
    specificity_bounds,
)

ISIC = [4522, 12875, 3323, 867, 2624, 239, 253, 628]


def rows_of(images, classes):
    """Yield every way to distribute this many images over the predicted classes."""
    if classes == 1:
        yield (images,)
        return
    for first in range(images + 1):
        for rest in rows_of(images - first, classes - 1):
            yield (first, *rest)


def matrices(images):
    """Yield every confusion matrix of these classes, row by row."""
    yield from product(*(list(rows_of(count, len(images))) for count in images))


def by_hand(matrix, images):
    """Return accuracy, macro and weighted specificity, and F1 of each class, from the definitions."""
    whole, classes = sum(images), range(len(images))
    predicted = [sum(row[c] for row in matrix) for c in classes]
    right = [matrix[c][c] for c in classes]
    specificities = [1 - (predicted[c] - right[c]) / (whole - images[c]) for c in classes]
    weighted = sum(images[c] * specificities[c] for c in classes) / whole
    f1 = [2 * right[c] / (images[c] + predicted[c]) for c in classes]
    return sum(right) / whole, sum(specificities) / len(images), weighted, f1


@pytest.mark.parametrize("images", [(3, 1), (2, 2), (4, 2, 1), (2, 2, 2), (3, 1, 1), (1, 5, 1)])
def test_specificity_bounds_are_the_extremes_over_all_confusion_matrices(images):
    assert prod(len(list(rows_of(count, len(images)))) for count in images) >= 8
    extremes_by_accuracy = {}
    for matrix in matrices(images):
        accuracy, macro, weighted, _ = by_hand(matrix, images)
        for average, value in (("macro", macro), ("weighted", weighted)):
            low, high = extremes_by_accuracy.get((accuracy, average), (2, -1))
            extremes_by_accuracy[accuracy, average] = min(low, value), max(high, value)
    for (accuracy, average), extremes in extremes_by_accuracy.items():
        assert specificity_bounds(images, (accuracy, accuracy), average) == pytest.approx(extremes, abs=1e-12)


@pytest.mark.parametrize("images", [(3, 1), (2, 2), (4, 2, 1), (2, 2, 2), (1, 5, 1), (3, 4, 2)])
def test_balanced_accuracy_bounds_are_the_extremes_over_all_numbers_of_correct_images(images):
    extremes = {}
    for right in product(*(range(count + 1) for count in images)):
        recall = sum(k / count for k, count in zip(right, images, strict=True)) / len(images)
        low, high = extremes.get(sum(right), (2, -1))
        extremes[sum(right)] = min(low, recall), max(high, recall)
    for right, expected in extremes.items():
        accuracy = right / sum(images)
        assert balanced_accuracy_bounds(images, (accuracy, accuracy)) == pytest.approx(expected, abs=1e-12)
    assert balanced_accuracy_bounds(images, (0.0, 1.0)) == (0.0, 1.0)


def test_counts_and_shares_have_the_same_bounds_and_a_rounded_accuracy_widens_them():
    shares = [count / sum(ISIC) for count in ISIC]
    exact = specificity_bounds(ISIC, (0.8537, 0.8537), "macro")
    assert specificity_bounds(shares, (0.8537, 0.8537), "macro") == pytest.approx(exact)
    low, high = specificity_bounds(ISIC, (0.85, 0.86), "macro")
    assert low < exact[0] < exact[1] < high


def test_the_bounds_for_table_1_are_those_worked_out_by_hand():
    # All errors go to NV, 50.8 % of the images: S = 1 - (1 - a) / (8 x 0.4917); or to DF, 0.94 %.
    low, high = specificity_bounds(ISIC, (0.8537, 0.8537), "macro")
    assert low == pytest.approx(1 - 0.1463 / (8 * (1 - 12875 / 25331)))
    assert high == pytest.approx(1 - 0.1463 / (8 * (1 - 239 / 25331)))
    assert (round(low, 4), round(high, 4)) == (0.9628, 0.9815)


def test_majority_needed_inverts_the_bound():
    share = majority_needed(0.9063, 0.8537, 8)
    others = [(1 - share) / 7] * 7
    assert specificity_bounds([share, *others], (0.8537, 0.8537), "macro")[0] == pytest.approx(0.9063)


@pytest.mark.parametrize("images", [(3, 1), (2, 2), (3, 2, 1), (2, 2, 2), (1, 4, 1)])
def test_the_accuracy_of_every_confusion_matrix_lies_within_its_bounds(images):
    for matrix in matrices(images):
        accuracy, _, _, f1 = by_hand(matrix, images)
        exact = [(score, score) for score in f1]
        for low, high in (accuracy_bounds(exact, images), accuracy_bounds(exact, None)):
            assert low - 1e-12 <= accuracy <= high + 1e-12
        assert accuracy_bounds(exact, None) == (min(f1), max(f1))
        rounded = [(score - 0.01, score + 0.01) for score in f1]
        low, high = accuracy_bounds([(max(0, a), min(1, b)) for a, b in rounded], images)
        assert low - 1e-12 <= accuracy <= high + 1e-12


def test_accuracy_bounds_are_those_of_a_search_over_predictions():
    f1, images = [0.9, 0.7, 0.5], [60, 30, 10]
    pi = [count / 100 for count in images]
    reached = []
    for first in range(251):
        for second in range(251 - first):
            rho = [first / 250, second / 250, (250 - first - second) / 250]
            tp = [f * (p + r) / 2 for f, p, r in zip(f1, pi, rho, strict=True)]
            if all(t <= min(p, r) + 1e-12 for t, p, r in zip(tp, pi, rho, strict=True)):
                reached.append(sum(tp))
    assert accuracy_bounds([(f, f) for f in f1], images) == pytest.approx((min(reached), max(reached)), abs=4e-3)


def test_bounds_are_tight_if_all_predictions_are_correct_or_all_wrong():
    assert specificity_bounds([5, 3, 2], (1, 1), "macro") == (1, 1)
    assert accuracy_bounds([(1, 1)] * 3, [5, 3, 2]) == (1, 1)
    assert accuracy_bounds([(0, 0)] * 3, [5, 3, 2]) == (0, 0)
    # Two classes, all wrong: each image is a false positive of the other class, so both specificities are 0.
    assert specificity_bounds([5, 3], (0, 0), "macro") == pytest.approx((0, 0))
