"""Layout "folder": a folder for each class, and optionally a CSV with metadata of the images."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np

from dspkd.data.csv_rows import Rows
from dspkd.data.image_files import SUFFIXES, folders_in, images_below, images_in, unread_in, unread_note
from dspkd.data.part_names import holds_any_class, holds_no_class, part_of
from dspkd.data.readers._columns import IMAGE, find, grouping, is_person, refuse_label
from dspkd.data.readers._file_names import Files
from dspkd.data.readers._folders import refuse_no_classes, unplaced_note
from dspkd.data.readers._nearest import difference
from dspkd.data.table import Origin, Table, group_or_own
from dspkd.data.table_files import one_table, only_table, read_table, tables_in
from dspkd.errors import DataError, first_few

LAYOUTS = ("folder",)
PRIORITY = 50
EXPECTED = "CLASS/IMAGE"

_OTHER_LABELS = (".json", ".xml", ".yaml", ".yml", ".txt", ".mat", ".pkl")
"""Suffixes of files that may hold labels, and are no table of ours."""

_ABOUT = ("readme", "licen", "copying", "notice", "attribution", "citation", "changelog")
"""How names of files begin that hold no labels."""


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
    return len(named) > 1


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
        The folder of the class folders; hidden files and folders are ignored. A single table beside the class folders
        is the metadata: one row for each image, which a column such as ``file`` or ``image_id`` gives as
        ``CLASS/IMAGE``, as IMAGE, or as IMAGE without its suffix.
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
    for number, folder in enumerate(inner):
        images, others = images_in(folder), unread_in(folder)
        if not images:
            cannot = f"; {unread_note(others, path)}" if others else ""
            raise DataError(
                f"{folder}: a class folder without images ({', '.join(sorted(SUFFIXES))}){cannot}; remove or fill it"
            )
        files += images
        unread += others
        labels += [number] * len(images)
    _refuse_inner_folders(path, inner)
    ids = tuple(file.relative_to(path).as_posix() for file in files)
    groups, attributes, origin = read_metadata(path, [only_table(path)] if tables_in(path) else [], ids, group)
    notes = (*unplaced_note(images_in(path), path), *origin.notes)
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
    if len(names) == 1 and not tables_in(path) and (unread := _other_labels(path)):
        raise DataError(
            f"{path}: a single folder, {names[0]!r}, and beside it {first_few(unread)}, which may name the classes "
            "but is not a table that is read here; write a labels.csv with the columns 'image' and 'label', or a list "
            'of objects as JSON, such as [{"image": ..., "label": ...}]'
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


def _other_labels(path: Path) -> list[str]:
    """Return the names of files that may hold labels, but are read as no table."""
    return sorted(
        file.name
        for file in path.iterdir()
        if file.suffix.lower() in _OTHER_LABELS and file.is_file() and not file.name.lower().startswith((".", *_ABOUT))
    )


def read_metadata(
    path: Path, tables: list[Path], ids: tuple[str, ...], group: str | None
) -> tuple[tuple[str, ...], dict[str, tuple[str, ...]], Origin]:
    """Return the groups, "" where unknown, the other columns of the metadata in the order of `ids`, and the origin."""
    if not tables:
        if group is not None:
            raise DataError(f"{path}: there is no *.csv here, so images cannot be grouped by {group!r}")
        return ("",) * len(ids), {}, Origin()
    rows = one_table([read_table(file) for file in tables])
    naming = find(rows.columns, IMAGE)
    if naming is None:
        raise DataError(
            f"{rows.path}: no column names the image; expected one of file, path, image_id, ...{difference(path)}"
        )
    order, notes = _match(path, rows, naming, ids)
    others = {name: tuple(cells[row] for row in order) for name, cells in rows.columns.items() if name != naming}
    chosen = grouping(others, group, rows.path)
    groups = others.pop(chosen.column) if chosen.column is not None else ("",) * len(order)
    return (
        groups,
        others,
        Origin(group=chosen.column or "", notes=rows.notes + notes + chosen.notes, doubts=chosen.doubts),
    )


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
            raise DataError(f"{where} is no image of this data set{there}")
        if len(images) > 1:
            raise DataError(f"{where} fits {first_few(images)}; write CLASS/IMAGE")
        (image,) = images
        if image in row_of:
            raise DataError(f"{where} names {image}, and so does {rows.at(row_of[image])}; keep one")
        row_of[image] = row
    missing = [image for image in ids if image not in row_of]
    if missing:
        raise DataError(f"{rows.path}: no row for {len(missing)} of {len(ids)} images: {first_few(missing)}")
    return [row_of[image] for image in ids], tuple(f"{rows.path.name}: {note}" for note in notes)
