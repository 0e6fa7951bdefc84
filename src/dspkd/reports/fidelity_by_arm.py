"""What a comparison says of its arms' faithfulness to their teachers, on the test images."""

from __future__ import annotations

import tomllib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from dspkd.errors import DataError
from dspkd.evaluation.classes import melanoma
from dspkd.evaluation.fidelity import Agreement, agreement, by_class, tally
from dspkd.evaluation.predictions import Predictions
from dspkd.reports.comparison import ArmRuns, MeanAndSd
from dspkd.reports.outcomes import answers
from dspkd.runs.run_folder import Run

CAPTION = (
    "What the arms made of their teacher's answers to the test images, mean ± standard deviation over seeds. "
    "Forgotten: of what the teacher has right, what the student has wrong. Copied: of what the teacher has wrong, what "
    "the student answers with the same wrong class; corrected: what it has right. Same answer: right or wrong. KL: "
    "mean of KL(teacher ‖ student), in nats. An arm without a teacher is held against the teacher of the others: its "
    "row says what a student forgets that was never taught, and what a taught one should do better than."
)
"""What must be known to read the table."""

HEADINGS = ("arm", "taught", "forgotten", "melanoma forgotten", "copied", "corrected", "same answer", "KL")
"""Of the table; from the third on, those of `ArmFidelity.spreads`."""


@dataclass(frozen=True)
class RunFidelity:
    """A run's ledger in numbers: counts of test images, and shares, None where there is nothing to be a share of.

    `known` are those that the teacher has right, `missed` those that it has wrong; see
    `dspkd.evaluation.fidelity.Tally` for the rest. `kl` is in nats.
    """

    folder: str
    known: int
    forgotten: int
    missed: int
    copied: int
    corrected: int
    melanoma_known: int | None
    melanoma_forgotten: int | None
    forgets: float | None
    melanoma_forgets: float | None
    copies: float | None
    corrects: float | None
    agreement: float | None
    kl: float | None


@dataclass(frozen=True)
class ArmFidelity:
    """Spreads over the seeds of an arm, None where a share has no images, and its runs; `taught`: it had a teacher."""

    taught: bool
    forgets: MeanAndSd | None
    melanoma_forgets: MeanAndSd | None
    copies: MeanAndSd | None
    corrects: MeanAndSd | None
    agreement: MeanAndSd | None
    kl: MeanAndSd | None
    runs: tuple[RunFidelity, ...]

    @property
    def spreads(self) -> tuple[MeanAndSd | None, ...]:
        """The cells of its row."""
        return self.forgets, self.melanoma_forgets, self.copies, self.corrects, self.agreement, self.kl


def of_arms(ranked: Sequence[ArmRuns]) -> dict[str, ArmFidelity]:
    """Return the ledgers of arms against their teachers; empty where no run has its teacher's answers.

    A run without a teacher is held against the teacher of the others, if they all have the same: it says how much a
    student that never saw the teacher "forgets". Left out are arms with runs of which that is not known, and the
    teacher itself.
    """
    own = {run.folder: _taught(run) for arm in ranked for run in arm.runs}
    known = [teacher for teacher in own.values() if teacher is not None]
    common = known[0] if known and all(_same(known[0], each) for each in known) else None
    found = {}
    for arm in ranked:
        teachers = [own[run.folder] or (common if run.result.teacher is None else None) for run in arm.runs]
        ledgers = {run.folder: agreement(run.test, each) for run, each in zip(arm.runs, teachers, strict=True) if each}
        itself = all(_same(each.student, each.teacher) for each in ledgers.values())
        if len(ledgers) == len(arm.runs) and not itself:
            runs = tuple(_of_run(folder, each) for folder, each in ledgers.items())
            found[arm.name] = _of_arm(runs, taught=arm.runs[0].result.teacher is not None)
    return found


def _taught(run: Run) -> Predictions | None:
    """Return what the teacher answers to the run's test images: as kept in its folder, else as in the teacher's own.

    The latter is for runs made before it was kept, and asks of the teacher's folder that it was tested on the same
    images, cut and cleaned alike.
    """
    if (kept := answers(run.folder).get("teacher", {}).get("test")) or len(run.teachers) != 1:
        return kept
    folder = run.teachers[0]
    try:
        images = [tomllib.loads(text).get("images", {}) for text in (run.recipe, _text(folder / "recipe.toml"))]
        teacher = Predictions.load(folder / "predictions/test.csv")
        alike = all(images[0].get(key) == images[1].get(key) for key in ("size", "artefacts"))
        return agreement(run.test, teacher).teacher if alike else None
    except (OSError, DataError):
        return None


def _text(path: Path) -> str:
    return path.read_text(encoding="utf-8")


def _of_run(folder: Path, found: Agreement) -> RunFidelity:
    total = tally(found)
    first = None if melanoma(found.student.classes) is None else by_class(found)[0]
    return RunFidelity(
        folder=str(folder),
        known=total.known,
        forgotten=total.forgotten,
        missed=total.missed,
        copied=total.copied,
        corrected=total.corrected,
        melanoma_known=first.known if first else None,
        melanoma_forgotten=first.forgotten if first else None,
        forgets=total.forgets,
        melanoma_forgets=first.forgets if first else None,
        copies=total.copies,
        corrects=total.corrects,
        agreement=total.agreement,
        kl=total.kl,
    )


def _of_arm(runs: tuple[RunFidelity, ...], *, taught: bool) -> ArmFidelity:
    def spread(name: str) -> MeanAndSd | None:
        shares = [getattr(run, name) for run in runs]
        return None if None in shares else MeanAndSd.of(shares)

    return ArmFidelity(
        taught=taught,
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
