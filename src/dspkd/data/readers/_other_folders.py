"""Folders of images that are not the classes of their table: a line or a doubt, or an error if they contradict it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from dspkd.data.class_names import composed
from dspkd.data.part_names import squeezed
from dspkd.data.readers._columns import is_person, may_be_people
from dspkd.data.readers._file_names import path_of
from dspkd.data.readers._folders import places
from dspkd.data.table import Table
from dspkd.errors import DataError, first_few


def with_folders_noted(table: Table, layout: str) -> Table:
    """Return a table, whose classes its layout takes from a file, with a line on folders that may be classes too.

    Folders of parts, patients or any images are no classes, nor are those that the names of the images hold already.
    What divides the classes further, or puts them together, is a note, any other division a doubt; so is an image that
    the table itself names in the folder of another class.

    Raises
    ------
    DataError
        An image that the table names without its folder lies in the folder of another class.
    """
    if not all(path.is_relative_to(table.root) for path in table.paths):
        return table
    folders = [place.label for place in places(table.root, table.paths)]
    classes = [table.classes[number] for number in table.labels.tolist()]
    named = [folder in path_of(name).split("/")[:-1] for folder, name in zip(folders, table.ids, strict=True)]
    if wrong := _contradictions(table.classes, folders, classes):
        doubt = _refused(table, layout, folders, classes, named, wrong)
        return replace(table, origin=replace(table.origin, doubts=(*table.origin.doubts, doubt)))
    pairs = {(folder, name) for folder, name in zip(folders, classes, strict=True) if folder}
    names = sorted({folder for folder, _ in pairs})
    of_classes = len({name for _, name in pairs})
    numbered = len({name.rstrip("0123456789") for name in names}) == 1
    if all(named) or len(names) < 2 or numbered or may_be_people(names) or any(map(is_person, names)):
        return table
    if len(pairs) == len(names) == of_classes:
        return table
    such, own = first_few(names), first_few(table.classes)
    if len(pairs) in (len(names), of_classes):
        line = f"the images lie in folders ({such}) that are not the classes ({own})"
        return replace(table, origin=replace(table.origin, notes=(*table.origin.notes, line)))
    deep = any(path.parent.parent != table.root for path in table.paths)
    doubt = (
        f"the images lie in folders ({such}) that divide them otherwise than the classes ({own}): if the folders are "
        f"the classes, set data.layout = {'imagefolder' if deep else 'folder'!r}"
    )
    return replace(table, origin=replace(table.origin, doubts=(*table.origin.doubts, doubt)))


def _contradictions(known: Sequence[str], folders: Sequence[str], classes: Sequence[str]) -> list[int]:
    """Return the rows whose folder is called as another of the known classes."""
    class_of = {_key(name): name for name in known}
    return [
        row for row, folder in enumerate(folders) if folder and class_of.get(_key(folder), classes[row]) != classes[row]
    ]


def _key(name: str) -> str:
    return squeezed(name) or composed(name).casefold()


def _refused(
    table: Table,
    layout: str,
    folders: Sequence[str],
    classes: Sequence[str],
    named: Sequence[bool],
    wrong: Sequence[int],
) -> str:
    """Return a doubt about rows in the folder of another class; DataError where the table does not name the folder."""
    row = next((each for each in wrong if not named[each]), wrong[0])
    line = (
        f"the folder {folders[row]!r} is called as a class, and {len(wrong):,} of {len(table):,} images lie in folders "
        f"of other classes than the table says, such as {table.ids[row]} of the class {classes[row]!r}"
    )
    if named[row]:
        return f"{line}: correct one of the two, or leave it if the folders are out of date"
    raise DataError(f"{table.root}: {line}; correct one of the two, or set data.layout = {layout!r} to use the table")
