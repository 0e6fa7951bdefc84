"""Layouts "isic2019" and "isic2018": one-hot labels and metadata in CSV files beside a folder of images."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from dspkd.data.csv_rows import Rows, read_header, read_rows
from dspkd.data.part_names import part_of
from dspkd.data.readers._beside import tables_beside, with_tables_beside
from dspkd.data.readers._columns import refuse_label
from dspkd.data.readers._labels import from_one_hot
from dspkd.data.readers._locate import locate
from dspkd.data.readers._several import joined
from dspkd.data.table import Origin, Table, group_or_own, missing_of, refuse_missing
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
    headers = [set(read_header(file)) for file in _tables(path)]
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

    The folder holds, for one NAME such as ``ISIC_2019_Training``, and for ISIC 2018 also for the other parts:

    - ``NAME_GroundTruth.csv``, perhaps in ``NAME_GroundTruth/``: ``image`` and one column per class, 1 for the class
      of the image, 0 elsewhere;
    - ``NAME_Input/<image>.jpg``, or the images anywhere below, with any suffix;
    - ``NAME_Metadata.csv``, perhaps in ``NAME_Metadata/``: ``image``, usually ``lesion_id``, and others; or
      ``NAME_LesionGroupings.csv``, as for ISIC 2018. Other tables that name the images, such as
      ``HAM10000_metadata.csv``, add their columns. Without any, every image is a group of its own.

    Parameters
    ----------
    path
        The folder.
    layout
        One of `LAYOUTS`.
    group
        The column of the metadata that names the group. When none is named, it is ``patient_id``, ``lesion_id``, or
        one that is called so. An image whose cell is empty is a group of its own.
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
    files = _truth_files(path, layout)
    metadata = {file: _metadata_file(path, file) for file in files}
    used = [*files, *filter(Path.exists, metadata.values())]
    if group is not None and used == files and not tables_beside(path, files):
        raise DataError(f"{metadata[files[0]]}: the file is missing, so images cannot be grouped by {group!r}")
    tables = {file: _one(path, file, metadata[file], layout, images) for file in files}
    if len(tables) == 1:
        table = tables[files[0]]
    else:
        table = joined(path, {part_of(_token(file)) or "": table for file, table in tables.items()})
    source = used[len(files)] if len(used) > len(files) else files[0]
    return with_tables_beside(table, source, used, image="image", group=group, first=("patient_id", "lesion_id"))


def _metadata_file(path: Path, truth_file: Path) -> Path:
    """Return the table of the metadata of a label file, beside either or in a folder of its own name."""
    name = truth_file.name.removesuffix(TRUTH)
    names = [f"{name}_{ending}" for ending in ("Metadata", "LesionGroupings")]
    tables = [folder / f"{each}.csv" for folder in (path, truth_file.parent) for each in names]
    tables += [path / each / f"{each}.csv" for each in names]
    return next(filter(Path.exists, tables), tables[0])


def _one(path: Path, truth_file: Path, metadata: Path, layout: str, images: Literal["required", "unchecked"]) -> Table:
    """Read the data set of one label file, without groups."""
    name = truth_file.name.removesuffix(TRUTH)
    truth = read_rows(truth_file)
    ids = tuple(truth.unique("image"))
    known = CLASSES_2018 if layout == "isic2018" else CLASSES
    labels = _labels(truth, known)
    attributes, notes = _read_metadata(metadata, truth_file, ids)
    folder = path / f"{name}_Input"
    folder = inner if (inner := folder / folder.name).is_dir() else folder  # an archive unpacked into its own name
    paths = tuple(folder / f"{image}.jpg" for image in ids)
    if images == "required" and missing_of(paths):
        paths, found = _elsewhere(path, ids, truth_file, paths)
        notes += found
    return Table(
        classes=CLASSES[:-1] if known is CLASSES and not (labels == CLASSES.index("UNK")).any() else known,
        ids=ids,
        paths=paths,
        labels=labels,
        groups=group_or_own(("",) * len(ids), ids),
        attributes=attributes,
        root=path,
        origin=Origin(notes=notes),
    )


def _elsewhere(
    path: Path, ids: tuple[str, ...], truth_file: Path, paths: tuple[Path, ...]
) -> tuple[tuple[Path, ...], tuple[str, ...]]:
    """Return the files of images that do not all lie where they are published; DataError about these where none do."""
    try:
        return locate(path, ids, truth_file)
    except DataError:
        refuse_missing(paths, truth_file)
        raise


def _truth_files(path: Path, layout: str) -> list[Path]:
    """Return the label file of a folder, or one for each part of ISIC 2018, without files that have other columns."""
    files = _tables(path)
    known = [file for file in files if {"image", *CLASSES[:3]} <= set(read_header(file))]
    parts = [part_of(_token(file)) for file in known]
    if layout == "isic2018" and len(known) > 1 and "train" in parts and len({*parts} - {None}) == len(known):
        return sorted(known, key=lambda file: ("train", "val", "test").index(str(part_of(_token(file)))))
    files = known if len(known) == 1 else files
    if len(files) != 1:
        names = ", ".join(file.name for file in files) or "none"
        raise DataError(f"{path}: expected exactly one *{TRUTH} here, found {names}; keep one data set per folder")
    return files


def _tables(path: Path) -> list[Path]:
    """Return the label files of a folder, also those in a folder of their own name, as an archive unpacks them."""
    return sorted(
        [*path.glob(f"*{TRUTH}"), *(file for file in path.glob(f"*/*{TRUTH}") if file.stem == file.parent.name)]
    )


def _token(file: Path) -> str:
    """Return the word before the ending of a label file's name, such as "Training"."""
    return file.name.removesuffix(TRUTH).rpartition("_")[2]


def _labels(truth: Rows, classes: tuple[str, ...]) -> NDArray[np.int64]:
    """Return ``[N]`` labels, the positions of the ones; DataError where a column is no class."""
    for column in truth.columns:
        if column not in {"image", *classes} | _SCORING:
            raise DataError(f"{truth.path}: column {column!r} is no class of this layout; {suggest(column, classes)}")
    return from_one_hot(truth, classes).numbers


def _read_metadata(
    path: Path, truth_file: Path, ids: tuple[str, ...]
) -> tuple[dict[str, tuple[str, ...]], tuple[str, ...]]:
    """Return the columns of the metadata in the order of `ids`, and lines about what was assumed."""
    if not path.exists():
        return {}, ()
    rows = read_rows(path)
    row_of = rows.unique("image")
    for there, here, named, at in ((ids, row_of, truth_file, path), (row_of, set(ids), path, truth_file)):
        missing = [image for image in there if image not in here]
        if missing:
            raise DataError(f"{at}: no row for {len(missing)} images of {named.name}: {first_few(missing)}")
    order = [row_of[image] for image in ids]
    others = {name: tuple(cells[row] for row in order) for name, cells in rows.columns.items() if name != "image"}
    return others, rows.notes
