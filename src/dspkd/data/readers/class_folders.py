"""Layout "folder": a folder for each class, and optionally a CSV with metadata of the images."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from dspkd.data.csv_rows import Rows
from dspkd.data.image_files import (
    SUFFIXES,
    folders_in,
    images_below,
    images_in,
    only_folder_of_images,
    unread_in,
    unread_note,
)
from dspkd.data.part_names import holds_any_class, holds_no_class, part_of
from dspkd.data.readers._beside import of_other_sheets
from dspkd.data.readers._columns import IMAGE, find, grouping, is_id, is_person, may_be_people, refuse_label
from dspkd.data.readers._containers import labels_in
from dspkd.data.readers._file_names import Files
from dspkd.data.readers._folders import refuse_no_classes, unplaced_note, without_masks
from dspkd.data.readers._groups import taken
from dspkd.data.readers._inner_tables import joined, tables_below, unread
from dspkd.data.readers._nearest import difference
from dspkd.data.readers._several import with_columns_beside
from dspkd.data.table import Origin, Table, group_or_own
from dspkd.data.table_files import header_of, one_table, read_table, stem, tables_in
from dspkd.errors import DataError, first_few

LAYOUTS = ("folder",)
PRIORITY = 50
EXPECTED = "CLASS/IMAGE"

_IMAGE = "image:id"
"""The column of the images while tables are joined; no table has one of this name."""


def has_class_folders(path: Path) -> bool:
    """Return whether folders of two names or more hold images and look like classes, perhaps within parts.

    Folders of patients do not.
    """
    outer = folders_in(path)
    inner = [each for folder in outer if part_of(folder.name) for each in folders_in(folder)]
    named = {
        each.name
        for each in [*outer, *inner]
        if not (holds_any_class(each.name) or holds_no_class(each.name) or is_person(each.name)) and images_in(each)
    }
    return len(named) > 1 and not may_be_people(named)


def above_class_folders(path: Path) -> bool:
    """Return whether the only folder with images in a folder, perhaps within another, holds those of classes."""
    inner = path
    while folder := only_folder_of_images(inner):
        inner = folder
    return inner != path and has_class_folders(inner)


def fits(path: Path, *, label: str = "label") -> str | None:  # noqa: ARG001
    """Return "folder" for a folder that holds folders of images, else None."""
    inner = folders_in(path) if path.is_dir() else []
    if len(inner) == 1 and holds_any_class(inner[0].name) and tables_in(inner[0]):
        return None  # a table among the images, which is found one folder further
    return "folder" if any(images_in(folder) or unread_in(folder) for folder in inner) else None


def read(path: Path, *, layout: str = "folder", group: str | None = None, label: str | None = None) -> Table:
    """Read a data set in which an image's folder is its class: ``path/CLASS/IMAGE``.

    Parameters
    ----------
    path
        The folder of the class folders; hidden files and folders are ignored. A table beside the class folders, or one
        for each part, is the metadata: one row for each image, which a column such as ``file`` or ``image_id`` gives
        as ``CLASS/IMAGE``, as IMAGE, or as IMAGE without its suffix. Tables in the class folders may add columns.
    layout
        "folder".
    group
        The column of the metadata that names the lesion or patient; when none is named, one that is called so. An
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
    _refuse_other_folders(path, inner)
    refuse_no_classes(path, [folder.name for folder in inner])
    files: list[Path] = []
    labels: list[int] = []
    unread: list[Path] = []
    masks: tuple[str, ...] = ()
    for number, folder in enumerate(inner):
        images, others = images_in(folder), unread_in(folder)
        images, without = without_masks(images, path)
        masks += without
        if not images:
            raise _without_images(folder, others)
        files += images
        unread += others
        labels += [number] * len(images)
    _refuse_inner_folders(path, inner)
    ids = tuple(file.relative_to(path).as_posix() for file in files)
    groups, attributes, origin = read_metadata(path, ids, group)
    notes = (*unplaced_note(images_in(path), path), *masks, *origin.notes)
    return Table(
        classes=tuple(folder.name for folder in inner),
        ids=ids,
        paths=tuple(files),
        labels=np.array(labels, dtype=np.int64),
        groups=group_or_own(groups, ids),
        attributes=attributes,
        root=path,
        origin=replace(origin, notes=notes, unread=tuple(unread)),
    )


def _refuse_other_folders(path: Path, folders: list[Path]) -> None:
    """Raise DataError if folders are parts, or hold images of any class."""
    names = [folder.name for folder in folders]
    if len(names) > 1 and all(part_of(name) for name in names):
        raise DataError(
            f"{path}: {', '.join(names)} are parts, not classes, and hold images directly; put a folder for each class "
            "into each of them, or a table with the columns 'path' and 'label' beside them"
        )
    if other := [folder.name for folder in folders if holds_any_class(folder.name) and not folders_in(folder)]:
        which = f"a single folder, {other[0]!r}, is no class" if len(names) == 1 else f"{first_few(other)}: no classes"
        raise DataError(
            f"{path}: {which}; expected a folder for each class, or a table beside it with a column that names the "
            f"image, such as 'path', and one of classes, such as 'label'{difference(path)}"
        )
    if len(names) == 1 and not tables_in(path) and (unread := labels_in(path)):
        raise DataError(f"{path}: a single folder, {names[0]!r}, and beside it {unread}")


