"""What may not change once a run has trained an epoch: its data, and the weights that it begins and learns from.

And not when it is finished: a student beside a teacher that was trained again would be taken for its student.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from pydantic import TypeAdapter

from dspkd.data.decode_cache import fingerprints
from dspkd.data.split import UNUSED, Split
from dspkd.data.table import Table
from dspkd.errors import RunError
from dspkd.models import weights
from dspkd.recipes.schema import Recipe
from dspkd.runs import answers, records
from dspkd.runs.files import RunFiles
from dspkd.runs.records import DataSummary
from dspkd.runtime.files import write_json
from dspkd.runtime.manifest import sha256_once


def recorded_data(files: RunFiles) -> DataSummary | None:
    """Return what a run folder records of its data; None where training was stopped before that."""
    return records.read(TypeAdapter(DataSummary), files.data) if files.data.exists() else None


def require_same_data(files: RunFiles, table: Table, split: Split, unlabelled: Sequence[Path]) -> str:
    """Return the SHA-256 of the content of all images that the run uses.

    A run of an older version has no record of it: its data are not compared.

    Parameters
    ----------
    files
        Those of the run.
    table, split, unlabelled
        The labelled images, the set of each, and the files of the unlabelled ones.

    Raises
    ------
    RunError
        Classes, labels, groups, order or content of the images have changed since the first epoch was trained.
    DataError
        An image file cannot be read.
    """
    recorded = recorded_data(files) if files.trained else None
    before = recorded if recorded and recorded.content else None
    if before and before.digest != table.digest:
        raise _changed(files, table, "classes, labels (or soft labels), groups or order of the images have")
    content = content_of(table, split, unlabelled)
    if before and before.content != content:
        raise _changed(files, table, "the content of image files has")
    return content


def content_of(table: Table, split: Split, unlabelled: Sequence[Path]) -> str:
    """Return the SHA-256 of the content of all images; DataError where one cannot be read."""
    used = [path for path, part in zip(table.paths, split.parts, strict=True) if part != UNUSED]
    return hashlib.sha256(b"".join(fingerprints([*used, *unlabelled]))).hexdigest()


def _changed(files: RunFiles, table: Table, what: str) -> RunError:
    return RunError(
        f"{table.root}: {what} changed since {files.folder} began; restore the data, or train into another folder"
    )


def require_same_teachers(files: RunFiles, runs: Iterable[str]) -> None:
    """Record the weights of teachers; RunError if those of one have changed since the first epoch was trained."""
    now = {run: sha256_once(RunFiles(Path(run)).weights) for run in runs}
    _require_same(files, files.teacher_weights, "teacher", now)


def require_taught_by_the_same(files: RunFiles, recipe: Recipe) -> None:
    """Refuse a finished run whose teacher is another one now, trained again or a changed file of answers.

    A teacher that is not there any more is not compared, nor that of a run of an older version, which has no record.

    Raises
    ------
    RunError
        Names the run and its teacher.
    """
    record = files.teacher_weights
    taught_by = records.read(TypeAdapter(dict[str, str]), record) if record.is_file() else {}
    for run, digest in taught_by.items():
        _require_same_teacher(files, f"its teacher {run} was trained again since", RunFiles(Path(run)).weights, digest)
    if recipe.teacher and recipe.teacher.answers and files.teacher_answers.is_file():
        path = Path(recipe.teacher.answers)
        digest = answers.digest_of_file(files.teacher_answers)
        _require_same_teacher(files, f"its teacher {path} has changed since", path, digest)


def _require_same_teacher(files: RunFiles, otherwise: str, path: Path, digest: str) -> None:
    if path.is_file() and sha256_once(path) != digest:
        raise RunError(
            f"{files.folder}: {otherwise}; delete {files.folder}, and the same command trains it again, or restore the "
            "teacher"
        )


def require_same_initial_weights(files: RunFiles, recipe: Recipe) -> None:
    """Record the file of initial weights where a later stage starts from them.

    Raises
    ------
    RunError
        They have changed since the first epoch was trained.
    WeightsError
        The file cannot be read.
    """
    source = recipe.model.weights
    if source in ("none", "imagenet") or all(stage.start != "initial" for stage in recipe.stages[1:]):
        return
    tensors, _ = weights.read(Path(source))
    _require_same(files, files.initial_weights, "model.weights", {source: weights.digest(tensors)})


def _require_same(files: RunFiles, record: Path, what: str, now: Mapping[str, str]) -> None:
    """Add the digests of weights to a `record`; RunError if one has changed since the first epoch was trained.

    A run of an older version has no record: the weights of today are recorded.
    """
    before = records.read(TypeAdapter(dict[str, str]), record) if record.exists() else {}
    if files.trained:
        for name, digest in now.items():
            if before.get(name, digest) != digest:
                raise RunError(
                    f"{what} {name}: its weights have changed since {files.folder} began; restore them, or train into "
                    "another folder"
                )
    if now.items() - before.items():
        with files.manifest.recording(record):
            write_json(record, {**before, **now})
