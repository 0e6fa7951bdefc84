"""What may not change once a run has trained an epoch: its data, and the weights that it begins and learns from."""

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
from dspkd.runs import records
from dspkd.runs.files import RunFiles
from dspkd.runs.records import DataSummary
from dspkd.runtime.files import sha256_of, write_json


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
    recorded = recorded_data(files) if files.stages.exists() else None
    before = recorded if recorded and recorded.content else None
    if before and before.digest != table.digest:
        raise _changed(files, table, "classes, labels (or soft labels), groups or order of the images have")
    used = [path for path, part in zip(table.paths, split.parts, strict=True) if part != UNUSED]
    content = hashlib.sha256(b"".join(fingerprints([*used, *unlabelled]))).hexdigest()
    if before and before.content != content:
        raise _changed(files, table, "the content of image files has")
    return content


def _changed(files: RunFiles, table: Table, what: str) -> RunError:
    return RunError(
        f"{table.root}: {what} changed since {files.folder} began; restore the data, or train into another folder"
    )


def require_same_teachers(files: RunFiles, runs: Iterable[str]) -> None:
    """Record the weights of teachers; RunError if those of one have changed since the first epoch was trained."""
    now = {run: sha256_of(RunFiles(Path(run)).weights) for run in runs}
    _require_same(files, files.teacher_weights, "teacher", now)


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
    if files.stages.exists():
        for name, digest in now.items():
            if before.get(name, digest) != digest:
                raise RunError(
                    f"{what} {name}: its weights have changed since {files.folder} began; restore them, or train into "
                    "another folder"
                )
    if now.items() - before.items():
        with files.manifest.recording(record):
            write_json(record, {**before, **now})