def _without_images(folder: Path, others: Sequence[Path]) -> DataError:
    """Return the error about a folder of a class without images in it, and files in it that cannot be read."""
    if deeper := images_below(folder):
        return DataError(
            f"{folder}: a class folder without images of its own; {len(deeper):,} images lie in folders within it, "
            f"such as {deeper[0].parent}: if it is a class, put them directly into it; if it holds folders of classes, "
            "give its path"
        )
    cannot = f"; {unread_note(others, folder.parent)}" if others else ""
    return DataError(
        f"{folder}: a class folder without images ({', '.join(sorted(SUFFIXES))}){cannot}; remove or fill it"
    )


def _refuse_inner_folders(path: Path, folders: list[Path]) -> None:
    """Raise DataError if folders within those of classes hold images."""
    deeper = [file for folder in folders for inner in folders_in(folder) for file in images_below(inner)]
    if deeper:
        raise DataError(
            f"{path}: {len(deeper):,} images lie in folders within those of classes, such as "
            f"{deeper[0].parent.relative_to(path).as_posix()}; set data.layout = 'imagefolder', which takes them as "
            "images of that class, or put them directly into its folder"
        )


def read_metadata(
    path: Path, ids: tuple[str, ...], group: str | None, *, strict: bool = True
) -> tuple[tuple[str, ...], dict[str, tuple[str, ...]], Origin]:
    """Return the groups, "" where unknown, the other columns of the metadata in the order of `ids`, and the origin.

    The metadata are the table in the folder, or one for each part, others that it can be joined with, and tables in the
    folders of the images. `strict` requires a row for each image, and an image for each row, in the folder's own.
    """
    tables, others, left = _beside(path, single=len({name.rpartition("/")[0] for name in ids}) == 1)
    rows = Rows(path, {_IMAGE: ids}, tuple(range(1, len(ids) + 1)))
    if strict and tables:
        own = one_table([read_table(file) for file in tables])
        naming = find(own.columns, IMAGE) or ""
        order, notes = _match(path, own, naming, ids)
        columns = {name: tuple(cells[row] for row in order) for name, cells in own.columns.items() if name != naming}
        rows = replace(rows, path=own.path, columns={_IMAGE: ids, **columns}, notes=own.notes + notes)
    rows = with_columns_beside(rows, _IMAGE, others)
    inner = joined(path, ids, [*([] if strict else tables), *tables_below(path)], rows.columns)
    columns = {name: cells for name, cells in {**inner.columns, **rows.columns}.items() if name != _IMAGE}
    if group is not None and not (tables or columns):
        raise DataError(f"{path}: there is no *.csv here, so images cannot be grouped by {group!r}")
    groups, chosen = taken(columns, grouping(columns, group, rows.path), len(ids))
    doubts = rows.doubts + inner.doubts + chosen.doubts + of_other_sheets(rows)
    doubts += sum(
        (unread(file, path, f"{tables[0].name} is used", [*columns, chosen.column or ""]) for file in left), ()
    )
    notes = rows.notes + inner.notes + chosen.notes
    return groups, columns, Origin(group=chosen.column or "", notes=notes, doubts=doubts if group is None else ())


def _beside(path: Path, *, single: bool) -> tuple[list[Path], list[Path], list[Path]]:
    """Return the table in the folder that names images, or one for each part; others; and those that are left out.

    Of several tables that name images, the only CSV is used. One that does not name them and has a column of ids is
    refused where no other does, and so is any beside a single folder, as it may name the classes. Others, such as
    lists of classes or of pixels, are not read.
    """
    headers = {file: header_of(file) for file in tables_in(path)}
    every = [file for file, header in headers.items() if find(header, IMAGE)]
    own = [file for file in every if file.suffix.lower() == ".csv"]
    tables = own if len(own) == 1 else every
    if len(tables) > 1 and len({part_of(stem(file)) for file in tables} - {None}) < len(tables):
        raise DataError(
            f"{path}: {first_few([file.name for file in tables])} all name images; keep one table, or one for each "
            "part, such as train.csv"
        )
    others = [file for file in headers if file not in every]
    for file in others if not tables else ():
        if any(map(is_id, headers[file])) or (single and len(headers[file]) > 1):
            raise DataError(
                f"{file}: no column names the image; expected one of file, path, image_id, ...{difference(path)}"
            )
    return tables, others, [file for file in every if file not in tables]


def _match(path: Path, rows: Rows, naming: str, ids: tuple[str, ...]) -> tuple[list[int], tuple[str, ...]]:
    """Return the row of the metadata of each id, and a line about names that differ from their files."""
    cells = rows.unique(naming)
    files = Files(path, ids, cells)
    found, notes = files.find(cells)
    row_of: dict[str, int] = {}
    for cell, row in cells.items():
        where = f"{rows.at(row)}: {naming} {cell!r}"
        images = sorted(ids[number] for number in found[cell])
        if not images:
            other = files.elsewhere([cell])
            there = f"; a file of this name lies in another folder: {other[0]}" if other else ""
            raise DataError(
                f"{where} is no image of this data set{there}; leave out the row of an image that is not here"
            )
        if len(images) > 1:
            raise DataError(f"{where} fits {first_few(images)}; write CLASS/IMAGE")
        (image,) = images
        if image in row_of:
            raise DataError(f"{where} names {image}, and so does {rows.at(row_of[image])}; keep one")
        row_of[image] = row
    missing = [image for image in ids if image not in row_of]
    if missing:
        raise DataError(
            f"{rows.path}: no row for {len(missing)} of {len(ids)} images: {first_few(missing)}; write one for each, "
            "with empty cells where nothing is known"
        )
    return [row_of[image] for image in ids], tuple(f"{rows.path.name}: {note}" for note in notes)
