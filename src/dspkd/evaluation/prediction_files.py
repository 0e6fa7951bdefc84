"""Prediction files of anyone's models: a CSV of ids, labels, groups and class scores, in columns of several names."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from dspkd.data.answer_files import find
from dspkd.data.csv_rows import Rows, read_rows
from dspkd.data.part_names import names_no_one
from dspkd.data.soft_labels import remedy_for, require_logits, rounding
from dspkd.errors import DataError, suggest
from dspkd.evaluation.predictions import Predictions, fold_number
from dspkd.evaluation.scoring import require_same_images

_ID, _GROUP, _LABEL = ("id", "image", "image_id", "isic_id"), ("group", "patient_id", "lesion_id"), ("label",)
_PREFIXES = ("logit_", "prob_", "probability_")
_OWN = "if each image is of another lesion, its group is its id"
_COLUMNS = "expected the columns id, label, group and logit_<class> or prob_<class> for each class"


def load_together(
    files: Sequence[Path], groups: Path | None = None, log: Callable[[str], None] = lambda _: None
) -> list[Predictions]:
    """Read prediction files of the same images; all come out in the order of images of the first.

    Classes are in the order of their names, so that of tied ones the first is the same whatever the order of columns.

    Parameters
    ----------
    files
        CSV files with the columns ``id`` (or ``image``, ``image_id``, ``isic_id``), ``label`` (the true class),
        ``group`` (or ``patient_id``, ``lesion_id``: the first that no image lacks, as lesions of one patient look
        similar too), and for each class ``logit_<class>``, ``prob_<class>`` or ``probability_<class>``; the names may
        be in any case, but for those of classes. Probabilities must sum to 1, but for rounding; they are kept in
        `Predictions.written`, and their logits have the smallest normal float32 in place of 0 (inferred). Out-of-fold
        predictions of a cross-validation also have ``fold``, the number of the network that predicted the image.
    groups
        A CSV file with an id and a group, or a label, for each image. Its groups go before those of the files; its
        labels are for files without any.
    log
        Gets a line that names the column of the groups, and others that are not used.

    Raises
    ------
    DataError
        A file lacks a column or a value, or the files are not about the same images and classes.
    """
    metadata = None if groups is None else read_rows(groups)
    sources: dict[str, None] = {}
    runs = [_load(read_rows(path), metadata, sources) for path in files]
    for source in sources:
        log(source)
    first = _with_classes(runs[0], tuple(sorted(runs[0].classes)))
    return [first, *(_aligned(run, first, path, files[0]) for run, path in zip(runs[1:], files[1:], strict=True))]


def _load(rows: Rows, metadata: Rows | None, sources: dict[str, None]) -> Predictions:
    """Read a file; what its groups come from is put into `sources`."""
    ids = tuple(rows.unique(_name(rows, _ID)))
    columns_of = {prefix: [name for name in rows.columns if name.lower().startswith(prefix)] for prefix in _PREFIXES}
    prefix = next((each for each in _PREFIXES if columns_of[each]), None)
    if several := [each for each in _PREFIXES if columns_of[each]][1:]:
        raise DataError(
            f"{rows.path}: has columns that begin with {prefix} and others with {' and '.join(several)}; leave one kind"
        )
    if prefix is None:
        raise DataError(f"{rows.path}: no class scores among {', '.join(rows.columns)}; {_COLUMNS}")
    classes = tuple(name[len(prefix) :] for name in columns_of[prefix])
    scores_NK = _numbers(rows, columns_of[prefix])
    written_NK = None if prefix == "logit_" else scores_NK
    if written_NK is None:
        require_logits(rows.path, scores_NK)
    else:
        scores_NK = _logits(rows, written_NK)
    labels = _labels(rows, metadata, ids)
    number = {name: k for k, name in enumerate(classes)}
    for row, label in enumerate(labels):
        if label not in number:
            raise DataError(f"{rows.at(row)}: no class is called {label!r}; {suggest(label, classes)}")
    groups = _groups(rows, metadata, ids, sources)
    try:
        return Predictions(
            classes,
            ids,
            groups,
            np.array([number[label] for label in labels], dtype=np.int64),
            scores_NK.astype(np.float32),
            _folds(rows),
            written_NK,
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


def _labels(rows: Rows, metadata: Rows | None, ids: Sequence[str]) -> tuple[str, ...]:
    """Return each image's true class: of the file or, where that lacks it, of the metadata."""
    return _cells(*_source(rows, [rows, *([metadata] if metadata else [])], _LABEL, ids))


def _groups(rows: Rows, metadata: Rows | None, ids: Sequence[str], sources: dict[str, None]) -> tuple[str, ...]:
    """Return each image's group: of the metadata or, where that lacks it, of the file; its column goes to `sources`."""
    table, column = _source(rows, [*([metadata] if metadata else []), rows], _GROUP, ids)
    others = [repr(each) for each in _present(table, _GROUP) if each != column]
    if table is not rows:
        others += [f"{each!r} of the prediction files" for each in _present(rows, _GROUP)]
    of = f" of {table.path}" * (table is not rows)
    sources[f"lesions or patients: column {column!r}{of}{', not ' * bool(others)}{', '.join(others)}"] = None
    return _cells(table, column)


