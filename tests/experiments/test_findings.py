import re

import pytest

from dspkd.evaluation.intervals import Estimate
from dspkd.evaluation.teacher_quality import Calibrated, ClassMargin, Margin, NetworkScores
from dspkd.experiments.teacher_check import findings


def estimate(value, reach):
    return Estimate(value, value - reach, value + reach, reach / 1.96, float("inf"), None)


def row(name, value, p):
    return ClassMargin(name, 100, 80, 0.5 + value, 0.5, estimate(value, 0.05), p)


def margin(value, reach=0.02, accuracy=0.05, rows=()):
    return Margin(estimate(value, reach), estimate(accuracy, 0.02), tuple(rows))


@pytest.mark.parametrize(
    ("compared", "severity", "message"),
    [
        (margin(0.08), "ok", r"\+8\.0 percentage points"),
        (margin(0.03), "note", "less than 4 percentage points"),
        (margin(0.05, reach=0.03), "ok", r"\+5\.0 percentage points"),  # the value decides, not the end of its interval
        (margin(0.08, reach=0.09), "stop", "not significantly better"),
        (margin(-0.05), "stop", "not significantly better"),
        (None, "stop", "--student"),
    ],
)
def test_a_teacher_must_be_significantly_better_and_should_be_by_four_percentage_points(compared, severity, message):
    first = findings.margin(compared, 3)[0]
    assert first.severity == severity
    assert re.search(message, first.message)


def test_classes_where_the_student_is_better_are_named():
    worse = findings.margin(margin(0.08, rows=[row("MEL", -0.2, 0.001), row("NV", 0.1, 0.01)]), 1)[1]
    assert (worse.severity, "significantly lower" in worse.message, "MEL" in worse.message) == ("note", True, True)
    behind = findings.margin(margin(0.08, rows=[row("MEL", -0.02, 0.6), row("NV", 0.1, 0.01)]), 1)[1]
    assert "inconclusive, for MEL" in behind.message
    fine = findings.margin(margin(0.08, rows=[row("NV", 0.1, 0.01)]), 1)[1]
    assert fine.severity == "ok"


def test_classes_with_too_few_lesions_are_named_and_never_called_ok():
    few = ClassMargin("AK", 5, 5, 0.0, 1.0, None, None)
    some = findings.margin(margin(0.08, rows=[row("NV", 0.1, 0.01), few]), 1)[1:]
    assert [finding.severity for finding in some] == ["ok", "note"]
    assert "too few validation lesions or patients: AK" in some[1].message
    (none,) = findings.margin(margin(0.08, rows=[few]), 1)[1:]
    assert (none.severity, "AK" in none.message) == ("note", True)


def test_better_in_accuracy_and_worse_in_balanced_accuracy_is_a_finding():
    topics = [finding.about for finding in findings.margin(margin(-0.03, accuracy=0.04), 1)]
    assert "rare classes" in topics
    assert "rare classes" not in [finding.about for finding in findings.margin(margin(0.03, accuracy=0.04), 1)]


def level(balanced, accuracy=0.8, confidence=0.9):
    return NetworkScores(1000, (balanced, balanced - 0.02, balanced + 0.02), (accuracy, 0.7, 0.9), confidence)


def test_a_teacher_that_memorised_its_training_images_is_a_finding():
    memorised = findings.memorisation(level(0.894), level(0.674))
    assert memorised.severity == "note"
    assert re.search("0.894 on training images, 0.674 on validation", memorised.message)
    assert findings.memorisation(level(0.70), level(0.674)).severity == "ok"


def test_calibration_rotations_and_images():
    assert findings.calibration(Calibrated(1.6, 0.12, 0.03)).severity == "note"
    assert findings.calibration(Calibrated(1.05, 0.02, 0.02)).severity == "ok"
    assert findings.averaged_views(estimate(0.02, 0.01)).severity == "note"
    assert findings.averaged_views(estimate(0.01, 0.02)).severity == "ok"
    beside_ssd_kd = findings.averaged_views(estimate(0.02, 0.01), compares_rotations="ssd_kd")
    assert beside_ssd_kd.severity == "ok"
    assert "teacher.views = 8" not in beside_ssd_kd.message
    assert findings.images("t", (64, ()), (64, ())).severity == "ok"
    assert "['hair']" in findings.images("t", (64, ("hair",)), (64, ())).message
