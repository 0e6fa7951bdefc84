"""Layout "isic2019": one-hot labels and metadata in two CSV files beside a folder of images."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from dspkd.data.csv_rows import Rows, read_rows
from dspkd.data.readers._columns import refuse_label
from dspkd.data.table import Table, group_or_own, refuse_missing
from dspkd.errors import DataError, first_few, suggest

LAYOUTS = ("isic2019",)
PRIORITY = 10
EXPECTED = "NAME_GroundTruth.csv beside NAME_Input/"

CLASSES = ("MEL", "NV", "BCC", "AK", "BKL", "DF", "VASC", "SCC", "UNK")
"""Classes in the order of the published columns; UNK, "none of the others", has no image in the training set."""

TRUTH = "_GroundTruth.csv"
"""Ending of the name of the label file."""

# Columns that the published labels of the test set have besides the classes.
_SCORING = {"score_weight", "validation_weight"}


def fits(path: Path, *, label: str = "label") -> str | None:  # noqa: ARG001
    """Return "isic2019" for a folder with a ``*_GroundTruth.csv``, else None."""
    return "isic2019" if any(path.glob(f"*{TRUTH}")) else None


def read(
    path: Path,
    *,
    layout: str = "isic2019",
    group: str | None = None,
    label: str | None = None,
    images: Literal["required", "unchecked"] = "required",
) -> Table:
    """Read a data set in the layout of the ISIC 2019 challenge.

    The folder holds, for one NAME such as ``ISIC_2019_Training``:

    - ``NAME_GroundTruth.csv``: ``image`` and one column per class, 1 for the class of the image, 0 elsewhere;
    - ``NAME_Input/<image>.jpg``;
    - ``NAME_Metadata.csv``: ``image``, usually ``lesion_id``, and others. Without this file every image is a
      group of its own.

    Parameters
    ----------
    path
        The folder.
    layout
        "isic2019".
    group
        The column of the metadata that names the group. When none is named, it is ``lesion_id``, if there is
        such a column. An image whose cell is empty is a group of its own.
    label
        Must be None: the columns of classes are fixed.
    images
        "unchecked" reads the tables alone, whether or not the image files exist.

    Returns
    -------
    Table
        Its ids are the published names of the images. UNK is one of its classes only if an image has it.

    Raises
    ------
    DataError
        A file or a column is missing, an image has no label or several, an image is in one of the two tables only.
    """
    refuse_label(path, layout, label)
    truth_file = _truth_file(path)
    name = truth_file.name.removesuffix(TRUTH)
    truth = read_rows(truth_file)
    ids = tuple(truth.unique("image"))
    labels = _labels(truth)
    groups, attributes = _read_metadata(path / f"{name}_Metadata.csv", truth_file, ids, group)
    paths = tuple(path / f"{name}_Input" / f"{image}.jpg" for image in ids)
    if images == "required":
        refuse_missing(paths, truth_file)
    return Table(
        classes=CLASSES if (labels == CLASSES.index("UNK")).any() else CLASSES[:-1],
        ids=ids,
        paths=paths,
        labels=labels,
        groups=group_or_own(groups, ids),
        attributes=attributes,
        root=path,
    )


def _truth_file(path: Path) -> Path:
    """Return the label file of a folder."""
    files = sorted(path.glob(f"*{TRUTH}"))
    if len(files) != 1:
        names = ", ".join(file.name for file in files) or "none"
        raise DataError(f"{path}: expected exactly one *{TRUTH} here, found {names}; keep one data set per folder")
    return files[0]


def _labels(truth: Rows) -> NDArray[np.int64]:
    """Return ``[N]`` labels, the positions of the ones."""
    for column in truth.columns:
        if column not in {"image", *CLASSES} | _SCORING:
            raise DataError(f"{truth.path}: column {column!r} is no class of ISIC 2019; {suggest(column, CLASSES)}")
    # Compared as text: the published files hold nothing but 0.0 and 1.0.
    cells_NK = np.array([truth.column(name) for name in CLASSES]).T
    ones_NK = np.isin(cells_NK, ("1", "1.0"))
    good_N = (ones_NK | np.isin(cells_NK, ("0", "0.0"))).all(axis=1) & (ones_NK.sum(axis=1) == 1)
    if not good_N.all():
        row = int(np.argmin(good_N))
        raise DataError(
            f"{truth.path}, line {truth.lines[row]}: image {truth.column('image')[row]!r} has "
            f"{ones_NK[row].sum()} labels ({','.join(cells_NK[row])}); expected a single 1 among {','.join(CLASSES)} "
            f"and 0 elsewhere ({(~good_N).sum()} such rows)"
        )
    return np.nonzero(ones_NK)[1]


def _read_metadata(
    path: Path, truth_file: Path, ids: tuple[str, ...], group: str | None
) -> tuple[tuple[str, ...], dict[str, tuple[str, ...]]]:
    """Return the groups, "" where unknown, and the other columns of the metadata, in the order of `ids`."""
    if not path.exists():
        if group is not None:
            raise DataError(f"{path}: the file is missing, so images cannot be grouped by {group!r}")
        return ("",) * len(ids), {}
    rows = read_rows(path)
    row_of = rows.unique("image")
    for there, here, named, at in ((ids, row_of, truth_file, path), (row_of, set(ids), path, truth_file)):
        missing = [image for image in there if image not in here]
        if missing:
            raise DataError(f"{at}: no row for {len(missing)} images of {named.name}: {first_few(missing)}")
    if group is None and "lesion_id" in rows.columns:
        group = "lesion_id"
    groups = rows.column(group) if group is not None else ("",) * len(ids)
    order = [row_of[image] for image in ids]
    others = {name: cells for name, cells in rows.columns.items() if name not in {"image", group}}
    return (
        tuple(groups[row] for row in order),
        {name: tuple(cells[row] for row in order) for name, cells in others.items()},
    )
