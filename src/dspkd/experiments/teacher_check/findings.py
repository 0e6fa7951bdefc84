"""What the numbers about a teacher mean: each a finding, in plain words, and whether it is in the way of teaching."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from dspkd.evaluation.intervals import Estimate
from dspkd.evaluation.teacher_quality import Calibrated, Margin, NetworkScores
from dspkd.reports.wording import points

ENOUGH = 0.04
"""Balanced accuracy by which a teacher should be above the plain student (inferred: runs with less showed no gain)."""

BY_HEART = 0.10
"""Balanced accuracy on training images above that on validation images, from which on a teacher is said to know them
by heart (inferred)."""

SURE = 0.05
"""Expected calibration error from which on a temperature is advised (inferred)."""


@dataclass(frozen=True)
class TeacherFinding:
    """What was looked at, whether it is fine (ok), to be known (note) or in the way (stop), and what it says."""

    about: str
    level: Literal["ok", "note", "stop"]
    says: str


def images(teacher: str, theirs: tuple[int, tuple[str, ...]], ours: tuple[int, tuple[str, ...]]) -> TeacherFinding:
    """Say whether a teacher's images, (size, artefacts taken out), are those that its student will show it."""
    (size, removed), (shown, kept) = theirs, ours
    differ = []
    if size != shown:
        differ.append(f"it was trained on {size} px and will be shown {shown} px")
    if removed != kept:
        differ.append(
            f"it was trained with artefacts {list(removed)} taken out, and its student takes out {list(kept)}"
        )
    if not differ:
        return TeacherFinding(
            "images", "ok", f"{teacher}: trained on {size} px as its student; each network normalises itself"
        )
    return TeacherFinding(
        "images",
        "note",
        f"{teacher}: {'; '.join(differ)}. All figures here are of it as shown; train it alike, or the student like it",
    )


def margin(found: Margin | None, students: int) -> list[TeacherFinding]:
    """Say whether the teacher is shown to be above the plain student, on average and class by class."""
    if found is None:
        says = (
            "nobody knows whether it is better than its student: train the plain student, and name its run: --student"
        )
        return [TeacherFinding("better than the student", "stop", says)]
    by = _interval(found.balanced_accuracy)
    said = [_average(found.balanced_accuracy, by, students)]
    worse = [row.name for row in found.classes if row.word == "worse"]
    behind = [row.name for row in found.classes if row.margin and row.margin.value < 0 and row.word != "worse"]
    if worse:
        says = f"its student alone is shown to find {', '.join(worse)} more often; there it teaches what is worse"
        said.append(TeacherFinding("class by class", "note", says))
    elif behind:
        says = f"shown to be worse at no class; behind, though that is not shown, at {', '.join(behind)}"
        said.append(TeacherFinding("class by class", "note", says))
    else:
        said.append(TeacherFinding("class by class", "ok", "at no class behind the student"))
    if found.accuracy.value > 0 > found.balanced_accuracy.value:
        says = (
            "better in accuracy and worse in balanced accuracy: it has learnt how common classes are, and teaches that"
        )
        said.append(TeacherFinding("rare classes", "note", says))
    return said


def _average(found: Estimate, by: str, students: int) -> TeacherFinding:
    about, of = "better than the student", f"balanced accuracy {by} against {students} plain run(s)"
    if found.low <= 0:
        return TeacherFinding(about, "stop", f"it is not shown to be better than the plain student: {of}")
    if found.value < ENOUGH:
        return TeacherFinding(
            about, "note", f"better, but by less than {100 * ENOUGH:.0f} points: {of}; a small gain is likely"
        )
    return TeacherFinding(about, "ok", of)


def memory(training: NetworkScores, validation: NetworkScores) -> TeacherFinding:
    """Say whether the teacher knows its training images by heart."""
    (trained, *_), (judged, *_) = training.balanced_accuracy, validation.balanced_accuracy
    says = (
        f"balanced accuracy {trained:.3f} on training images, {judged:.3f} on validation; it is right on "
        f"{training.accuracy[0]:.3f} and {validation.accuracy[0]:.3f}, with confidence {training.confidence:.3f} and "
        f"{validation.confidence:.3f}"
    )
    if trained - judged < BY_HEART:
        return TeacherFinding("training images", "ok", says)
    return TeacherFinding(
        "training images",
        "note",
        f"it knows them by heart: {says}. There its answers say little beyond the label; soften them more, augment "
        "more, or stop the teacher earlier",
    )


def calibration(found: Calibrated) -> TeacherFinding:
    """Say whether the teacher's probabilities on validation images mean what they say."""
    says = (
        f"ECE {found.raw:.3f} on validation; {found.cooled:.3f} once logits are divided by {found.temperature:.2f} "
        "(fitted and measured on different lesions)"
    )
    return TeacherFinding("calibration", "ok" if found.raw < SURE else "note", says)


def turning(found: Estimate) -> TeacherFinding:
    """Say whether the mean over quarter turns and flips is a better teacher than a single view."""
    says = f"averaging over 4 turns and flips: balanced accuracy {_interval(found)}"
    if found.low > 0:
        return TeacherFinding(
            "turns and flips", "note", f"{says}: it helps. Of several teachers the mean helps likewise"
        )
    return TeacherFinding("turns and flips", "ok", f"{says}: no gain shown")


def _interval(found: Estimate) -> str:
    return f"{points(found.value)} points (95 %: {points(found.low)} to {points(found.high)})"
