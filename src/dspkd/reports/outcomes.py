"""What student, teacher and further versions of the student answered to each image, as the run folder has it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from dspkd.evaluation.fidelity import agreement
from dspkd.evaluation.predictions import Predictions
from dspkd.runs.run_folder import Run

PARTS = ("test", "val")


def answers(folder: Path) -> dict[str, dict[str, Predictions]]:
    """Return what others than the student said, ``{who: {part: predictions}}``: ``predictions/WHO-PART.csv``."""
    said: dict[str, dict[str, Predictions]] = {}
    for part in PARTS:
        for path in sorted((folder / "predictions").glob(f"*-{part}.csv")):
            said.setdefault(path.stem.removesuffix(f"-{part}"), {})[part] = Predictions.load(path)
    return said


@dataclass(frozen=True)
class Outcome:
    """What each network, ``teacher`` and ``student``, answered to an image of class `truth`."""

    truth: str
    answers: dict[str, str]

    @property
    def forgotten(self) -> bool:
        """Whether the teacher has it right and the student wrong."""
        return self.answers.get("teacher") == self.truth != self.answers["student"]


def answers_of(run: Run, part: str) -> dict[str, Outcome]:
    """Return ``{id: what was answered}`` to the images of a part."""
    mine = run.val if part == "val" else run.test
    said = {"student": mine}
    if teacher := answers(run.folder).get("teacher", {}).get(part):
        said["teacher"] = agreement(mine, teacher).teacher
    predicted = {name: each.predicted for name, each in said.items()}
    return {
        name: Outcome(mine.classes[mine.labels[row]], {who: mine.classes[each[row]] for who, each in predicted.items()})
        for row, name in enumerate(mine.ids)
    }
