"""Predictions of student, teacher and further versions of the student, image by image."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from dspkd.evaluation.fidelity import agreement
from dspkd.evaluation.predictions import Predictions
from dspkd.runs.run_folder import Run

PARTS = ("test", "val")


def load_predictions(folder: Path) -> dict[str, dict[str, Predictions]]:
    """Read ``predictions/NAME-PART.csv`` of all networks but the student: ``{name: {part: predictions}}``."""
    others: dict[str, dict[str, Predictions]] = {}
    for part in PARTS:
        for path in sorted((folder / "predictions").glob(f"*-{part}.csv")):
            others.setdefault(path.stem.removesuffix(f"-{part}"), {})[part] = Predictions.load(path)
    return others


@dataclass(frozen=True)
class Outcome:
    """The true class of an image and the classes predicted by ``teacher`` and ``student``."""

    truth: str
    predictions: dict[str, str]

    @property
    def forgotten(self) -> bool:
        """Whether the teacher has it right and the student wrong."""
        return self.predictions.get("teacher") == self.truth != self.predictions["student"]


def by_image(run: Run, part: str) -> dict[str, Outcome]:
    """Return ``{id: outcome}`` of the images of a part."""
    mine = run.predictions(part)
    networks = {"student": mine}
    if teacher := load_predictions(run.folder).get("teacher", {}).get(part):
        networks["teacher"] = agreement(mine, teacher).teacher
    predicted = {name: each.predicted for name, each in networks.items()}
    return {
        name: Outcome(mine.classes[mine.labels[row]], {who: mine.classes[each[row]] for who, each in predicted.items()})
        for row, name in enumerate(mine.ids)
    }
