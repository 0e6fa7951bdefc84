"""Readers of data sets: one file, one family of layouts on disk.

Adding a file here is the whole registration. A reader module has all that `Reader` lists.
"""

from __future__ import annotations

import pkgutil
from collections.abc import Collection
from dataclasses import replace
from functools import cache
from importlib import import_module
from pathlib import Path
from typing import Protocol, cast

from dspkd.data import official_split
from dspkd.data.class_names import with_composed_names
from dspkd.data.columns import Columns
from dspkd.data.download import catalog
from dspkd.data.image_files import folders_in, images_in, only_folder_of_images, refuse_other_encodings
from dspkd.data.readers import _nearest, csv_file
from dspkd.data.readers._columns import is_person, same
from dspkd.data.readers._inner_tables import tables_below, unread
from dspkd.data.readers._nearest import refuse_other_labels
from dspkd.data.readers._other_folders import with_folders_noted
from dspkd.data.readers._people_in_names import with_people_in_names
from dspkd.data.readers._spelling import with_one_spelling
from dspkd.data.readers._unlikely_classes import unlikely_classes
from dspkd.data.readers.class_folders import has_class_folders
from dspkd.data.table import Table
from dspkd.data.table_files import tables_in
from dspkd.errors import DataError, suggest


class Reader(Protocol):
    """What a module in this folder offers.

    Attributes
    ----------
    LAYOUTS
        Names of its layouts, as recipes write them.
    PRIORITY
        Place in the order in which layouts are recognised, lowest first; no two readers have the same.
    EXPECTED
        What a data set of these layouts looks like, for `dspkd data inspect`.
    """

    LAYOUTS: Collection[str]
    PRIORITY: int
    EXPECTED: str

    def fits(self, path: Path, *, label: str) -> str | None:
        """Return the layout of the data set at `path`, or None if it is none of `LAYOUTS`.

        `label` is the column of classes that the user names, "" where none is named.
        Names of files and headers of tables are enough; a folder that does not exist fits nothing.
        """

    def read(self, path: Path, *, layout: str, group: str | None, label: str | None) -> Table:
        """Read the data set at `path`; DataError if it does not match `layout`."""


@cache
def readers() -> tuple[Reader, ...]:
    """Return the readers, in the order in which layouts are recognised."""
    names = [module.name for module in pkgutil.iter_modules(__path__) if not module.name.startswith("_")]
    modules = [cast("Reader", import_module(f"{__name__}.{name}")) for name in names]
    return tuple(sorted(modules, key=lambda module: module.PRIORITY))


LAYOUTS = tuple(layout for reader in readers() for layout in reader.LAYOUTS)
"""The layouts that `read` knows."""


def read(
    layout: str,
    path: Path,
    *,
    group: str | None = None,
    label: str | None = None,
    columns: Columns = Columns(),  # noqa: B008 - frozen
) -> Table:
    """Read the data set at `path`, with its official parts where it has any.

    Parameters
    ----------
    layout
        One of `LAYOUTS`, or "auto" to recognise it.
    path
        The folder of the data set, or one that holds nothing but this folder; for "csv" the file, or a folder that
        holds a single one.
    group
        The column that names the lesion or patient; each reader documents its default.
    label
        The column that names the class, for layouts that do not fix it.
    columns
        Columns by name; `group` and `label` may be among them. The image, and labels that need several columns or
        names, can only be named in a table of layout "csv".

    Raises
    ------
    DataError
        The layout is unknown, or the data set does not match its layout.
    """
    if not path.exists():
        raise DataError(f"{path}: there is no such file or folder{catalog.hint(path)}")
    columns = columns.updated(group=group, label=label)
    one_label = columns.label if isinstance(columns.label, str) else None
    outer = path
    automatic = layout == "auto"
    if automatic and columns.of_a_table:
        layout = "csv"
    elif automatic:
        layout = recognise(path, label=one_label or "")
        path = _within(path, label=one_label or "")
    else:
        path = _within(path, label=one_label or "", layout=layout)
    table = with_composed_names(_read(layout, path, columns, one_label))
    table = with_one_spelling(with_people_in_names(table) if columns.group is None else table)
    refuse_other_encodings((*table.paths, *table.origin.unread))
    if automatic:
        refuse_other_labels(table, layout)
    if automatic and layout != "folder" and columns.label is None:
        table = with_folders_noted(table, layout)
    named = {attribute: same(table.attributes, name, table.root) for attribute, name in columns.attributes.items()}
    part = None if columns.part is None else same(table.attributes, columns.part, table.root)
    doubts = _left_out(outer, path, table) if columns.group is None else ()
    notes = (*_note(outer, path), *table.origin.notes)
    doubts = (*table.origin.doubts, *doubts, *unlikely_classes(table))
    origin = replace(table.origin, layout=layout, columns=named, notes=notes, doubts=doubts)
    return official_split.recognised(replace(table, origin=origin), part)


