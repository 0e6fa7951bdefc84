"""What a comparison says of its arms' faithfulness to their teachers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from dspkd.evaluate.ledger import Ledger, by_class, ledger, melanoma, tally
from dspkd.evaluate.predictions import Predictions
from dspkd.report.answered import answers
from dspkd.report.comparison import Contender, Spread


@dataclass(frozen=True)
class ArmFidelity:
    """Spreads over the seeds of an arm, on the test images; None where a share has no images."""

    forgets: Spread | None
    melanoma_forgets: Spread | None
    copies: Spread | None
    corrects: Spread | None
    agreement: Spread | None
    kl: Spread | None


def of_arms(ranked: Sequence[Contender]) -> dict[str, ArmFidelity]:
    """Return the ledgers of arms against their teachers; empty where no run has its teacher's answers.

    A run without a teacher is held against the teacher of the others, if they all have the same: it says how much a
    student that never saw the teacher "forgets". Left out are arms with runs of which that is not known, and the
    teacher itself.
    """
    own = {run.folder: answers(run.folder).get("teacher", {}).get("test") for arm in ranked for run in arm.runs}
    known = [teacher for teacher in own.values() if teacher is not None]
    common = known[0] if known and all(_same(known[0], each) for each in known) else None
    found = {}
    for arm in ranked:
        teachers = [own[run.folder] or (common if run.result.teacher is None else None) for run in arm.runs]
        ledgers = [ledger(run.test, each) for run, each in zip(arm.runs, teachers, strict=True) if each]
        itself = all(_same(each.student, each.teacher) for each in ledgers)
        if len(ledgers) == len(arm.runs) and not itself:
            found[arm.name] = _of_arm(ledgers)
    return found


def _of_arm(ledgers: Sequence[Ledger]) -> ArmFidelity:
    totals = [tally(each) for each in ledgers]
    first = melanoma(ledgers[0].student.classes)
    melanomas = [] if first is None else [by_class(each)[0] for each in ledgers]

    def spread(values: Sequence[float | None]) -> Spread | None:
        shares = [value for value in values if value is not None]
        return Spread.of(shares) if shares and len(shares) == len(values) else None

    return ArmFidelity(
        forgets=spread([each.forgets for each in totals]),
        melanoma_forgets=spread([each.forgets for each in melanomas]),
        copies=spread([each.copies for each in totals]),
        corrects=spread([each.corrects for each in totals]),
        agreement=spread([each.agreement for each in totals]),
        kl=spread([each.kl for each in totals]),
    )


def _same(one: Predictions, other: Predictions) -> bool:
    return one.ids == other.ids and np.allclose(one.logits, other.logits, rtol=1e-3, atol=1e-3)