def _present(rows: Rows, names: Sequence[str]) -> list[str]:
    """Return the columns that are called by one of these names, in any case, in their order."""
    return [column for name in names if (column := find(rows.columns, [name]))]


def _source(rows: Rows, tables: Sequence[Rows], names: Sequence[str], ids: Sequence[str]) -> tuple[Rows, str]:
    """Return the images' rows of the first table with one of these columns, and the first column that none lacks."""
    for table in tables:
        if columns := _present(table, names):
            own = table if table is rows else _of_images(table, rows, ids)
            whole = [column for column in columns if not any(map(names_no_one, own.columns[column]))]
            return own, (whole or columns)[0]
    if len(tables) > 1:
        raise DataError(f"{rows.path}: no column {' or '.join(names)}, and none in --groups; add it to one of the two")
    raise DataError(
        f"{rows.path}: no column {' or '.join(names)} among {', '.join(rows.columns)}; add it, or give --groups "
        f"FILE with id and that column ({_OWN})"
    )


def _of_images(table: Rows, rows: Rows, ids: Sequence[str]) -> Rows:
    """Return the rows of a table about these images of a file, in their order; DataError where one is missing."""
    row_of = table.unique(_name(table, _ID))
    if missing := [image for image in ids if image not in row_of]:
        raise DataError(
            f"{table.path}: has no row for {len(missing)} of {len(ids)} images of {rows.path}, such as {missing[0]!r}"
        )
    return table.take([row_of[image] for image in ids])


def _cells(rows: Rows, column: str) -> tuple[str, ...]:
    """Return the cells of a column; DataError where one is empty, or a group that stands for a missing one."""
    cells = rows.filled(column)
    for row, cell in enumerate(cells):
        if column.lower() in _GROUP and names_no_one(cell):
            raise DataError(
                f"{rows.at(row)}: column {column!r} is {cell!r}, which names no lesion or patient, and all such images "
                f"would be one; name that of each image ({_OWN})"
            )
    return cells


def _numbers(rows: Rows, names: Sequence[str]) -> NDArray[np.float64]:
    """Return ``[N, K]``, the numbers of these columns; they have decimal commas where none has a point."""
    commas = not any("." in cell for name in names for cell in rows.columns[name])
    largest = float(np.finfo(np.float32).max)
    numbers_NK = np.empty((len(rows.lines), len(names)))
    for column, name in enumerate(names):
        for row, cell in enumerate(rows.columns[name]):
            try:
                number = float(cell.replace(",", ".") if commas else cell)
            except ValueError:
                raise DataError(f"{rows.at(row)}: {name} must be a number, got {cell!r}") from None
            if not abs(number) <= largest:
                raise DataError(f"{rows.at(row)}: {name} must be finite, also in float32, got {cell!r}")
            numbers_NK[row, column] = number
    return numbers_NK


def _logits(rows: Rows, probabilities_NK: NDArray[np.float64]) -> NDArray[np.float64]:
    sums_N = probabilities_NK.sum(axis=1)
    near = rounding(probabilities_NK)
    for row in np.flatnonzero((np.abs(sums_N - 1) > near) | (probabilities_NK < 0).any(axis=1))[:1]:
        raise DataError(
            f"{rows.at(row)}: probabilities must be at least 0 and sum to 1, their sum is {sums_N[row]:.4g}; "
            f"{remedy_for(probabilities_NK[row])}"
        )
    return np.asarray(np.log(np.maximum(probabilities_NK, np.finfo(np.float32).tiny)))


def _aligned(run: Predictions, first: Predictions, path: Path, first_path: Path) -> Predictions:
    """Return a run in the order of images and classes of another; DataError where they are not the same."""
    for what, mine, theirs in (("classes", run.classes, first.classes), ("images", run.ids, first.ids)):
        if odd := sorted(set(mine) ^ set(theirs)):
            raise DataError(
                f"{path}: other {what} than {first_path}, such as {odd[0]!r}; give files about the same {what}"
            )
    aligned = _with_classes(run.of(first.ids), first.classes)
    try:
        require_same_images(first, aligned, folds=False)
    except DataError as error:
        raise DataError(f"{path} against {first_path}: {error}") from None
    return aligned


def _with_classes(run: Predictions, classes: tuple[str, ...]) -> Predictions:
    """Return predictions with their classes in another order."""
    columns = [run.classes.index(name) for name in classes]
    return replace(
        run,
        classes=classes,
        labels=np.argsort(columns)[run.labels],
        logits=run.logits[:, columns],
        written=None if run.written is None else run.written[:, columns],
    )
