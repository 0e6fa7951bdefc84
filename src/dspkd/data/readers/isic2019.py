"""Layouts "isic2019" and "isic2018": one-hot labels and metadata in CSV files beside a folder of images."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from dspkd.data.csv_rows import Rows, read_header, read_rows
from dspkd.data.readers._columns import grouping, refuse_label
from dspkd.data.table import Origin, Table, group_or_own, refuse_missing
from dspkd.errors import DataError, first_few, suggest

LAYOUTS = ("isic2019", "isic2018")
PRIORITY = 10
EXPECTED = "NAME_GroundTruth.csv beside NAME_Input/"

CLASSES = ("MEL", "NV", "BCC", "AK", "BKL", "DF", "VASC", "SCC", "UNK")
"""Classes in the order of the published columns; UNK, "none of the others", has no image in the training set."""

CLASSES_2018 = ("MEL", "NV", "BCC", "AKIEC", "BKL", "DF", "VASC")
"""Classes of task 3 of ISIC 2018, in the order of the published columns."""

TRUTH = "_GroundTruth.csv"
"""Ending of the name of the label file."""

# Columns that the published labels of the test set have besides the classes.
_SCORING = {"score_weight", "validation_weight"}


def fits(path: Path, *, label: str = "label") -> str | None:  # noqa: ARG001
    """Return the layout of a folder with a ``*_GroundTruth.csv`` that has its columns of classes, else None."""
    headers = [set(read_header(file)) for file in path.glob(f"*{TRUTH}")]
    headers = [header for header in headers if "image" in header and len(header & {*CLASSES, *CLASSES_2018}) > 2]
    if not headers:
        return None
    return "isic2018" if all("AKIEC" in header for header in headers) else "isic2019"


def read(
    path: Path,
    *,
    layout: str = "isic2019",
    group: str | None = None,
    label: str | None = None,
    images: Literal["required", "unchecked"] = "required",
) -> Table:
    """Read a data set in the layout of the ISIC 2019 challenge, or of task 3 of ISIC 2018.

    The folder holds, for one NAME such as ``ISIC_2019_Training``:

    - ``NAME_GroundTruth.csv``: ``image`` and one column per class, 1 for the class of the image, 0 elsewhere;
    - ``NAME_Input/<image>.jpg``;
    - ``NAME_Metadata.csv``: ``image``, usually ``lesion_id``, and others; or
      ``NAME_LesionGroupings.csv``, as for ISIC 2018. Without this file every image is a group of its own.

    Parameters
    ----------
    path
        The folder.
    layout
        One of `LAYOUTS`.
    group
        The column of the metadata that names the group. When none is named, it is ``lesion_id``, or one that is
        called so. An image whose cell is empty is a group of its own.
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
    known = CLASSES_2018 if layout == "isic2018" else CLASSES
    labels = _labels(truth, known)
    tables = [path / f"{name}_{ending}.csv" for ending in ("Metadata", "LesionGroupings")]
    metadata = next(filter(Path.exists, tables), tables[0])
    groups, attributes, origin = _read_metadata(metadata, truth_file, ids, group)
    folder = path / f"{name}_Input"
    folder = inner if (inner := folder / folder.name).is_dir() else folder  # an archive unpacked into its own name
    paths = tuple(folder / f"{image}.jpg" for image in ids)
    if images == "required":
        refuse_missing(paths, truth_file)
    return Table(
        classes=CLASSES[:-1] if known is CLASSES and not (labels == CLASSES.index("UNK")).any() else known,
        ids=ids,
        paths=paths,
        labels=labels,
        groups=group_or_own(groups, ids),
        attributes=attributes,
        root=path,
        origin=origin,
    )


def _truth_file(path: Path) -> Path:
    """Return the label file of a folder."""
    files = sorted(path.glob(f"*{TRUTH}"))
    if len(files) != 1:
        names = ", ".join(file.name for file in files) or "none"
        raise DataError(f"{path}: expected exactly one *{TRUTH} here, found {names}; keep one data set per folder")
    return files[0]


def _labels(truth: Rows, classes: tuple[str, ...]) -> NDArray[np.int64]:
    """Return ``[N]`` labels, the positions of the ones."""
    for column in truth.columns:
        if column not in {"image", *classes} | _SCORING:
            raise DataError(f"{truth.path}: column {column!r} is no class of this layout; {suggest(column, classes)}")
    # Compared as text: the published files hold nothing but 0.0 and 1.0.
    cells_NK = np.array([truth.column(name) for name in classes]).T
    ones_NK = np.isin(cells_NK, ("1", "1.0"))
    good_N = (ones_NK | np.isin(cells_NK, ("0", "0.0"))).all(axis=1) & (ones_NK.sum(axis=1) == 1)
    if not good_N.all():
        row = int(np.argmin(good_N))
        raise DataError(
            f"{truth.path}, line {truth.lines[row]}: image {truth.column('image')[row]!r} has "
            f"{ones_NK[row].sum()} labels ({','.join(cells_NK[row])}); expected a single 1 among {','.join(classes)} "
            f"and 0 elsewhere ({(~good_N).sum()} such rows)"
        )
    return np.nonzero(ones_NK)[1]


def _read_metadata(
    path: Path, truth_file: Path, ids: tuple[str, ...], group: str | None
) -> tuple[tuple[str, ...], dict[str, tuple[str, ...]], Origin]:
    """Return the groups, "" where unknown, the other columns of the metadata in the order of `ids`, and the origin."""
    if not path.exists():
        if group is not None:
            raise DataError(f"{path}: the file is missing, so images cannot be grouped by {group!r}")
        return ("",) * len(ids), {}, Origin()
    rows = read_rows(path)
    row_of = rows.unique("image")
    for there, here, named, at in ((ids, row_of, truth_file, path), (row_of, set(ids), path, truth_file)):
        missing = [image for image in there if image not in here]
        if missing:
            raise DataError(f"{at}: no row for {len(missing)} images of {named.name}: {first_few(missing)}")
    order = [row_of[image] for image in ids]
    others = {name: tuple(cells[row] for row in order) for name, cells in rows.columns.items() if name != "image"}
    chosen = grouping(others, group, path, first=("lesion_id",))
    groups = others.pop(chosen.column) if chosen.column is not None else ("",) * len(ids)
    return groups, others, Origin(group=chosen.column or "", notes=rows.notes + chosen.notes)
