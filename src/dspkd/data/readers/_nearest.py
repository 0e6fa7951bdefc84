"""What a folder that no reader recognises looks like, and labels that contradict each other."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from dspkd.data.class_names import composed
from dspkd.data.csv_rows import Rows
from dspkd.data.image_files import SUFFIXES, folders_in, images_below, images_in
from dspkd.data.part_names import holds_any_class, is_missing
from dspkd.data.readers._columns import LABEL, matching, may_be_people
from dspkd.data.readers._containers import containers_below, labels_in
from dspkd.data.readers._file_names import path_of
from dspkd.data.readers._labels import binary_columns, from_one_hot
from dspkd.data.readers._published import PUBLISHED
from dspkd.data.table import Table, is_named
from dspkd.data.table_files import header_of, tables_in
from dspkd.errors import DataError, first_few

_ALIKE = 0.5
"""Share of a published table's columns from which on another is called similar."""


def difference(path: Path, alone: Sequence[Path] = ()) -> str:
    """Return, for a message, the published layout that the folder comes nearest to, and what differs; "" if none.

    Folders in it that would be read `alone` are named.
    """
    if not path.is_dir():
        return ""
    tables = {file: set(header_of(file)) for file in tables_in(path)}
    near = [
        (len(header & columns) / len(columns), layout, file, columns - header)
        for file, header in tables.items()
        for layout, columns in PUBLISHED.items()
        if len(header & columns) > 1
    ]
    share, layout, file, missing = max(near, key=lambda each: each[0], default=(0.0, "", path, set()))
    if share >= _ALIKE:
        lacks = f"lacks the column {first_few(sorted(missing))}" if missing else "has the columns, and another name"
        return f"; the nearest is {layout!r}, but {file.name} {lacks}"
    if tables:
        file, header = next(iter(tables.items()))
        if named := [name for name in header if path_of(name).lower().endswith(tuple(SUFFIXES))]:
            return (
                f"; {file.name} has no header, as its first line names an image, {named[0]}: write the names of its "
                "columns above it, such as image,label"
            )
        return (
            f"; {file.name} has the columns {first_few(header_of(file)) or '(none that can be read)'}: if it names "
            "images and classes, set data.columns.image and data.columns.label (to inspect it, --image and --label)"
            f"{_containers(path)}"
        )
    if not alone:
        return _folders_without_a_table(path)
    names = first_few([each.name for each in alone])
    others = "" if any(holds_any_class(each.name) for each in alone) else _folders_without_a_table(path)
    return f"{others}; of its folders, {names} would be read alone: to read one of them, give its path"


def _folders_without_a_table(path: Path) -> str:
    """Return, for a message, what a folder holds that has no table beside its folders; "" where there is nothing."""
    folders = folders_in(path)
    if within := [file for folder in folders for file in tables_in(folder)]:
        files = first_few([file.relative_to(path).as_posix() for file in within])
        return (
            f"; tables within folders are not read here ({files}): join them into one labels.csv beside these "
            "folders, or name each after its part, such as train.csv; if columns are called otherwise than 'image' and "
            "'label', set data.columns.image and data.columns.label"
        )
    if containers := _containers(path):
        return containers
    images, bare = images_in(path), [each.name for each in folders if holds_any_class(each.name)]
    deep = [inner for folder in folders for inner in folders_in(folder) if images_in(inner)]
    if deep and not bare:
        return (
            f"; images lie two folders deep, such as in {deep[0].relative_to(path).as_posix()}: if the outer folders "
            "are parts, call them train, val and test; if the inner ones are the classes of one set, set data.layout = "
            "'imagefolder'; if the outer ones are, put the images directly into them"
        )
    if images or bare:
        where = first_few(bare) if bare else f"{len(images)} images"
        if unread := labels_in(path):
            return f"; {where} and beside them {unread}"
        return (
            f"; {where} but no table beside them that names their classes, such as labels.csv with the columns "
            "'image' and 'label', and no folder for each class"
        )
    return f"; {unread}" if images_below(path) and (unread := labels_in(path)) else ""


def _containers(path: Path) -> str:
    """Return, for a message, which files below a folder without images may hold them; "" where none does."""
    return "" if images_below(path) else containers_below(path)


def refuse_other_labels(table: Table, layout: str) -> None:
    """Raise DataError if classes are folders, and labels beside them divide the images otherwise, or they are patients.

    A column that divides a class further, such as a diagnosis in folders of benign and malignant images, is metadata.
    """
    folders = {composed(part) for folder in {path.parent for path in table.paths} for part in folder.parts}
    if layout not in ("folder", "imagefolder") or not folders.issuperset(table.classes):
        return
    for name, cells in _labels_beside(table).items():
        pairs = {
            (cell, label) for cell, label in zip(cells, table.labels.tolist(), strict=True) if not is_missing(cell)
        }
        values = sorted({cell for cell, _ in pairs})
        if len(pairs) > len(values) > 1:
            raise DataError(
                f"{table.root}: the folders ({first_few(table.classes)}) and the column {name} "
                f"({first_few(values)}) divide the images differently; choose one: "
                f"data.columns.label = {name}, or data.layout = {layout!r} for the folders"
            )
    pairs = set(zip(table.groups, table.labels.tolist(), strict=True))
    if len(pairs) == len(set(table.groups)) == len(table.classes) > 2 and all(map(is_named, table.groups)):
        raise DataError(
            f"{table.root}: each folder ({first_few(table.classes)}) is one group of the column "
            f"{table.origin.group!r}: the folders are patients, not classes; name the column of classes: "
            f"data.columns.label; or data.layout = {layout!r} if they are classes all the same"
        )
    if may_be_people(table.classes) and len(table.classes) > 1:
        raise DataError(
            f"{table.root}: the folders ({first_few(table.classes)}) are called after patients or lesions, or are mere "
            "numbers, and would be classes; put a table beside them, such as labels.csv with the columns 'image', "
            f"'label' and 'patient'; or set data.layout = {layout!r} if they are classes all the same"
        )


def _labels_beside(table: Table) -> dict[str, tuple[str, ...]]:
    """Return ``{column as a recipe writes it: labels}`` of columns beside the folders, also of one for each class."""
    found = {repr(name): table.attributes[name] for name in matching(table.attributes, LABEL)}
    rows = Rows(table.root, table.attributes, tuple(range(1, len(table) + 1)))
    columns = binary_columns(rows, ())
    if len(columns) < 2:
        return found
    with suppress(DataError):  # flags, such as itches and bleeds, of which a row has several or none
        labels = from_one_hot(rows, columns)
        found[str(list(columns))] = tuple(labels.classes[number] for number in labels.numbers.tolist())
    return found
