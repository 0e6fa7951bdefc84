"""The other tables of a data set: their columns of its images, groups by their ids, doubts about those not read."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import replace
from pathlib import Path

from dspkd.data.csv_rows import Rows
from dspkd.data.image_files import folders_in
from dspkd.data.part_names import squeezed
from dspkd.data.readers._columns import grouping, is_id
from dspkd.data.readers._groups import taken
from dspkd.data.readers._inner_tables import tables_below, unread
from dspkd.data.readers._several import is_empty, with_columns_beside
from dspkd.data.spreadsheet import other_sheets
from dspkd.data.table import Table, group_or_own
from dspkd.data.table_files import header_of, stem, tables_in
from dspkd.errors import first_few


def tables_beside(path: Path, used: Collection[Path]) -> list[Path]:
    """Return the tables of a folder that are not `used`, also those in a folder of their own name.

    An archive is unpacked into such a folder. Those not `about_images` are left out; beside a file are none.
    """
    if not path.is_dir():
        return []
    own = [file for folder in folders_in(path) for file in tables_in(folder) if stem(file) == folder.name]
    return [file for file in [*tables_in(path), *own] if file not in used and about_images(file)]


def about_images(file: Path) -> bool:
    """Return whether a table may be about the images of a data set.

    An example of what a competition expects has labels that are none, and what a synthetic set knows of its images is
    withheld: see `dspkd.data.synthetic.dataset`.
    """
    return "submission" not in squeezed(stem(file)) and stem(file) not in ("synthetic_truth", "planted_duplicates")


def with_tables_beside(
    table: Table,
    source: Path,
    used: Collection[Path],
    *,
    image: str,
    label: str | None = None,
    group: str | None,
    first: Sequence[str] = (),
) -> Table:
    """Return a table with the columns of the tables beside it, and with groups.

    Parameters
    ----------
    table
        A published data set without groups, whose ids are the names of its images.
    source, used
        The file that names the images, and all files that are read already.
    image, label
        The columns of images and classes, None for classes without a column; neither is an attribute.
    group
        The column of lesions or patients; None for the first of the columns `first` that is filled, after one of
        patients that another table adds, or one that is called so.

    Raises
    ------
    DataError
        There is no column `group`, or a table beside it cannot be read.
    """
    files = tables_beside(table.root, used)
    names = [table.classes[number] for number in table.labels.tolist()]
    own = {image: table.ids, **({} if label is None else {label: tuple(names)}), **table.attributes}
    rows = with_columns_beside(Rows(source, own, tuple(range(1, len(table) + 1))), image, files)
    others = {name: cells for name, cells in rows.columns.items() if name not in {image, label}}
    groups, chosen = taken(others, grouping(others, group, source, first=first), len(table))
    doubts = (rows.doubts if group is None else ()) + chosen.doubts
    origin = replace(
        table.origin,
        group=chosen.column or "",
        notes=table.origin.notes + rows.notes + chosen.notes,
        doubts=table.origin.doubts + doubts,
    )
    grouped = replace(table, groups=group_or_own(groups, table.ids), attributes=others, origin=origin)
    return with_doubts(grouped, [*used, *files], group)


def with_doubts(table: Table, read: Collection[Path], group: str | None) -> Table:
    """Return the table with a doubt about each other table below its folder that has ids which it lacks."""
    if group is not None or not table.root.is_dir():
        return table
    known = [table.origin.group, *(name for name, cells in table.attributes.items() if not is_empty(cells))]
    others = [file for file in tables_below(table.root) if file not in read]
    doubts = sum((unread(file, table.root, "it lies in another folder", known) for file in others), ())
    return replace(table, origin=replace(table.origin, doubts=table.origin.doubts + doubts))


def of_one_file(rows: Rows, image: str) -> tuple[str, ...]:
    """Return doubts about tables beside the one that the user names alone, with ids of its images that it lacks."""
    known = {squeezed(name) for name, cells in rows.columns.items() if not is_empty(cells)}
    doubts = []
    for file in tables_beside(rows.path.parent, [rows.path]):
        ids = [name for name in header_of(file) if is_id(name) and squeezed(name) not in known]
        added = with_columns_beside(rows, image, [file]).columns if ids else {}
        if missing := [repr(name) for name in ids if name in added]:
            doubts.append(
                f"{file.name} has the column {first_few(missing)} of these images and is not read, as data.path is "
                f"{rows.path.name} alone: images of one person may be in both training and test set; set data.path to "
                f"the folder, or write that column into {rows.path.name}"
            )
    return tuple(doubts)


def of_other_sheets(rows: Rows) -> tuple[str, ...]:
    """Return doubts about sheets of a spreadsheet that are not read and have ids which its rows lack."""
    known = {squeezed(name) for name, cells in rows.columns.items() if not is_empty(cells)}
    doubts = []
    for file in dict.fromkeys(rows.files or (rows.path,)):
        for title, names in other_sheets(file).items() if file.suffix.lower() == ".xlsx" else ():
            if missing := [repr(name) for name in names if is_id(name) and squeezed(name) not in known]:
                doubts.append(
                    f"{file.name}: sheet {title!r} has the column {first_few(missing)} and is not read: images of one "
                    "person may be in both training and test set; write that column into the sheet of the images, or "
                    "save the sheet as a CSV beside it"
                )
    return tuple(doubts)
