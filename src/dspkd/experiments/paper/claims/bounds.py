"""Bounds on a metric given others, which hold for every confusion matrix."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

Average = Literal["macro", "weighted"]


def specificity_bounds(images: Sequence[float], accuracy: tuple[float, float], average: Average) -> tuple[float, float]:
    r"""Return the least and the greatest one-vs-rest specificity of a classifier with this accuracy.

    Of N images, :math:`N_c` of class c, :math:`E = N (1 - a)` are misclassified. An image wrongly predicted as c takes
    :math:`w_c = s_c / (N - N_c)` from the mean, where :math:`s_c` is the class's share in it:

    .. math:: \bar S = 1 - \sum_c w_c \mathrm{FP}_c, \qquad \sum_c \mathrm{FP}_c = E

    The mean is least if all errors go to the class of the largest weight, except those of its own images, which go to
    the second largest; it is greatest with the smallest weights. Confusion matrices reach both if E is a whole number.

    Parameters
    ----------
    images
        :math:`N_c`, counts or shares, of at least two classes, all positive.
    accuracy
        Lower and upper end, in [0, 1], of what rounds to the printed value.
    average
        ``macro``: :math:`s_c = 1 / K`; ``weighted``: :math:`s_c = N_c / N`.

    Source: COMPUTED here; holds for any classifier that predicts one class for each image. The bounds are convex and
    concave in a, so they hold for means over runs on one test set.
    """
    whole, classes = sum(images), len(images)
    shares = [1 / classes if average == "macro" else count / whole for count in images]
    weights = [share / (whole - count) for share, count in zip(shares, images, strict=True)]
    few, many = (whole * (1 - share) for share in reversed(accuracy))
    return 1 - _taken(images, weights, many, most=True), 1 - _taken(images, weights, few, most=False)


def single_specificity_bounds(
    images: Sequence[float], accuracy: tuple[float, float], positive: int
) -> tuple[float, float]:
    r"""Return the least and the greatest specificity with one of two classes as the positive one.

    It is the recall of the other class, whose :math:`N_-` images have between :math:`E - N_+` and E errors.
    """
    few, many = (sum(images) * (1 - share) for share in reversed(accuracy))
    negatives = sum(images) - images[positive]
    return 1 - min(many, negatives) / negatives, 1 - max(0.0, few - images[positive]) / negatives


def _taken(images: Sequence[float], weights: Sequence[float], errors: float, *, most: bool) -> float:
    """Return the most, or the least, by which so many errors can lower the mean."""
    first, second, *_ = sorted(range(len(images)), key=lambda c: -weights[c] if most else weights[c])
    others = sum(images) - images[first]
    return weights[first] * min(errors, others) + weights[second] * max(0.0, errors - others)


def balanced_accuracy_bounds(images: Sequence[float], accuracy: tuple[float, float]) -> tuple[float, float]:
    r"""Return the least and the greatest balanced accuracy of a classifier with this accuracy.

    An error on an image of class c takes :math:`1 / (K N_c)` from the mean recall: least where all errors are in
    the smallest classes, greatest where they are in the largest.

    .. math:: \bar R = 1 - \sum_c \frac{\mathrm{FN}_c}{K N_c}, \qquad \sum_c \mathrm{FN}_c = N (1 - a), \qquad
              \mathrm{FN}_c \le N_c

    Parameters
    ----------
    images
        :math:`N_c`, counts or shares, all positive.
    accuracy
        Lower and upper end, in [0, 1], of what rounds to the printed value.

    Source: COMPUTED here. The bounds are convex and concave in a, so they hold for means over runs on one test set.
    """
    few, many = (sum(images) * (1 - share) for share in reversed(accuracy))
    return 1 - _lost(sorted(images), many), 1 - _lost(sorted(images, reverse=True), few)


def _lost(images: Sequence[float], errors: float) -> float:
    """Return the loss of mean recall where so many errors fill the classes in this order."""
    lost = 0.0
    for count in images:
        lost += min(errors, count) / count / len(images)
        errors = max(0.0, errors - count)
    return lost


def majority_needed(specificity: float, accuracy: float, classes: int) -> float:
    r"""Return the share that the largest class must have for a macro specificity this low to be possible.

    From the bound above, :math:`S \ge 1 - (1 - a) / (K (1 - \pi))`: :math:`\pi \ge 1 - (1 - a) / (K (1 - S))`.
    """
    return 1 - (1 - accuracy) / (classes * (1 - specificity))


def accuracy_bounds(f1: Sequence[tuple[float, float]], images: Sequence[float] | None) -> tuple[float, float]:
    r"""Return the least and the greatest accuracy of a classifier with these F1 scores, class by class.

    With :math:`\pi_c` the share of the images that have class c and :math:`\rho_c` the share that is predicted as c,
    :math:`F_c = 2 \mathrm{TP}_c / (\pi_c + \rho_c)` in shares, and so

    .. math:: a = \sum_c \mathrm{TP}_c = \sum_c F_c \frac{\pi_c + \rho_c}{2}, \qquad
              \frac{F_c}{2 - F_c} \pi_c \le \rho_c \le \frac{2 - F_c}{F_c} \pi_c, \qquad \sum_c \rho_c = 1.

    Accuracy is a weighted mean of the F1 scores: it never lies outside them. With :math:`\pi` known, the extremes are
    those of a linear programme over :math:`\rho`. Every classifier lies within them; they need not be reached.

    Parameters
    ----------
    f1
        Lower and upper end for each class, in [0, 1], of what rounds to the printed value.
    images
        Counts or shares of the classes; None if they are not known.

    Holds for one run, not for means over runs: three runs with F1 scores 1, 2/3 and 0 in rotation have means of 5/9.

    Source: COMPUTED here, from the definition of F1; the limits of :math:`\rho_c` are those of TP at most both counts.
    """
    if images is None:
        return min(low for low, _ in f1), max(high for _, high in f1)
    whole = sum(images)
    pi = [count / whole for count in images]
    # The limits of rho are widest at the lowest F1, the mean is greatest at the highest: each may only widen the bound.
    least = [share * low / (2 - low) for share, (low, _) in zip(pi, f1, strict=True)]
    most = [share * (2 - low) / low if low > 0 else 1.0 for share, (low, _) in zip(pi, f1, strict=True)]
    lowest, highest = [low for low, _ in f1], [high for _, high in f1]
    low = _mean(pi, lowest, least, most, sorted(range(len(f1)), key=lambda c: lowest[c]))
    high = _mean(pi, highest, least, most, sorted(range(len(f1)), key=lambda c: -highest[c]))
    return low, high


def _mean(
    pi: Sequence[float], f1: Sequence[float], least: Sequence[float], most: Sequence[float], order: Sequence[int]
) -> float:
    """Return the weighted mean of F1 with predictions assigned to classes in this order, up to their limits."""
    rho = list(least)
    for c in order:
        rho[c] += max(0.0, min(most[c] - least[c], 1 - sum(rho)))
    return sum(score * (share + predicted) / 2 for score, share, predicted in zip(f1, pi, rho, strict=True))
