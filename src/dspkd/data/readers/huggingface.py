"""Layout "imagefolder" of the Hugging Face hub: images in any folders, and metadata that name them."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path, PurePath

import numpy as np
from numpy.typing import NDArray

from dspkd.data.csv_rows import Rows, read_header
from dspkd.data.image_files import files_below, folders_in, images_below, images_in, unread_below, unread_in
from dspkd.data.part_names import holds_any_class, holds_no_class, part_of
from dspkd.data.readers._columns import IMAGE, find, grouping, may_be_people
from dspkd.data.readers._file_names import path_of
from dspkd.data.readers._folders import (
    have_inner_folders,
    in_folders_of_people,
    places,
    refuse_no_classes,
    unplaced_note,
    without_masks,
)
from dspkd.data.readers._groups import taken
from dspkd.data.readers._labels import from_names, in_order
from dspkd.data.readers._left_out import left_out
from dspkd.data.readers._locate import locate
from dspkd.data.readers.class_folders import above_class_folders, read_metadata
from dspkd.data.table import Origin, Table, group_or_own, missing_of, refuse_missing, repeated
from dspkd.data.table_files import header_of, read_table, tables_in
from dspkd.errors import DataError, first_few

LAYOUTS = ("imagefolder",)
PRIORITY = 40
EXPECTED = "PART/CLASS/IMAGE or metadata with 'file_name' and 'label'"

METADATA = ("metadata.csv", "metadata.jsonl")
"""Names of metadata files."""


def fits(path: Path, *, label: str = "label") -> str | None:  # noqa: ARG001
    """Return "imagefolder" for a folder of this layout and of no simpler one, else None.

    That is: metadata in JSON, metadata with the columns ``file_name`` and ``label``, or folders of classes in folders
    that are parts, or the other way round, perhaps with a folder for each patient in them; or folders of classes of
    which one has images in folders within; or such folders within one folder, beside a table that names images. Folders
    of classes within those of patients are read too. A folder such as ``images`` is no class.
    """
    if not path.is_dir():
        return None
    files = _metadata_below(path)
    if any(file.suffix == ".jsonl" or {"file_name", "label"} <= set(read_header(file)) for file in files):
        return "imagefolder"
    outer = folders_in(path)
    if have_inner_folders(outer) or _is_above_folders(path) or in_folders_of_people(path):
        return "imagefolder"
    within = [(each, inner) for each in outer for inner in folders_in(each)]
    of_parts = [inner for each, inner in within if part_of(each.name) and not holds_any_class(inner.name)]
    both = [*of_parts, *_within_classes(within)]
    return (
        "imagefolder" if any(images_in(inner) or unread_in(inner) or _holds_people(inner) for inner in both) else None
    )


def _is_above_folders(path: Path) -> bool:
    """Return whether a folder holds a table that names images, and, within a single folder, those of classes."""
    return any(find(header_of(file), IMAGE) for file in tables_in(path)) and above_class_folders(path)


def _holds_people(folder: Path) -> bool:
    """Return whether the folders in a folder of a class are called after patients and hold images."""
    inner = [each for each in folders_in(folder) if images_in(each)]
    return bool(inner) and may_be_people([each.name for each in inner])


def _within_classes(within: list[tuple[Path, Path]]) -> list[Path]:
    """Return the folders that two classes or more hold: parts, or folders of patients or of any images; no masks."""
    pairs = [
        (outer, inner)
        for outer, inner in within
        if not (holds_any_class(outer.name) or holds_no_class(inner.name)) and images_in(inner)
    ]
    names = {inner.name for _, inner in pairs}
    known = bool(names) and (all(map(holds_any_class, names)) or may_be_people(names))
    return [inner for _, inner in pairs] if known and len({outer for outer, _ in pairs}) > 1 else []


def read(path: Path, *, layout: str = "imagefolder", group: str | None = None, label: str | None = None) -> Table:  # noqa: ARG001
    """Read a data set as ``load_dataset("imagefolder")`` does.

    Metadata, ``metadata.csv`` or ``metadata.jsonl``, lie in the folder or in folders below it. Their column
    ``file_name`` names the images, relative to the folder of the metadata. Without metadata, an image's folder is its
    class; a table beside the folders that names the images, or one for each part, is joined as in layout "folder", and
    so are those in the folders of parts and classes, as far as they name images.

    Parameters
    ----------
    path
        The folder.
    layout
        "imagefolder".
    group
        The column that names the lesion or patient; when none is named, one that is called so. An image whose cell is
        empty is a group of its own.
    label
        The column that names the class, ``label`` if there is such a column; otherwise an image's folder is its class,
        or the folder above it where that is a part, or called after a patient, who is then its group.

    Returns
    -------
    Table
        Its classes are those that occur, sorted; its ids are the files, relative to `path`.

    Raises
    ------
    DataError
        There are no images, or metadata and images do not match.
    """
    tables = [read_table(file) for file in _metadata_in(path)]
    notes: tuple[str, ...] = sum((rows.notes for rows in tables), ())
    if tables:
        named = [_named(rows) for rows in tables]
        files = [file for own, _ in named for file in own]
        notes += sum((lines for _, lines in named), ())
        spare, unread = left_out(path, files, " and ".join(sorted({rows.path.name for rows in tables})))
        notes += () if any("are not used" in note for note in notes) else spare
    else:
        files, notes = _in_class_folders(path, images_below(path))
        if not files:
            for file in (path / name for name in METADATA if (path / name).is_file()):
                read_table(file).column("file_name")
            raise DataError(f"{path}: no image here, nor {' or '.join(METADATA)}")
    ids = tuple(file.relative_to(path).as_posix() for file in files)
    twice = repeated(ids)
    if twice:
        raise DataError(f"{path}: {first_few(twice)}: in the metadata of two folders; keep one row for each image")
    columns = _columns(tables, len(files))
    classes, labels = _labels(path, tables, columns, files, label)
    if tables:
        others = {name: cells for name, cells in columns.items() if name not in {"file_name", label or "label"}}
        chosen = grouping(others, group, tables[0].path)
        if chosen.column is not None:
            for rows in tables:
                rows.column(chosen.column)
        groups, chosen = taken(others, chosen, len(ids))
        origin = Origin(group=chosen.column or "", notes=notes + chosen.notes, doubts=chosen.doubts, unread=unread)
    else:
        groups, others, origin = read_metadata(path, ids, group, strict=not _is_above_folders(path))
        people = tuple(place.person for place in places(path, files))
        if any(people) and not origin.group:
            groups = people
            of = "" if all(people) else f", of {len(people) - people.count(''):,} of {len(people):,} images"
            notes += (f"lesion or patient ids: the folders of the images, such as {next(filter(None, people))}{of}",)
        origin = replace(origin, notes=notes + origin.notes, unread=tuple(unread_below(path)))
    return Table(
        classes=classes,
        ids=ids,
        paths=tuple(files),
        labels=labels,
        groups=group_or_own(groups, ids),
        attributes=others,
        root=path,
        origin=origin,
    )


def _named(rows: Rows) -> tuple[list[Path], tuple[str, ...]]:
    """Return the files that metadata name, and lines about what was assumed."""
    names = tuple(rows.unique("file_name"))
    files = [rows.path.parent / PurePath(path_of(name)) for name in names]
    if not missing_of(files):
        return files, ()
    try:
        found, notes = locate(rows.path.parent, names, rows.path)
    except DataError:
        refuse_missing(files, rows.path)
        raise
    return list(found), notes


def _metadata_in(path: Path) -> list[Path]:
    """Return the metadata files in and below a folder, sorted; DataError if one folder holds both kinds."""
    files = _metadata_below(path)
    for file in files:
        if file.name == METADATA[1] and file.with_name(METADATA[0]) in files:
            raise DataError(f"{file.parent}: holds both {' and '.join(METADATA)}; keep one of the two")
    return files


def _metadata_below(path: Path) -> list[Path]:
    """Return the metadata files; one whose columns can be read and are no ``file_name`` is a table like any other."""
    files = [file for file in files_below(path) if file.name in METADATA]
    return [file for file in files if "file_name" in (header_of(file) or ["file_name"])]


def _columns(tables: list[Rows], count: int) -> dict[str, tuple[str, ...]]:
    """Return the columns of all tables, one below the other; "" where a table lacks one."""
    names = dict.fromkeys(name for rows in tables for name in rows.columns)
    blank = {id(rows): ("",) * len(rows.lines) for rows in tables}
    columns = {name: sum((rows.columns.get(name, blank[id(rows)]) for rows in tables), ()) for name in names}
    assert all(len(cells) == count for cells in columns.values()), "a row for each image"
    return columns


def _labels(
    path: Path, tables: list[Rows], columns: dict[str, tuple[str, ...]], files: list[Path], label: str | None
) -> tuple[tuple[str, ...], NDArray[np.int64]]:
    """Return the classes, and the number of that of each image."""
    if label is not None or "label" in columns:
        if not tables:
            raise DataError(f"{path}: there is no {METADATA[0]} here, so there is no column {label!r}")
        for rows in tables:
            rows.column(label or "label")
        lines = tuple(line for rows in tables for line in rows.lines)
        every = Rows(tables[0].path, columns, lines, files=tuple(rows.path for rows in tables for _ in rows.lines))
        named = from_names(every, label or "label", {})
        return named.classes, named.numbers
    folders = [place.label for place in places(path, files)]
    unclear = [str(file) for file, folder in zip(files, folders, strict=True) if not folder]
    if unclear:
        raise DataError(
            f"{tables[0].path if tables else path}: no column 'label', and no folder that is a class: "
            f"{first_few(unclear)}; expected PART/CLASS/IMAGE, or a column 'label'"
        )
    refuse_no_classes(path, dict.fromkeys(folders))
    classes = in_order(folders)
    return classes, np.array([classes.index(name) for name in folders], dtype=np.int64)


def _in_class_folders(path: Path, images: list[Path]) -> tuple[list[Path], tuple[str, ...]]:
    """Return the images in class folders, and lines about those in none, where others have one, and in inner folders.

    Unlabelled test images of many competitions lie so, in a part and in no class.
    """
    images, masks = without_masks(images, path)
    placed = list(zip(images, places(path, images), strict=True))
    unplaced = [file for file, place in placed if not place.label]
    if len(unplaced) == len(images):
        return images, masks
    notes = masks + unplaced_note(unplaced, path)
    if inner := [file for file, place in placed if place.inner]:
        such = inner[0].parent.relative_to(path).as_posix()
        notes += (
            f"{len(inner):,} images in folders within class folders, such as {such}, count as images of that class",
        )
    return [file for file, place in placed if place.label], notes
