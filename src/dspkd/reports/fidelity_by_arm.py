"""Teacher-student agreement of the arms of a comparison, on the test set."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from dspkd.errors import DspkdError
from dspkd.evaluation.classes import melanoma
from dspkd.evaluation.fidelity import Agreement, agreement, by_class, tally
from dspkd.evaluation.predictions import Predictions
from dspkd.reports.comparison import ArmRuns, MeanAndSd, repetition
from dspkd.reports.outcomes import load_predictions
from dspkd.runs.reading import opened
from dspkd.runs.run_folder import Run

CAPTION = (
    "Teacher-student agreement on the test set, mean ± standard deviation over runs. Forgotten: share of the images "
    "that the teacher has right and the student wrong, of those the teacher has right. Copied: same wrong class; "
    "corrected: student right; both of those the teacher has wrong. Same class: right or wrong. KL: mean of "
    "KL(teacher ‖ student), in nats. A method without a teacher is compared with the teacher of the others: its row is "
    "the baseline that a distilled student should improve on."
)
"""The caption of the table."""

HEADINGS = ("method", "teacher", "forgotten", "melanoma forgotten", "copied", "corrected", "same class", "KL")
"""The columns of the table; from the third on, those of `ArmFidelity.spreads`."""


@dataclass(frozen=True)
class RunFidelity:
    """A run's agreement with its teacher: counts of test images, and shares, None where the denominator is 0.

    See `dspkd.evaluation.fidelity.Tally`; `kl` is in nats.
    """

    folder: str
    teacher_right: int
    forgotten: int
    teacher_wrong: int
    copied: int
    corrected: int
    melanoma_teacher_right: int | None
    melanoma_forgotten: int | None
    forgets: float | None
    melanoma_forgets: float | None
    copies: float | None
    corrects: float | None
    agreement: float | None
    kl: float | None


@dataclass(frozen=True)
class ArmFidelity:
    """Mean and sd over the runs of an arm, None where a share has no images, and its runs."""

    has_teacher: bool
    forgets: MeanAndSd | None
    melanoma_forgets: MeanAndSd | None
    copies: MeanAndSd | None
    corrects: MeanAndSd | None
    agreement: MeanAndSd | None
    kl: MeanAndSd | None
    runs: tuple[RunFidelity, ...]

    @property
    def spreads(self) -> tuple[MeanAndSd | None, ...]:
        """The cells of the table, from the third column on."""
        return self.forgets, self.melanoma_forgets, self.copies, self.corrects, self.agreement, self.kl


def of_arms(ranked: Sequence[ArmRuns]) -> dict[str, ArmFidelity]:
    """Compare arms with their teachers; empty where no run has its teacher's predictions.

    A run without a teacher is compared with the teacher of the others, if they all have the same (with folds, that of
    its own division into them): the baseline of a student that never saw the teacher. Arms without a teacher's
    predictions are left out, and so is the teacher itself.
    """
    own = {run.folder: _teacher(run) for arm in ranked for run in arm.runs}
    of_division: dict[int, list[Predictions]] = {}
    for run in (run for arm in ranked for run in arm.runs):
        if teacher := own[run.folder]:
            of_division.setdefault(repetition(run)[1], []).append(teacher)
    common = {
        division: several[0]
        for division, several in of_division.items()
        if all(_same(several[0], each) for each in several)
    }
    by_name = {}
    for arm in ranked:
        pairs = [
            (run, own[run.folder] or (common.get(repetition(run)[1]) if run.result.teacher is None else None))
            for run in arm.runs
        ]
        compared = {run.folder: agreement(run.predictions("test"), teacher) for run, teacher in pairs if teacher}
        itself = all(_same(each.student, each.teacher) for each in compared.values())
        if len(compared) == len(arm.runs) and not itself:
            runs = tuple(_of_run(folder, each) for folder, each in compared.items())
            by_name[arm.name] = _of_arm(runs, has_teacher=arm.runs[0].result.teacher is not None)
    return by_name


def _teacher(run: Run) -> Predictions | None:
    """Return the teacher's predictions of the run's test images, from the run's folder or else the teacher's own.

    The latter is for runs that did not keep them; the teacher must have been tested on the same images, with the same
    size and removal of artefacts.
    """
    if (kept := load_predictions(run.folder).get("teacher", {}).get("test")) or len(run.teachers) != 1:
        return kept
    folder = run.teachers[0]
    try:
        teacher = opened(folder)
        ours, theirs = run.recipe.images, teacher.recipe.images
        same_images = (ours.size, ours.artefacts) == (theirs.size, theirs.artefacts)
        return agreement(run.predictions("test"), teacher.predictions("test")).teacher if same_images else None
    except DspkdError:
        return None


def _of_run(folder: Path, compared: Agreement) -> RunFidelity:
    total = tally(compared)
    first = None if melanoma(compared.student.classes) is None else by_class(compared)[0]
    return RunFidelity(
        folder=str(folder),
        teacher_right=total.teacher_right,
        forgotten=total.forgotten,
        teacher_wrong=total.teacher_wrong,
        copied=total.copied,
        corrected=total.corrected,
        melanoma_teacher_right=first.teacher_right if first else None,
        melanoma_forgotten=first.forgotten if first else None,
        forgets=total.forgets,
        melanoma_forgets=first.forgets if first else None,
        copies=total.copies,
        corrects=total.corrects,
        agreement=total.agreement,
        kl=total.kl,
    )


def _of_arm(runs: tuple[RunFidelity, ...], *, has_teacher: bool) -> ArmFidelity:
    def spread(name: str) -> MeanAndSd | None:
        shares = [getattr(run, name) for run in runs]
        return None if None in shares else MeanAndSd.of(shares)

    return ArmFidelity(
        has_teacher=has_teacher,
        forgets=spread("forgets"),
        melanoma_forgets=spread("melanoma_forgets"),
        copies=spread("copies"),
        corrects=spread("corrects"),
        agreement=spread("agreement"),
        kl=spread("kl"),
        runs=runs,
    )


def _same(one: Predictions, other: Predictions) -> bool:
    return one.ids == other.ids and np.allclose(one.logits, other.logits, rtol=1e-3, atol=1e-3)
