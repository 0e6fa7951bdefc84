"""The held-out test set: `evaluate_test` alone returns its rows, and records each evaluation in the run folder.

A test set that is evaluated repeatedly becomes a second validation set. So `Split.rows` refuses it, and
``test_evaluations.jsonl`` gets a line for each evaluation, never changed, which every report of the run prints.
"""

from __future__ import annotations

import json
import os
from collections.abc import Sequence, Set
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from dspkd.data.csv_rows import read_rows
from dspkd.data.split import Split
from dspkd.data.table import Table
from dspkd.errors import RunError
from dspkd.runs import records
from dspkd.runs.files import RunFiles
from dspkd.runtime.files import sha256_of

TRAINING = "train"
"""Purpose of the evaluation at the end of training."""


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
        Number of epochs they had been trained for.
    images
        Number of test images used.
    """

    date: str
    purpose: str
    model: str
    epochs: int
    images: int


def evaluate_test(split: Split, run: Path, *, purpose: str) -> NDArray[np.int64]:
    """Record an evaluation on the test set in the run folder, then return the rows of the test set.

    The evaluation at the end of training counts once for the same weights, even if interrupted and resumed.

    Parameters
    ----------
    split
        The run's split.
    run
        The run's folder, with the weights to evaluate.
    purpose
        The command that evaluates.

    Raises
    ------
    RunError
        There are no trained weights yet, or the evaluation cannot be recorded, and so must not take place.
    """
    rows = split.places("test")
    if not (purpose == TRAINING and _is_recorded(run)):
        record(run, purpose=purpose, images=len(rows))
    return rows


def record(run: Path, *, purpose: str, images: int) -> None:
    """Record an evaluation in the run folder, before any label is read; RunError where that fails."""
    files = RunFiles(run)
    path = files.test_evaluations
    evaluation = TestEvaluation(_date(datetime.now(UTC)), purpose, _model(run), _epochs(run), images)
    line = json.dumps(asdict(evaluation)) + "\n"
    try:
        with files.manifest.recording(path):
            descriptor = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
            try:
                os.write(descriptor, line.encode())  # in one call, so that lines of two processes do not mix
            finally:
                os.close(descriptor)
    except OSError as error:
        raise RunError(
            f"{path}: cannot be written to: {error.strerror}; an evaluation on the test set must be recorded, so "
            "it does not take place. Copy the run to a writable folder"
        ) from error


def evaluations(run: Path) -> list[TestEvaluation]:
    """Return the recorded evaluations on a run's test set, in order; empty before training has ended.

    Raises
    ------
    RunError
        A line of the file is damaged.
    """
    path = RunFiles(run).test_evaluations
    if not path.exists():
        return []
    read = []
    for number, line in enumerate(records.text_of(path).splitlines(), start=1):
        try:
            read.append(TestEvaluation(**json.loads(line)))
        except (ValueError, TypeError):
            raise RunError(
                f"{path}, line {number}: not a recorded test-set evaluation; restore the file, which is only ever "
                "appended to"
            ) from None
    return read


def early(run: Path, evaluations: Sequence[TestEvaluation]) -> list[TestEvaluation]:
    """Return the evaluations of other weights than the final ones, or of fewer epochs.

    Training that continued after one of them may have selected the model on the test set.
    """
    if not evaluations:
        return []
    model, epochs = _model(run), _epochs(run)
    return [each for each in evaluations if each.model != model or each.epochs < epochs]


def count_test_images(run: Path, table: Table, same: Sequence[Set[str]] = ()) -> int:
    """Return the number of images of `table` that are in the run's test set, by id and label or as copies.

    Lesions do not count: the table may name them by another column.

    Parameters
    ----------
    run
        The run's folder.
    table
        Images of another data set.
    same
        For each of them the ids of the run's own images of which it is a copy; by default, none is known.
    """
    rows = read_rows(RunFiles(run).split)
    columns = [rows.column(name) for name in ("id", "label", "part")]
    held_out = {(name, label) for name, label, part in zip(*columns, strict=True) if part == "test"}
    names = {name for name, _ in held_out}
    images = zip(table.ids, [table.classes[label] for label in table.labels], strict=True)
    return sum(
        image in held_out or not names.isdisjoint(others)
        for image, others in zip(images, same or [frozenset()] * len(table), strict=True)
    )


def _date(moment: datetime) -> str:
    return moment.isoformat(timespec="seconds")


def _is_recorded(run: Path) -> bool:
    model = _model(run)
    return any(each.purpose == TRAINING and each.model == model for each in evaluations(run))


def _model(run: Path) -> str:
    weights = RunFiles(run).weights
    if not weights.is_file():
        raise RunError(f"{run}: no trained weights ({weights.name}), so there is nothing to evaluate on the test set")
    return sha256_of(weights)


def _epochs(run: Path) -> int:
    """Return the number of recorded epochs."""
    metrics = RunFiles(run).metrics
    return len(records.text_of(metrics).splitlines()) if metrics.is_file() else 0
