"""The sealed test part: one function hands out the images that judge a run, and each time it does is written down.

A test set that is looked at again and again becomes a second validation set. So nothing but `evaluate_test` gives out
its rows (`Split.rows` refuses to), and the run folder keeps a line for each evaluation of it, which every
report of the run prints.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from dspkd.data.csv_rows import read_rows
from dspkd.data.split import Split
from dspkd.data.table import Table
from dspkd.errors import RunError

FILE = "test_evaluations.jsonl"
"""A line for each opening of a run's test part, appended and never changed."""

TRAINING = "train"
"""Purpose of the opening with which training ends."""


@dataclass(frozen=True)
class TestEvaluation:
    """One opening of a run's test part.

    Attributes
    ----------
    date
        In UTC, as ``2026-11-24T23:12:05+00:00``.
    purpose
        The command that judged the test images.
    model
        SHA-256, in hex, of the weights that were judged.
    epochs
        How many epochs they had been trained for.
    images
        How many test images were shown with their labels.
    """

    date: str
    purpose: str
    model: str
    epochs: int
    images: int


def evaluate_test(split: Split, run: Path, *, purpose: str) -> NDArray[np.int64]:
    """Return the rows of the test part, once the opening is written into the run's folder.

    Training's own opening counts once for the same weights, however often its run was killed there and resumed.

    Parameters
    ----------
    split
        The run's split.
    run
        Its folder, with the weights that are to be judged.
    purpose
        The command that asks.

    Raises
    ------
    RunError
        There are no trained weights yet, or the opening cannot be written: then the part stays sealed.
    """
    rows = split.places("test")
    if not (purpose == TRAINING and _is_counted(run)):
        count(run, purpose=purpose, images=len(rows))
    return rows


def count(run: Path, *, purpose: str, images: int) -> None:
    """Write an opening into the run's folder, before any label is read; `RunError` where that is not possible."""
    made = TestEvaluation(_date(datetime.now(UTC)), purpose, _model(run), _epochs(run), images)
    earlier = _uncounted(run, images)
    line = "".join(json.dumps(asdict(opening)) + "\n" for opening in [*earlier, made])
    try:
        descriptor = os.open(run / FILE, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
        try:
            os.write(descriptor, line.encode())  # at once, so that two that write at the same time do not mix
        finally:
            os.close(descriptor)
    except OSError as error:
        raise RunError(
            f"{run / FILE}: cannot be written to: {error.strerror}; an opening of the test images must be counted, so "
            "they stay sealed. Copy the run to a folder that can be written to"
        ) from error


def evaluations(run: Path) -> list[TestEvaluation] | None:
    """Return the openings of a run, first one first; None for a run that was made before they were counted.

    Raises
    ------
    RunError
        The file is not as `evaluate_test` wrote it.
    """
    if not (run / FILE).exists():
        return None
    found = []
    for number, line in enumerate((run / FILE).read_text(encoding="utf-8").splitlines(), start=1):
        try:
            found.append(TestEvaluation(**json.loads(line)))
        except (ValueError, TypeError):
            raise RunError(
                f"{run / FILE}, line {number}: not an opening as it was written; it is only ever appended to"
            ) from None
    return found


def early(run: Path, found: Sequence[TestEvaluation]) -> list[TestEvaluation]:
    """Return the openings that training may have learnt from: with other weights than the final ones, or before them.

    Whoever sees a test figure, trains on, and judges again has chosen by the test images.
    """
    if not found:
        return []
    model, epochs = _model(run), _epochs(run)
    return [opening for opening in found if opening.model != model or opening.epochs < epochs]


def tested(run: Path, table: Table) -> int:
    """Return how many images of `table` are test images of the run, by id, lesion and label."""
    rows = read_rows(run / "split.csv")
    columns = [rows.column(name) for name in ("id", "group", "label", "part")]
    sealed = {(name, group, label) for name, group, label, part in zip(*columns, strict=True) if part == "test"}
    labels = [table.classes[label] for label in table.labels]
    return sum(image in sealed for image in zip(table.ids, table.groups, labels, strict=True))


def _uncounted(run: Path, images: int) -> list[TestEvaluation]:
    """Return training's own opening of a finished run that was made before openings were counted."""
    judged = run / "predictions/test.csv"
    if (run / FILE).exists() or not (run / "result.json").exists() or not judged.exists():
        return []
    written = datetime.fromtimestamp(judged.stat().st_mtime, UTC)
    return [TestEvaluation(_date(written), TRAINING, _model(run), _epochs(run), images)]


def _date(moment: datetime) -> str:
    return moment.isoformat(timespec="seconds")


def _is_counted(run: Path) -> bool:
    model = _model(run)
    return any(opening.purpose == TRAINING and opening.model == model for opening in evaluations(run) or ())


def _model(run: Path) -> str:
    weights = run / "model.safetensors"
    if not weights.is_file():
        raise RunError(f"{run}: no trained weights (model.safetensors), so nothing to open the test images for")
    with weights.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _epochs(run: Path) -> int:
    """Return how many epochs the run's records have; 0 where there are none."""
    records = run / "metrics.jsonl"
    return len(records.read_text(encoding="utf-8").splitlines()) if records.is_file() else 0
