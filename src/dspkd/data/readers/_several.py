"""Several tables of one data set: one for each part, or others with more columns of the same images."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from dspkd.data.csv_rows import Rows
from dspkd.data.image_files import bare, folders_in, images_in
from dspkd.data.readers._columns import IMAGE, find
from dspkd.data.readers._file_names import path_of
from dspkd.data.readers._labels import in_order
from dspkd.data.table import Table, repeated
from dspkd.data.table_files import header_of, read_table, respelled


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

    Images are compared without suffix, and without folders unless several have the same name. Nothing is added of a
    table that names none of the images, or one of them twice. Notes say what is used.
    """
    if not files:
        return rows
    key = _bare if len(set(map(_bare, rows.column(image)))) == len(rows.lines) else _whole
    names = list(map(key, rows.column(image)))
    columns, notes = dict(rows.columns), list(rows.notes)
    for file in files:
        naming = find(header_of(file), IMAGE)
        if naming is None:
            continue
        other = read_table(file)
        theirs = list(map(key, other.column(naming)))
        row_of = {name: row for row, name in enumerate(theirs)}
        order = [row_of.get(name) for name in names]
        known = sum(row is not None for row in order)
        added = [name for name in other.columns if name not in columns and name != naming]
        if not known or not added or repeated(theirs):
            reason = "has several rows for an image" if repeated(theirs) else f"names {known:,} of these images"
            notes.append(f"{file.name}: {reason if added else 'has no other columns'}: not used")
            continue
        columns |= {name: tuple("" if row is None else other.column(name)[row] for row in order) for name in added}
        rest = "" if known == len(names) else f", which it names {known:,} of {len(names):,} of"
        notes.append(f"{file.name}: gives {', '.join(map(repr, added))} of the images of {rows.path.name}{rest}")
    return replace(rows, columns=columns, notes=tuple(notes))


def _bare(name: str) -> str:
    return bare(path_of(name))


def _whole(name: str) -> str:
    path = path_of(name)
    return path[: path.rfind("/") + 1] + bare(path)


def rows_of_images(rows: Rows, root: Path) -> Rows:
    """Return a row for each image of the folder that a row names, with its file in the column ``image``.

    That is a table with a row for each patient, beside a folder for each. Unchanged where no column names folders.
    """
    images_of = {folder.name: images_in(folder) for folder in folders_in(root)}
    naming = next((name for name, cells in rows.columns.items() if images_of.keys() >= set(cells)), None)
    if naming is None:
        return rows
    every = [(row, file) for row, name in enumerate(rows.unique(naming)) for file in images_of[name]]
    expanded = rows.take([row for row, _ in every])
    image = tuple(file.relative_to(root).as_posix() for _, file in every)
    return replace(expanded, columns={**expanded.columns, "image": image})


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
