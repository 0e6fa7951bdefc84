"""The layout with a folder for each class, and optionally a CSV that says more about the images."""

from __future__ import annotations

from collections import defaultdict
from pathlib import Path, PurePath

import numpy as np

from dspkd.data.csv_rows import Rows, only_csv, read_rows
from dspkd.data.table import Table, group_or_own
from dspkd.errors import DataError, first_few

SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".bmp", ".tif", ".tiff", ".webp", ".dcm"})
"""How names of image files end, in lower case."""

NAMING = ("file", "path", "filename", "file_name", "image", "image_id", "img_id", "id")
"""Columns that may say which image a row of the metadata is about; the first of them that is there does."""

GROUPING = ("patient_id", "lesion_id")
"""Columns that group images when none is named; the first of them that is there does."""


def read(path: Path, *, metadata: Path | None = None, group: str | None = None) -> Table:
    """Read a data set in which an image's folder is its class: ``path/CLASS/IMAGE``.

    Parameters
    ----------
    path
        The folder of the class folders. Names that start with a dot are passed over.
    metadata
        A CSV with one row for each image. When none is given, it is the single ``*.csv`` in `path`, if any. Its
        first column out of `NAMING` gives the image as ``CLASS/IMAGE``, as IMAGE, or as IMAGE without its suffix.
    group
        The column of the metadata that names the lesion or patient. When none is named, it is ``patient_id``, if
        there is such a column, else ``lesion_id``: lesions of one patient look alike too, and keeping a patient
        together keeps the lesions together. An image whose cell is empty is a group of its own; so is every
        image where there is no such column or no metadata.

    Returns
    -------
    Table
        Its classes are the folders, sorted; its ids are ``CLASS/IMAGE``.

    Raises
    ------
    DataError
        No class folder, a class without images, or metadata that do not match the images one to one.
    """
    inner = folders_in(path)
    if not inner:
        raise DataError(f"{path}: there is no class folder here; want {path.name}/CLASS/IMAGE")
    files: list[Path] = []
    labels: list[int] = []
    for number, folder in enumerate(inner):
        images = images_in(folder)
        if not images:
            raise DataError(
                f"{folder}: a class folder without images ({', '.join(sorted(SUFFIXES))}); remove or fill it"
            )
        files += images
        labels += [number] * len(images)
    ids = tuple(file.relative_to(path).as_posix() for file in files)
    groups, attributes = _described(path, metadata, ids, group)
    return Table(
        classes=tuple(folder.name for folder in inner),
        ids=ids,
        paths=tuple(files),
        labels=np.array(labels, dtype=np.int64),
        groups=group_or_own(groups, ids),
        attributes=attributes,
        root=path,
    )


def folders_in(path: Path) -> list[Path]:
    """Return the folders in a folder, sorted by name, without hidden ones."""
    return sorted(inner for inner in path.iterdir() if inner.is_dir() and not inner.name.startswith("."))


def images_in(path: Path) -> list[Path]:
    """Return the image files in a folder, sorted by name, without hidden ones."""
    return sorted(f for f in path.iterdir() if f.suffix.lower() in SUFFIXES and not f.name.startswith("."))


def bare(name: str) -> str:
    """Return the name of an image without folders and without the suffix of an image file.

    >>> bare("NV/ISIC_0000001.jpg"), bare("ISIC_0000001")
    ('ISIC_0000001', 'ISIC_0000001')
    """
    file = PurePath(name)
    return file.stem if file.suffix.lower() in SUFFIXES else file.name


def _described(
    path: Path, metadata: Path | None, ids: tuple[str, ...], group: str | None
) -> tuple[tuple[str, ...], dict[str, tuple[str, ...]]]:
    """Return the groups, "" where unknown, and the other columns of the metadata, in the order of `ids`."""
    if metadata is None and not any(path.glob("*.csv")):
        if group is not None:
            raise DataError(f"{path}: there is no *.csv here, so images cannot be grouped by {group!r}")
        return ("",) * len(ids), {}
    rows = read_rows(metadata or only_csv(path))
    naming = next((name for name in NAMING if name in rows.columns), None)
    if naming is None:
        raise DataError(f"{rows.path}: no column names the image; want one of {', '.join(NAMING)}")
    order = _matched(rows, naming, ids)
    if group is None:
        group = next((name for name in GROUPING if name in rows.columns), None)
    groups = rows.column(group) if group is not None else ("",) * len(rows.lines)
    others = {name: cells for name, cells in rows.columns.items() if name not in {naming, group}}
    return (
        tuple(groups[row] for row in order),
        {name: tuple(cells[row] for row in order) for name, cells in others.items()},
    )


def _matched(rows: Rows, naming: str, ids: tuple[str, ...]) -> list[int]:
    """Return for each id the row of the metadata that is about it."""
    called: dict[str, set[str]] = defaultdict(set)
    for image in ids:
        for name in (image, PurePath(image).name, PurePath(image).stem):
            called[name].add(image)
    row_of: dict[str, int] = {}
    for cell, row in rows.unique(naming).items():
        where = f"{rows.path}, line {rows.lines[row]}: {naming} {cell!r}"
        found = called.get(cell) or called.get(PurePath(cell).stem) or set()
        if len(found) != 1:
            several = f"fits {first_few(sorted(found))}; write CLASS/IMAGE" if found else "is no image of this data set"
            raise DataError(f"{where} {several}")
        (image,) = found
        if image in row_of:
            raise DataError(f"{where} is about {image}, and so is line {rows.lines[row_of[image]]}; keep one")
        row_of[image] = row
    alone = [image for image in ids if image not in row_of]
    if alone:
        raise DataError(f"{rows.path}: no row for {len(alone)} of {len(ids)} images: {first_few(alone)}")
    return [row_of[image] for image in ids]
