"""Findings about a teacher: what its scores mean, and whether they are a reason not to teach."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from dspkd.errors import first_few
from dspkd.evaluation.intervals import Estimate
from dspkd.evaluation.teacher_quality import Calibrated, Margin, NetworkScores
from dspkd.reports.wording import points

ENOUGH = 0.04
"""Balanced accuracy by which a teacher should be above the plain student (inferred: runs with less showed no gain)."""

MEMORISED = 0.10
"""Balanced accuracy on training images less that on validation images from which a teacher counts as having memorised
its training images (inferred)."""

MISCALIBRATED = 0.05
"""Expected calibration error from which a temperature is advised (inferred)."""


@dataclass(frozen=True)
class TeacherFinding:
    """A finding.

    Attributes
    ----------
    about
        What was examined.
    severity
        ``ok``, ``note`` (worth knowing) or ``stop`` (a reason not to teach).
    message
        The finding, with the suggested fix where there is one.
    """

    about: str
    severity: Literal["ok", "note", "stop"]
    message: str


def images(teacher: str, theirs: tuple[int, tuple[str, ...]], ours: tuple[int, tuple[str, ...]]) -> TeacherFinding:
    """Compare the images, (size, artefacts removed), that a teacher was trained on with those of its student."""
    (size, removed), (student_size, student_removed) = theirs, ours
    differences = []
    if size != student_size:
        differences.append(f"it was trained on images of {size} px, and teaches on {student_size} px")
    if removed != student_removed:
        differences.append(
            f"it was trained with artefacts {list(removed)} removed, its student with {list(student_removed)} removed"
        )
    if not differences:
        return TeacherFinding(
            "images",
            "ok",
            f"{teacher}: trained on {size} px, and teaches on the same; each network normalises its own images",
        )
    return TeacherFinding(
        "images",
        "note",
        f"{teacher}: {'; '.join(differences)}. All figures here are for the student's images; train both on the same",
    )


def margin(measured: Margin | None, students: int) -> list[TeacherFinding]:
    """Report whether the teacher is significantly better than the plain student, on average and class by class."""
    if measured is None:
        message = "not compared with the plain student: train the plain student, and name its run: --student"
        return [TeacherFinding("better than the student", "stop", message)]
    by = _interval(measured.balanced_accuracy)
    findings = [_average(measured.balanced_accuracy, by, students)]
    worse = [row.name for row in measured.classes if row.word == "worse"]
    behind = [row.name for row in measured.classes if row.margin and row.margin.value < 0 and row.word != "worse"]
    if worse:
        message = f"significantly lower recall than its plain student for {', '.join(worse)}; may harm these classes"
        findings.append(TeacherFinding("class by class", "note", message))
    elif behind:
        message = f"no class significantly worse; lower recall than the student, inconclusive, for {', '.join(behind)}"
        findings.append(TeacherFinding("class by class", "note", message))
    elif any(row.margin for row in measured.classes):
        findings.append(TeacherFinding("class by class", "ok", "no class with lower recall than the student's"))
    if few := [row.name for row in measured.classes if row.margin is None]:
        message = f"not compared, too few validation lesions or patients: {', '.join(few)}; it may harm these classes"
        findings.append(TeacherFinding("class by class", "note", message))
    if measured.accuracy.value > 0 > measured.balanced_accuracy.value:
        message = "better in accuracy but worse in balanced accuracy: it favours common classes, and teaches that"
        findings.append(TeacherFinding("rare classes", "note", message))
    return findings


def left_out(differences: Sequence[str]) -> list[TeacherFinding]:
    """Report plain runs beside the teacher that are not compared with it, and why."""
    if not differences:
        return []
    message = f"not compared with plain runs that differ: {first_few(differences)}; --student uses one all the same"
    return [TeacherFinding("plain students", "note", message)]


def unlike(differences: Sequence[str]) -> list[TeacherFinding]:
    """Report where named plain runs differ from the student that the recipe trains."""
    if not differences:
        return []
    message = f"differ from the student to be trained, and a weaker one flatters the teacher: {first_few(differences)}"
    return [TeacherFinding("plain students", "note", message)]


def _average(difference: Estimate, by: str, students: int) -> TeacherFinding:
    about, of = "better than the student", f"balanced accuracy {by} against {students} plain run(s)"
    if difference.low <= 0:
        return TeacherFinding(about, "stop", f"not significantly better than the plain student: {of}")
    if difference.value < ENOUGH:
        return TeacherFinding(
            about,
            "note",
            f"better, but by less than {100 * ENOUGH:.0f} percentage points: {of}; a small gain is likely",
        )
    return TeacherFinding(about, "ok", of)


def memorisation(training: NetworkScores, validation: NetworkScores, cross_fit: int | None = None) -> TeacherFinding:
    """Report whether the teacher has memorised its training images, about which fold teachers answer instead of it."""
    (trained, *_), (validated, *_) = training.balanced_accuracy, validation.balanced_accuracy
    message = (
        f"balanced accuracy {trained:.3f} on training images, {validated:.3f} on validation images; accuracy "
        f"{training.accuracy[0]:.3f} and {validation.accuracy[0]:.3f}, mean confidence {training.confidence:.3f} and "
        f"{validation.confidence:.3f}"
    )
    if trained - validated < MEMORISED:
        return TeacherFinding("training images", "ok", message)
    if cross_fit:
        used = f"teacher.cross_fit = {cross_fit} lets teachers answer that never saw them"
        return TeacherFinding("training images", "ok", f"memorised: {message}; {used}")
    return TeacherFinding(
        "training images",
        "note",
        f"memorised: {message}. Its outputs for them hold little beyond the label; suggested fix: "
        "teacher.cross_fit = 5, soften them more, augment more, or stop the teacher's training earlier",
    )


def calibration(calibrated: Calibrated) -> TeacherFinding:
    """Report whether the teacher's probabilities on validation images are calibrated."""
    message = (
        f"ECE {calibrated.raw:.3f} on validation images; {calibrated.cooled:.3f} with logits divided by a "
        f"temperature of {calibrated.temperature:.2f} (fitted and measured on different lesions)"
    )
    return TeacherFinding("calibration", "ok" if calibrated.raw < MISCALIBRATED else "note", message)


def averaged_views(gain: Estimate, views: int = 1, compares_rotations: str = "") -> TeacherFinding:
    """Report whether the mean over quarter turns and flips is a better teacher than a single view.

    A method that compares an image with its quarter turns, named by `compares_rotations`, cannot learn from that mean.
    """
    message = f"mean over 4 rotations and flips: balanced accuracy {_interval(gain)}"
    if gain.low > 0 and views == 8:
        return TeacherFinding(
            "rotations and flips", "ok", f"{message}: significantly better, and teacher.views uses it"
        )
    if gain.low > 0 and compares_rotations:
        advice = f"significantly better, but {compares_rotations} compares an image with its rotations and needs each"
        return TeacherFinding("rotations and flips", "ok", f"{message}: {advice}")
    if gain.low > 0:
        advice = "significantly better; suggested fix: teacher.views = 8, which costs 8 forward passes an image"
        return TeacherFinding("rotations and flips", "note", f"{message}: {advice}")
    return TeacherFinding("rotations and flips", "ok", f"{message}: no significant gain")


def _interval(difference: Estimate) -> str:
    return f"{points(difference.value)} percentage points (95 %: {points(difference.low)} to {points(difference.high)})"
