"""Several tables of one data set: one for each part, or others with more columns of the same images."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from dspkd.data.csv_rows import Rows
from dspkd.data.image_files import bare
from dspkd.data.part_names import names_no_one, split_column, squeezed
from dspkd.data.readers._columns import IMAGE, LABEL, find, is_id, matching
from dspkd.data.readers._file_names import path_of
from dspkd.data.readers._labels import binary_columns, in_order
from dspkd.data.readers._spelling import spelled
from dspkd.data.table import Table, repeated
from dspkd.data.table_files import header_of, read_table, respelled
from dspkd.errors import DataError, first_few


def joined(path: Path, tables: Mapping[str, Table]) -> Table:
    """Return the tables ``{part: table}`` as one, with the part of each image in the attribute ``split``."""
    every = list(tables.values())
    spelled: dict[str, str] = {}
    attributes = [respelled(table.attributes, spelled) for table in every]
    names = dict.fromkeys(name for each in attributes for name in each)
    same = len({table.classes for table in every}) == 1
    classes = every[0].classes if same else in_order([name for table in every for name in table.classes])
    number_of = [np.array([classes.index(name) for name in table.classes], dtype=np.int64) for table in every]
    labels = [number_K[table.labels] for number_K, table in zip(number_of, every, strict=True)]
    return Table(
        classes=classes,
        ids=sum((table.ids for table in every), ()),
        paths=sum((table.paths for table in every), ()),
        labels=np.concatenate(labels),
        groups=sum((table.groups for table in every), ()),
        attributes={
            "split": tuple(part for part, table in tables.items() for _ in table.ids),
            **{
                name: sum((own.get(name, ("",) * len(table)) for table, own in zip(every, attributes, strict=True)), ())
                for name in names
            },
        },
        root=path,
        origin=replace(
            every[0].origin,
            group=next((table.origin.group for table in every if table.origin.group), ""),
            notes=tuple(dict.fromkeys(note for table in every for note in table.origin.notes)),
            doubts=tuple(dict.fromkeys(doubt for table in every for doubt in table.origin.doubts)),
            unread=sum((table.origin.unread for table in every), ()),
        ),
        soft_labels=_soft_labels(every, number_of, len(classes)),
    )


def _soft_labels(
    tables: Sequence[Table], number_of: Sequence[NDArray[np.int64]], classes: int
) -> NDArray[np.float32] | None:
    """Return the weights of all images, 1 for the class of one that has no others; None where none has any."""
    if all(table.soft_labels is None for table in tables):
        return None
    every = []
    for table, number_K in zip(tables, number_of, strict=True):
        soft_NK = np.zeros((len(table), classes), dtype=np.float32)
        own_NK = np.eye(len(table.classes), dtype=np.float32)[table.labels]
        soft_NK[:, number_K] = own_NK if table.soft_labels is None else table.soft_labels
        every.append(soft_NK)
    return np.concatenate(every)


def within(folder: Path, table: Table, root: Path) -> Table:
    """Return the table of a folder as one of `root` above it: its ids begin with the path of the folder."""
    before = folder.relative_to(root).as_posix()
    ids = tuple(f"{before}/{name}" for name in table.ids)
    own = {f"image:{name}": f"image:{new}" for name, new in zip(table.ids, ids, strict=True)}
    return replace(table, root=root, ids=ids, groups=tuple(own.get(group, group) for group in table.groups))


def with_columns_beside(rows: Rows, image: str, files: Sequence[Path]) -> Rows:
    """Return the rows with the columns of other tables that name the same images in a column such as ``image``.

    Images are compared without suffix, and without folders unless several have the same name; where one name and one
    row can be meant, also in other case, with other leading zeros, and as ``12.0``. A table with a row for each lesion
    or patient is joined by the column of ids that both have, without what would be taken as classes. A column that is
    empty is taken from another table that fills it. Nothing is added of a table that names none of the images, or one
    of them twice. Notes, and doubts where it has ids, say so.
    """
    tables = {file: other for file in files if (other := _of_ids_or_images(file, image)) is not None}
    others = {file: _beside(rows, image, other) for file, other in tables.items()}
    joined_files = set()
    while file := next((file for file, join in others.items() if join), None):
        order, added = others[file] or ([], [])
        known, other = len(order) - order.count(None), tables.pop(file)
        columns = {name: tuple("" if row is None else other.column(name)[row] for row in order) for name in added}
        rest = "" if known == len(order) else f", which it names {known:,} of {len(order):,} of"
        note = f"{file.name}: gives {', '.join(map(repr, added))} of the images of {rows.path.name}{rest}"
        rows = replace(rows, columns={**rows.columns, **columns}, notes=(*rows.notes, note))
        joined_files.add(file)
        others = {file: _beside(rows, image, other) for file, other in tables.items()}  # by the columns just added
    for file in files:
        if file not in joined_files:
            rows = _with_reason(rows, image, file, tables.get(file))
    return rows


def _of_ids_or_images(file: Path, image: str) -> Rows | None:
    """Return the rows of a table that names images or has a column of ids; None for another, or one that is damaged.

    One with the ids of images must be readable.
    """
    header = header_of(file)
    names, ids = _naming(header, image) is not None, any(map(is_id, header))
    try:
        return read_table(file) if names or ids else None
    except DataError:
        if names and ids:
            raise
        return None


def _naming(columns: Collection[str], image: str) -> str | None:
    """Return the column that names the images as `image` does: of the same name, or one such as ``image``."""
    return image if image in columns else find(columns, IMAGE)


def _beside(rows: Rows, image: str, other: Rows) -> tuple[list[int | None], list[str]] | None:
    """Return the row of another table for each row, None without one, and the columns to add; None if it has none."""
    naming = _naming(other.columns, image)
    if naming is not None:
        names, theirs = _names(rows, image, other, naming)
        order = _matched(names, theirs, loose=squeezed(naming) != "id")
        added = [name for name in other.columns if name != naming and _is_new(name, rows, other)]
        if added and any(row is not None for row in order) and not repeated(theirs):
            return order, added
    mine = {squeezed(name): name for name in rows.columns}
    for name in filter(is_id, other.columns):
        ids = ["" if names_no_one(cell) else spelled(cell) for cell in other.column(name)]
        if squeezed(name) not in mine or repeated(list(filter(None, ids))):
            continue
        order = _matched(list(map(spelled, rows.column(mine[squeezed(name)]))), ids, loose=False)
        left_out: set[str | None] = {*matching(other.columns, LABEL), *binary_columns(other, ())}
        left_out |= {split_column(other.columns)} if None in order else set()
        left_out |= {each for each in other.columns if squeezed(each) in mine and each not in rows.columns}
        added = [each for each in other.columns if each not in left_out and _is_new(each, rows, other)]
        if added and any(row is not None for row in order):
            return order, added
    return None


def _is_new(name: str, rows: Rows, other: Rows) -> bool:
    """Return whether a column of another table is none of the rows, or an empty one of theirs and filled there."""
    return name not in rows.columns or (is_empty(rows.columns[name]) and not is_empty(other.columns[name]))


def is_empty(cells: Sequence[str]) -> bool:
    """Return whether no cell of a column names anything."""
    return all(map(names_no_one, set(cells)))


def _names(rows: Rows, image: str, other: Rows, naming: str) -> tuple[list[str], list[str]]:
    """Return the names of the images in both tables, as they are compared."""
    key = _bare if len(set(map(_bare, rows.column(image)))) == len(rows.lines) else _whole
    return list(map(key, rows.column(image))), list(map(key, other.column(naming)))


def _matched(names: Sequence[str], theirs: Sequence[str], *, loose: bool) -> list[int | None]:
    """Return for each name the row of the same name, or of a similar one where no other name and row are similar."""
    row_of = {name: row for row, name in enumerate(theirs) if name}
    order = [row_of.get(name) for name in names]
    if not loose or None not in order:
        return order
    used = set(order)
    wanted = Counter(_loose(name) for name, row in zip(names, order, strict=True) if row is None)
    rows_of = defaultdict(list)
    for row, name in enumerate(theirs):
        if row not in used and _loose(name) in wanted:
            rows_of[_loose(name)].append(row)
    single = {key: rows[0] for key, rows in rows_of.items() if len(rows) == 1 == wanted[key]}
    return [single.get(_loose(name)) if row is None else row for name, row in zip(names, order, strict=True)]


def _with_reason(rows: Rows, image: str, file: Path, other: Rows | None) -> Rows:
    """Return the rows with a line on why a table is not used, and a doubt where it has ids that the rows lack."""
    columns: Collection[str] = header_of(file) if other is None else other.columns
    naming, reason = _naming(columns, image), "names 0 of these images"
    if other is None and (naming is not None or any(map(is_id, columns))):
        reason = "cannot be read"
    if other is not None and naming is not None:
        _, theirs = _names(rows, image, other, naming)
        if not any(name != naming and _is_new(name, rows, other) for name in columns):
            reason = "has no other columns"
        elif repeated(theirs):
            reason = "has several rows for an image"
    mine = {squeezed(name) for name, cells in rows.columns.items() if not is_empty(cells)}
    ids = [repr(name) for name in columns if is_id(name) and squeezed(name) not in mine]
    doubt = (
        f"{file.name} has the column {first_few(ids)} and {reason}: if it names the patients or lesions of these "
        f"images, write that column into {rows.path.name}"
    )
    notes = (*rows.notes, f"{file.name}: {reason}: not used")
    return replace(rows, notes=notes, doubts=(*rows.doubts, *([doubt] if ids else [])))


def _bare(name: str) -> str:
    return bare(path_of(name))


def _whole(name: str) -> str:
    path = path_of(name)
    return path[: path.rfind("/") + 1] + bare(path)


def _loose(name: str) -> str:
    folder, _, file = name.casefold().rpartition("/")
    number = re.sub(r"^(\d+)\.0+$", r"\1", file)  # as a spreadsheet may have it
    return f"{folder}/{number.lstrip('0') or number[-1:]}"


def without_repeats(rows: Rows, column: str) -> Rows:
    """Return the rows without those that repeat an earlier row, cell by cell; `column` names the image."""
    if len(set(rows.column(column))) == len(rows.lines):
        return rows
    first: dict[str, int] = {}
    kept = []
    for row, cell in enumerate(rows.column(column)):
        before = first.setdefault(cell, row)
        if before == row or any(cells[row] != cells[before] for cells in rows.columns.values()):
            kept.append(row)
    if len(kept) == len(rows.lines):
        return rows
    note = f"{rows.path.name}: {len(rows.lines) - len(kept):,} rows repeat an earlier one and are left out"
    return replace(rows.take(kept), notes=(*rows.notes, note))