def _read(layout: str, path: Path, columns: Columns, label: str | None) -> Table:
    if layout == "csv":
        return csv_file.read(path, columns=columns)
    if columns.of_a_table:
        raise DataError(
            f"{path}: layout {layout!r} knows the columns of its images and classes; leave image, names and lists of "
            "labels out of data.columns, or set data.layout = 'csv'"
        )
    for reader in readers():
        if layout in reader.LAYOUTS:
            return reader.read(path, layout=layout, group=columns.group, label=label)
    raise DataError(f"no layout is called {layout!r}; {suggest(layout, ('auto', *LAYOUTS))}")


def recognise(path: Path, *, label: str = "") -> str:
    """Return the layout of the data set at `path`, one of `LAYOUTS`.

    Raises
    ------
    DataError
        It is none of these.
    """
    layout = _fitting(_within(path, label=label), label)
    if layout is not None:
        return layout
    nearest = _nearest.difference(path, tuple(each for each in folders_in(path) if _holds_data_set(each, label)))
    raise DataError(
        f"{path}: no known layout{nearest}; expected a folder for each class, or a table with the "
        "columns 'image' and 'label', or a published data set as downloaded. dspkd data inspect, with --image COLUMN "
        "and --label COLUMN, shows as what images are read"
    )


def expected(layout: str) -> str:
    """Return what a data set of a layout looks like."""
    return next(reader.EXPECTED for reader in readers() if layout in reader.LAYOUTS)


def _fitting(path: Path, label: str) -> str | None:
    return next((layout for reader in readers() if (layout := reader.fits(path, label=label))), None)


def _holds_data_set(path: Path, label: str) -> bool:
    """Return whether a folder beside others would be read alone; one of a patient is none."""
    return not is_person(path.name) and _is_data_set(_within(path, label=label), label)


def _is_data_set(path: Path, label: str) -> bool:
    """Return whether a folder is of a known layout, and its folders, if they would be classes, look like them."""
    layout = _fitting(path, label)
    return layout is not None and (layout != "folder" or has_class_folders(path))


def _note(outer: Path, path: Path) -> tuple[str, ...]:
    """Return a line on the folder that is read where others lie beside it; none where none does."""
    between = [folder for folder in path.parents if folder == outer or outer in folder.parents]
    if path == outer or all(len(folders_in(folder)) == 1 for folder in between):
        return ()
    return (f"the data set is {path.relative_to(outer).as_posix()}, as no other folder in {outer} holds images",)


def _left_out(outer: Path, path: Path, table: Table) -> tuple[str, ...]:
    """Return a doubt about each table with ids in the folders from `outer` on that lies outside `path`."""
    if path == outer or path.is_file():
        return ()
    files = [file for file in [*tables_in(outer), *tables_below(outer)] if path not in file.parents]
    known = [table.origin.group, *table.attributes]
    return sum((unread(file, outer, f"the data set is {path}", known) for file in files), ())


def _within(path: Path, *, label: str, layout: str = "") -> Path:
    """Return the folder of the data set: `path`, or the only folder in it where `path` itself is not of the layout.

    That is `layout`, or any that is known where none is wanted; then it may also be the only folder with images.
    """
    inner = path
    while inner.is_dir() and ((fits := _fitting(inner, label)) is None or fits != (layout or fits)):
        folders = folders_in(inner)
        if len(folders) != 1 or images_in(inner):
            beside = None if layout else only_folder_of_images(inner)
            deeper = beside and _within(beside, label=label)
            return deeper if deeper and _is_data_set(deeper, label) else path
        inner = folders[0]
    return inner
