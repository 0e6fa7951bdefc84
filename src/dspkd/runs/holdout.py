"""The held-out test set: one function hands out its rows, and records each evaluation in the run folder.

A test set that is evaluated again and again becomes a second validation set. So nothing but `evaluate_test` gives out
its rows (`Split.rows` refuses to), and ``test_evaluations.jsonl`` has a line for each evaluation, appended and never
changed, which every report of the run prints.
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
from dspkd.runs.files import RunFiles

TRAINING = "train"
"""Purpose of the evaluation with which training ends."""


@dataclass(frozen=True)
class TestEvaluation:
    """One evaluation on a run's test set.

    Attributes
    ----------
    date
        In UTC, as ``2026-11-24T23:12:05+00:00``.
    purpose
        The command that evaluated the test set.
    model
        SHA-256, in hex, of the weights that were evaluated.
    epochs
        How many epochs they had been trained for.
    images
        How many test images were used.
    """

    date: str
    purpose: str
    model: str
    epochs: int
    images: int


def evaluate_test(split: Split, run: Path, *, purpose: str) -> NDArray[np.int64]:
    """Return the rows of the test set, after the evaluation has been recorded in the run folder.

    Training's own evaluation counts once for the same weights, however often it was interrupted there and resumed.

    Parameters
    ----------
    split
        The run's split.
    run
        Its folder, with the weights that are to be evaluated.
    purpose
        The command that evaluates.

    Raises
    ------
    RunError
        There are no trained weights yet, or the evaluation cannot be recorded: then it does not take place.
    """
    rows = split.places("test")
    if not (purpose == TRAINING and _is_recorded(run)):
        record(run, purpose=purpose, images=len(rows))
    return rows


def record(run: Path, *, purpose: str, images: int) -> None:
    """Record an evaluation in the run folder, before any label is read; RunError where that is not possible."""
    path = RunFiles(run).test_evaluations
    made = TestEvaluation(_date(datetime.now(UTC)), purpose, _model(run), _epochs(run), images)
    line = json.dumps(asdict(made)) + "\n"
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
        try:
            os.write(descriptor, line.encode())  # in one call, so that two that write at the same time do not mix
        finally:
            os.close(descriptor)
    except OSError as error:
        raise RunError(
            f"{path}: cannot be written to: {error.strerror}; an evaluation on the test set must be recorded, so "
            "it does not take place. Copy the run to a folder that can be written to"
        ) from error


def evaluations(run: Path) -> list[TestEvaluation]:
    """Return the recorded evaluations on a run's test set, in order; none before training has ended.

    Raises
    ------
    RunError
        The file is not as `evaluate_test` wrote it.
    """
    path = RunFiles(run).test_evaluations
    if not path.exists():
        return []
    recorded = []
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), start=1):
        try:
            recorded.append(TestEvaluation(**json.loads(line)))
        except (ValueError, TypeError):
            raise RunError(
                f"{path}, line {number}: not a test-set evaluation as it was recorded; restore the file, which is only "
                "ever appended to"
            ) from None
    return recorded


def early(run: Path, evaluations: Sequence[TestEvaluation]) -> list[TestEvaluation]:
    """Return the evaluations that training may have learnt from: of other weights than the final ones, or earlier.

    Who sees a test figure, trains on, and evaluates again has selected the model on the test set.
    """
    if not evaluations:
        return []
    model, epochs = _model(run), _epochs(run)
    return [each for each in evaluations if each.model != model or each.epochs < epochs]


def tested(run: Path, table: Table) -> int:
    """Return how many images of `table` are in the run's test set, by id, lesion and label."""
    rows = read_rows(RunFiles(run).split)
    columns = [rows.column(name) for name in ("id", "group", "label", "part")]
    held_out = {(name, group, label) for name, group, label, part in zip(*columns, strict=True) if part == "test"}
    labels = [table.classes[label] for label in table.labels]
    return sum(image in held_out for image in zip(table.ids, table.groups, labels, strict=True))


def _date(moment: datetime) -> str:
    return moment.isoformat(timespec="seconds")


def _is_recorded(run: Path) -> bool:
    model = _model(run)
    return any(each.purpose == TRAINING and each.model == model for each in evaluations(run))


def _model(run: Path) -> str:
    weights = RunFiles(run).weights
    if not weights.is_file():
        raise RunError(f"{run}: no trained weights ({weights.name}), so there is nothing to evaluate on the test set")
    with weights.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _epochs(run: Path) -> int:
    """Return how many epochs are recorded; 0 where there are none."""
    records = RunFiles(run).metrics
    return len(records.read_text(encoding="utf-8").splitlines()) if records.is_file() else 0
