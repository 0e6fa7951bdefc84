"""Prediction files of anyone's models: a CSV of ids, labels, groups and class scores, in columns of several names."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from dspkd.data.answer_files import find
from dspkd.data.csv_rows import Rows, read_rows
from dspkd.data.part_names import is_unknown
from dspkd.errors import DataError, suggest
from dspkd.evaluation.predictions import Predictions, fold_number

_ID, _GROUP, _LABEL = ("id", "image", "image_id", "isic_id"), ("group", "lesion_id", "patient_id"), ("label",)
_PREFIXES = ("logit_", "prob_", "probability_")
_OWN = "if each image is of another lesion, its group is its id"
_COLUMNS = "expected the columns id, label, group and logit_<class> or prob_<class> for each class"
_ROUNDING = 0.01
"""How far the probabilities of an image may be from 1 in sum: those of ten classes, rounded to three digits."""


def load_together(files: Sequence[Path], groups: Path | None = None) -> list[Predictions]:
    """Read prediction files of the same images; all come out in the order of images and classes of the first.

    Parameters
    ----------
    files
        CSV files with the columns ``id`` (or ``image``, ``image_id``, ``isic_id``), ``label`` (the true class),
        ``group`` (or ``lesion_id``, ``patient_id``), and for each class ``logit_<class>``, ``prob_<class>`` or
        ``probability_<class>``; the names may be in any case, but for those of classes.
        Probabilities must sum to 1; one of 0 counts as the smallest normal float32 (inferred). Out-of-fold predictions
        of a cross-validation also have ``fold``, the number of the network that predicted the image.
    groups
        A CSV file with an id and a group, or a label, for each image: it is read for what the files lack.

    Raises
    ------
    DataError
        A file lacks a column or a value, or the files are not about the same images and classes.
    """
    metadata = None if groups is None else read_rows(groups)
    runs = [_load(read_rows(path), metadata) for path in files]
    first = runs[0]
    return [first, *(_aligned(run, first, path, files[0]) for run, path in zip(runs[1:], files[1:], strict=True))]


def _load(rows: Rows, metadata: Rows | None) -> Predictions:
    ids = tuple(rows.unique(_name(rows, _ID)))
    columns_of = {prefix: [name for name in rows.columns if name.lower().startswith(prefix)] for prefix in _PREFIXES}
    prefix = next((each for each in _PREFIXES if columns_of[each]), None)
    if prefix is None:
        raise DataError(f"{rows.path}: no class scores among {', '.join(rows.columns)}; {_COLUMNS}")
    classes = tuple(name[len(prefix) :] for name in columns_of[prefix])
    scores_NK = np.stack([_numbers(rows, name) for name in columns_of[prefix]], axis=1)
    if prefix != "logit_":
        scores_NK = _logits(rows, scores_NK)
    labels = _of_images(rows, metadata, ids, _LABEL)
    number = {name: k for k, name in enumerate(classes)}
    for row, label in enumerate(labels):
        if label not in number:
            raise DataError(f"{rows.at(row)}: no class is called {label!r}; {suggest(label, classes)}")
    try:
        return Predictions(
            classes,
            ids,
            _of_images(rows, metadata, ids, _GROUP),
            np.array([number[label] for label in labels], dtype=np.int64),
            scores_NK.astype(np.float32),
            _folds(rows),
        )
    except DataError as error:
        raise DataError(f"{rows.path}: {error}") from None


def _folds(rows: Rows) -> NDArray[np.int64] | None:
    column = next((name for name in rows.columns if name.lower() == "fold"), None)
    if column is None:
        return None
    cells = zip(rows.columns[column], rows.lines, strict=True)
    return np.array([fold_number(cell, f"line {line}") for cell, line in cells], dtype=np.int64)


def _name(rows: Rows, names: Sequence[str]) -> str:
    """Return the first of these columns that the file has, in any case."""
    if (found := find(rows.columns, names)) is None:
        raise DataError(f"{rows.path}: no column {' or '.join(names)} among {', '.join(rows.columns)}; {_COLUMNS}")
    return found


def _of_images(rows: Rows, metadata: Rows | None, ids: Sequence[str], names: Sequence[str]) -> tuple[str, ...]:
    """Return each image's value of a column of the file or, where that lacks it, of the metadata."""
    if find(rows.columns, names):
        return _cells(rows, names)
    if metadata is None:
        raise DataError(
            f"{rows.path}: no column {' or '.join(names)} among {', '.join(rows.columns)}; add it, or give --groups "
            f"FILE with id and that column ({_OWN})"
        )
    row_of, values = metadata.unique(_name(metadata, _ID)), _cells(metadata, names)
    if missing := [image for image in ids if image not in row_of]:
        raise DataError(f"{metadata.path}: {len(missing)} images of {rows.path} are missing, such as {missing[0]!r}")
    return tuple(values[row_of[image]] for image in ids)


def _cells(rows: Rows, names: Sequence[str]) -> tuple[str, ...]:
    """Return the cells of a column; DataError where one is empty, or a group that stands for a missing one."""
    column = _name(rows, names)
    cells = rows.filled(column)
    for row, cell in enumerate(cells):
        if names is _GROUP and is_unknown(cell):
            raise DataError(
                f"{rows.at(row)}: column {column!r} is {cell!r}, which names no lesion or patient, and all such images "
                f"would be one; name that of each image ({_OWN})"
            )
    return cells


def _numbers(rows: Rows, name: str) -> NDArray[np.float64]:
    for row, cell in enumerate(rows.columns[name]):
        try:
            float(cell)
        except ValueError:
            raise DataError(f"{rows.at(row)}: {name} must be a number, got {cell!r}") from None
    return np.array(rows.columns[name], dtype=np.float64)


def _logits(rows: Rows, probabilities_NK: NDArray[np.float64]) -> NDArray[np.float64]:
    sums_N = probabilities_NK.sum(axis=1)
    for row in np.flatnonzero(~(np.abs(sums_N - 1) <= _ROUNDING) | (probabilities_NK < 0).any(axis=1))[:1]:
        raise DataError(
            f"{rows.at(row)}: probabilities must be at least 0 and sum to 1, their sum is "
            f"{sums_N[row]:.4g}; call the columns logit_<class> if they are logits"
        )
    return np.asarray(np.log(np.maximum(probabilities_NK, np.finfo(np.float32).tiny)))


def _aligned(run: Predictions, first: Predictions, path: Path, first_path: Path) -> Predictions:
    """Return a run in the order of images and classes of another; DataError where they are not the same."""
    for what, mine, theirs in (("classes", run.classes, first.classes), ("images", run.ids, first.ids)):
        if odd := sorted(set(mine) ^ set(theirs)):
            raise DataError(
                f"{path}: other {what} than {first_path}, such as {odd[0]!r}; give files about the same {what}"
            )
    ordered = run.of(first.ids)
    columns = [run.classes.index(name) for name in first.classes]
    labels = np.array([first.classes.index(run.classes[label]) for label in ordered.labels], dtype=np.int64)
    return Predictions(first.classes, first.ids, ordered.groups, labels, ordered.logits[:, columns], ordered.folds)
