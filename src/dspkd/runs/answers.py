"""From a recipe's ``teacher.answers`` to a teacher, and from a recipe's teacher to such a file."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Collection, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from dspkd.data import answer_files
from dspkd.data.answer_files import Answers
from dspkd.data.split import Split
from dspkd.data.table import Table
from dspkd.errors import DataError, RecipeError, RunError, first_few
from dspkd.recipes.schema import Recipe
from dspkd.runs import build
from dspkd.runtime.files import atomic_open, sha256_of
from dspkd.runtime.zip_files import DAMAGED
from dspkd.training.progress import NullProgress, ProgressListener
from dspkd.training.teachers import linear_head
from dspkd.training.teachers.answers import AnswersTeacher


def teacher_of(
    recipe: Recipe,
    table: Table,
    split: Split,
    device: torch.device,
    *,
    images: Table | None = None,
    kept: Path | None = None,
    listener: ProgressListener | None = None,
) -> build.AnyTeacher | AnswersTeacher | None:
    """Return the recipe's teacher, a network or a file of answers; None where it has none.

    `images` is the table followed by unlabelled images, where there are any; `kept` and `listener` as for `teacher`.
    Raises as that or as `dspkd.runs.build.evaluated_teacher` does.
    """
    if recipe.teacher and recipe.teacher.answers:
        return teacher(Path(recipe.teacher.answers), images or table, split, kept=kept, listener=listener)
    return build.evaluated_teacher(recipe, table, split, device)


def teacher(
    path: Path, table: Table, split: Split, *, kept: Path | None = None, listener: ProgressListener | None = None
) -> AnswersTeacher:
    """Return the teacher whose answers are in the file `path`; a head is fitted where they are embeddings.

    Parameters
    ----------
    path
        See `dspkd.data.answer_files.read`.
    table, split
        The images. Each training image must have an answer, and each unlabelled one; the validation and test sets may
        have.
    kept
        Where a run keeps its teacher's logits, so that a resumed run has the same: a fit may depend on the number of
        threads. None keeps nothing.
    listener
        Receives what was found in the file, and progress.

    Raises
    ------
    DataError
        See `dspkd.data.answer_files.read`; training images lack an answer.
    RunError
        The file, or the images, their classes, labels, groups or sets, have changed since the run began.
    """
    listener = listener or NullProgress()
    digest = _digest(path)
    answers = answer_files.read(path, table.classes)
    values = _by_row(answers, table, {"training": split.rows("train"), "unlabelled": _unlabelled(table)})
    listener.note(_described(answers, table, split, values))
    if kept is not None and kept.exists():
        logits = _as_the_run_began(kept, digest, path, table, split)
    elif answers.kind == "embeddings":
        logits = _by_head(values, table, split, listener)
    else:
        logits = replace(answers, values=values).logits
    if kept is not None and not kept.exists():
        _keep(kept, digest, logits, table, split)
    if answers.kind == "embeddings":
        return AnswersTeacher(str(path), table.ids, logits, pooled=values, class_prior=_class_shares(table, split))
    return AnswersTeacher(str(path), table.ids, logits)


def require_readable(path: str, teacher: AnswersTeacher, fields: Collection[str]) -> None:
    """Refuse terms that read what a file of answers does not have, given the fields that all terms read.

    Raises
    ------
    RecipeError
        Names what the terms read.
    """
    has = {"logits", "pooled"} if teacher.spec.pooled else {"logits"}
    if lacking := sorted(set(fields) - has):
        remedy = "give it embeddings, or " if lacking == ["pooled"] else ""
        raise RecipeError(
            f"teacher.answers = {path!r}: terms read the teacher's {', '.join(lacking)}, and the file has "
            f"{' and '.join(sorted(has))} only; {remedy}use terms that read logits, such as kd, or name a run: "
            'teacher.run = "runs/..."'
        )


def _digest(path: Path) -> str:
    try:
        return sha256_of(path)
    except OSError as error:
        raise DataError(f"teacher.answers: {path}: cannot be read: {error.strerror}") from None


def _unlabelled(table: Table) -> NDArray[np.int64]:
    return np.arange(len(table) if table.labelled is None else table.labelled, len(table))


def _by_row(answers: Answers, table: Table, required: Mapping[str, NDArray[np.int64]]) -> NDArray[np.float32]:
    """Return the values in the order of the table, NaN where there are none; DataError if required ones are missing."""
    row_of = {image: row for row, image in enumerate(answers.ids)}
    values = np.full((len(table), answers.values.shape[1]), np.nan, np.float32)
    for row, image in enumerate(table.ids):
        if image in row_of:
            values[row] = answers.values[row_of[image]]
    for kind, rows in required.items():
        if lacking := [table.ids[row] for row in rows if np.isnan(values[row, 0])]:
            raise DataError(
                f"{answers.path}: no answer for {len(lacking):,} of {len(rows):,} {kind} images: "
                f"{first_few(lacking)}; its images are called {answers.ids[0]!r} and so on"
            )
    return values


def _described(answers: Answers, table: Table, split: Split, values: NDArray[np.float32]) -> str:
    """Return in words what is in the file."""
    counted = []
    parts = {
        name: split.places(part) for name, part in (("training", "train"), ("validation", "val"), ("test", "test"))
    }
    for name, rows in {**parts, "unlabelled": _unlabelled(table)}.items():
        known = int((~np.isnan(values[rows, 0])).sum())
        if len(rows):
            counted.append(f"{known:,} of {len(rows):,} {name} images")
    other = len(set(answers.ids) - set(table.ids))
    beside = f"; {other:,} ids are not of this data set and are ignored" if other else ""
    what = f"embeddings of {answers.values.shape[1]:,} numbers" if answers.kind == "embeddings" else answers.kind
    return (
        f"{answers.path}: {what} for {', '.join(counted)}, one for each image, the same for all of its views{beside}. "
        "Whether its model was trained on images of the validation or test set cannot be checked here"
    )


def _class_shares(table: Table, split: Split) -> tuple[float, ...]:
    counts_K = np.bincount(table.labels[split.rows("train")], minlength=len(table.classes))
    return tuple((counts_K / counts_K.sum()).tolist())


def _by_head(
    values: NDArray[np.float32], table: Table, split: Split, listener: ProgressListener
) -> NDArray[np.float32]:
    """Return log-probabilities of a linear head; NaN for images without an embedding."""
    present = np.flatnonzero(~np.isnan(values[:, 0]))
    trained = np.searchsorted(present, np.sort(split.rows("train")))
    groups = [table.groups[row] for row in present]
    labels = np.where(np.isin(present, split.rows("train")), table.labels[present], -1)  # no other label is read
    fit = linear_head.fit(values[present], labels, groups, trained, len(table.classes), listener.prepare)
    listener.note(
        f"a linear head on the embeddings, fitted without each image's own lesion: balanced accuracy "
        f"{fit.balanced_accuracy:.3f}, log loss {fit.log_loss:.3f} on the training images (penalty 1 / "
        f"{fit.strength:g})"
    )
    logits = np.full((len(table), len(table.classes)), np.nan, np.float32)
    logits[present] = fit.log_p
    return logits


def _as_the_run_began(kept: Path, digest: str, path: Path, table: Table, split: Split) -> NDArray[np.float32]:
    """Return the logits with which the run began, in the order of the table; RunError if file or data have changed.

    A run of an older version has no record of its data: the names of its images alone are compared.
    """
    saved = _saved(kept)
    row_of = {str(name): row for row, name in enumerate(saved["ids"])}
    if str(saved["sha256"]) != digest:
        raise RunError(f"{path}: has changed since this run began; train into another folder")
    if row_of.keys() != set(table.ids):
        raise RunError(f"{kept}: is about other images than those that are there now; train into another folder")
    if "data" in saved and str(saved["data"]) != _digest_of_data(table, split):
        raise RunError(
            f"{kept}: classes, labels, groups or sets of the images have changed since this run began; restore the "
            "data, or train into another folder"
        )
    return np.asarray(saved["logits"][[row_of[name] for name in table.ids]])


def digest_of_file(kept: Path) -> str:
    """Return the SHA-256 of the file of answers from which a run has the logits that it keeps in `kept`."""
    return str(_saved(kept)["sha256"])


def _saved(kept: Path) -> dict[str, NDArray[Any]]:
    try:
        with kept.open("rb") as file, np.load(file) as saved:
            arrays = {name: np.asarray(saved[name]) for name in saved.files}
            _ = arrays["sha256"], arrays["ids"], arrays["logits"]
    except (OSError, *DAMAGED):
        raise RunError(f"{kept}: is damaged; restore it from a copy, or train into another folder") from None
    return arrays


def _keep(kept: Path, digest: str, logits: NDArray[np.float32], table: Table, split: Split) -> None:
    with atomic_open(kept, "wb") as file:
        np.savez_compressed(
            file,
            sha256=np.array(digest),
            data=np.array(_digest_of_data(table, split)),
            logits=logits,
            ids=np.array(table.ids),
        )


def _digest_of_data(table: Table, split: Split) -> str:
    """Return the SHA-256 of the classes, and of label, group and set of each image in any order."""
    parts = [*split.parts.tolist(), *[""] * len(_unlabelled(table))]
    rows = sorted(zip(table.ids, table.labels.tolist(), table.groups, parts, strict=True))
    return hashlib.sha256(json.dumps([table.classes, rows]).encode()).hexdigest()
