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
    ("found", "level", "says"),
    [
        (margin(0.08), "ok", r"\+8\.0 points"),
        (margin(0.03), "note", "less than 4 points"),
        (margin(0.05, reach=0.03), "ok", r"\+5\.0 points"),  # the value decides, not the end of its interval
        (margin(0.08, reach=0.09), "stop", "not shown to be better"),
        (margin(-0.05), "stop", "not shown to be better"),
        (None, "stop", "nobody knows"),
    ],
)
def test_a_teacher_must_be_shown_to_be_better_and_should_be_by_four_points(found, level, says):
    import re

    first = findings.margin(found, 3)[0]
    assert first.level == level
    assert re.search(says, first.says)


def test_classes_where_the_student_is_better_are_named():
    worse = findings.margin(margin(0.08, rows=[row("MEL", -0.2, 0.001), row("NV", 0.1, 0.01)]), 1)[1]
    assert (worse.level, "find MEL more often" in worse.says) == ("note", True)
    behind = findings.margin(margin(0.08, rows=[row("MEL", -0.02, 0.6), row("NV", 0.1, 0.01)]), 1)[1]
    assert "that is not shown, at MEL" in behind.says
    fine = findings.margin(margin(0.08, rows=[row("NV", 0.1, 0.01)]), 1)[1]
    assert fine.level == "ok"


def test_better_in_accuracy_and_worse_in_balanced_accuracy_is_told():
    abouts = [finding.about for finding in findings.margin(margin(-0.03, accuracy=0.04), 1)]
    assert "rare classes" in abouts
    assert "rare classes" not in [finding.about for finding in findings.margin(margin(0.03, accuracy=0.04), 1)]


def level(balanced, accuracy=0.8, confidence=0.9):
    return NetworkScores(1000, (balanced, balanced - 0.02, balanced + 0.02), (accuracy, 0.7, 0.9), confidence)


def test_a_teacher_that_knows_its_images_by_heart_is_told():
    by_heart = findings.memory(level(0.894), level(0.674))
    assert by_heart.level == "note"
    assert "balanced accuracy 0.894 on training images, 0.674 on validation" in by_heart.says
    assert findings.memory(level(0.70), level(0.674)).level == "ok"


def test_calibration_and_turns_and_images():
    assert findings.calibration(Calibrated(1.6, 0.12, 0.03)).level == "note"
    assert findings.calibration(Calibrated(1.05, 0.02, 0.02)).level == "ok"
    assert "it helps" in findings.turning(estimate(0.02, 0.01)).says
    assert "no gain shown" in findings.turning(estimate(0.01, 0.02)).says
    assert findings.images("t", (64, ()), (64, ())).level == "ok"
    assert "artefacts ['hair'] taken out" in findings.images("t", (64, ("hair",)), (64, ())).says
