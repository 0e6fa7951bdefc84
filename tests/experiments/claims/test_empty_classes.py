"""Models that know classes without test images, as which images may be predicted."""

import numpy as np
import pytest

from dspkd.experiments.paper.claims import Severity, check
from dspkd.experiments.paper.claims.rows import NO_OTHER_CLASS, ClaimRow, Number


def number(text):
    return Number(float(text), 8)


def figures_of(matrix_KK):
    """Return accuracy, macro specificity and the F1 of each class that has images, in percent with eight digits."""
    images, predicted, hits = matrix_KK.sum(1), matrix_KK.sum(0), matrix_KK.diagonal()
    present, whole = images > 0, matrix_KK.sum()
    negatives = whole - images
    specificity = ((negatives - (predicted - hits)) / negatives)[present].mean()
    f1 = (2 * hits / (images + predicted))[present]
    return [f"{100 * value:.8f}" for value in (hits.sum() / whole, specificity, *f1)]


def checked_severities(matrix_KK, *, empty_classes):
    accuracy, specificity, *f1 = figures_of(matrix_KK)
    names = [f"c{number}" for number, images in enumerate(matrix_KK.sum(1).tolist()) if images]
    classes = {name: int(images) for name, images in zip(names, matrix_KK.sum(1)[: len(names)], strict=True)}
    model = ClaimRow(
        model="m",
        figures={"accuracy": number(accuracy), "specificity": number(specificity)},
        f1_of=dict(zip(names, map(number, f1), strict=True)),
        classes=classes,
        empty_classes=empty_classes,
    )
    return {finding.rule: finding for finding in check([model])}


@pytest.mark.parametrize("seed", range(30))
def test_predictions_of_a_class_without_test_images_are_possible(seed):
    rng = np.random.default_rng(seed)
    matrix_KK = rng.integers(1, 50, (4, 4))
    matrix_KK[:, 3] *= rng.integers(1, 20)  # most images are predicted as the class that has none
    matrix_KK[3] = 0
    findings = checked_severities(matrix_KK, empty_classes=True)
    assert {findings[rule].severity for rule in ("specificity", "f1-of-classes")} == {Severity.PASSED}


def test_where_the_classes_are_not_known_to_be_all_a_finding_says_what_it_supposes():
    matrix_KK = np.array([[10, 0, 0, 60], [0, 20, 0, 10], [0, 0, 30, 5], [0, 0, 0, 0]])
    findings = checked_severities(matrix_KK, empty_classes=False)
    for rule in ("specificity", "f1-of-classes"):
        assert findings[rule].severity == Severity.IMPOSSIBLE
        assert NO_OTHER_CLASS in findings[rule].assumes
    full = checked_severities(np.array([[10, 30, 30], [0, 20, 10], [5, 0, 30]]), empty_classes=False)
    assert {full[rule].severity for rule in ("specificity", "f1-of-classes")} == {Severity.PASSED}
