"""Layout "folder": a folder for each class, and optionally a CSV with metadata of the images."""

from __future__ import annotations

from collections import defaultdict
from pathlib import Path, PurePath

import numpy as np

from dspkd.data.csv_rows import Rows, only_csv, read_rows
from dspkd.data.image_files import SUFFIXES, folders_in, images_in
from dspkd.data.readers._columns import GROUPING, refuse_label
from dspkd.data.table import Table, group_or_own
from dspkd.errors import DataError, first_few

LAYOUTS = ("folder",)
PRIORITY = 50
EXPECTED = "CLASS/IMAGE"

NAMING = ("file", "path", "filename", "file_name", "image", "image_id", "img_id", "id")
"""Columns of the metadata that may name the image; the first that exists is used."""


def fits(path: Path, *, label: str = "label") -> str | None:  # noqa: ARG001
    """Return "folder" for a folder that holds folders of images, else None."""
    return "folder" if path.is_dir() and any(map(images_in, folders_in(path))) else None


def read(path: Path, *, layout: str = "folder", group: str | None = None, label: str | None = None) -> Table:
    """Read a data set in which an image's folder is its class: ``path/CLASS/IMAGE``.

    Parameters
    ----------
    path
        The folder of the class folders; hidden files and folders are ignored. A single ``*.csv`` beside the class
        folders is the metadata: one row for each image, which the first column out of `NAMING` gives as
        ``CLASS/IMAGE``, as IMAGE, or as IMAGE without its suffix.
    layout
        "folder".
    group
        The column of the metadata that names the lesion or patient; when none is named, the first of `GROUPING`. An
        image whose cell is empty is a group of its own; so is every image where there is no such column or no
        metadata.
    label
        Must be None: the folder is the class.

    Returns
    -------
    Table
        Its classes are the folders, sorted; its ids are ``CLASS/IMAGE``.

    Raises
    ------
    DataError
        No class folder, a class without images, or metadata that do not match the images one to one.
    """
    refuse_label(path, layout, label)
    inner = folders_in(path)
    if not inner:
        raise DataError(f"{path}: no class folder here; expected {path.name}/CLASS/IMAGE")
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
    groups, attributes = _read_metadata(path, ids, group)
    return Table(
        classes=tuple(folder.name for folder in inner),
        ids=ids,
        paths=tuple(files),
        labels=np.array(labels, dtype=np.int64),
        groups=group_or_own(groups, ids),
        attributes=attributes,
        root=path,
    )


def _read_metadata(
    path: Path, ids: tuple[str, ...], group: str | None
) -> tuple[tuple[str, ...], dict[str, tuple[str, ...]]]:
    """Return the groups, "" where unknown, and the other columns of the metadata, in the order of `ids`."""
    if not any(path.glob("*.csv")):
        if group is not None:
            raise DataError(f"{path}: there is no *.csv here, so images cannot be grouped by {group!r}")
        return ("",) * len(ids), {}
    rows = read_rows(only_csv(path))
    naming = next((name for name in NAMING if name in rows.columns), None)
    if naming is None:
        raise DataError(f"{rows.path}: no column names the image; expected one of {', '.join(NAMING)}")
    order = _match(rows, naming, ids)
    if group is None:
        group = next((name for name in GROUPING if name in rows.columns), None)
    groups = rows.column(group) if group is not None else ("",) * len(rows.lines)
    others = {name: cells for name, cells in rows.columns.items() if name not in {naming, group}}
    return (
        tuple(groups[row] for row in order),
        {name: tuple(cells[row] for row in order) for name, cells in others.items()},
    )


def _match(rows: Rows, naming: str, ids: tuple[str, ...]) -> list[int]:
    """Return the row of the metadata of each id."""
    images_of: dict[str, set[str]] = defaultdict(set)
    for image in ids:
        for name in (image, PurePath(image).name, PurePath(image).stem):
            images_of[name].add(image)
    row_of: dict[str, int] = {}
    for cell, row in rows.unique(naming).items():
        where = f"{rows.path}, line {rows.lines[row]}: {naming} {cell!r}"
        images = images_of.get(cell) or images_of.get(PurePath(cell).stem) or set()
        if not images:
            raise DataError(f"{where} is no image of this data set")
        if len(images) > 1:
            raise DataError(f"{where} fits {first_few(sorted(images))}; write CLASS/IMAGE")
        (image,) = images
        if image in row_of:
            raise DataError(f"{where} names {image}, and so does line {rows.lines[row_of[image]]}; keep one")
        row_of[image] = row
    missing = [image for image in ids if image not in row_of]
    if missing:
        raise DataError(f"{rows.path}: no row for {len(missing)} of {len(ids)} images: {first_few(missing)}")
    return [row_of[image] for image in ids]
