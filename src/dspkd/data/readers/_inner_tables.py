"""Tables in folders within or above a data set, which name its images: joined, or said to be left out."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from pathlib import Path

from dspkd.data.csv_rows import Rows
from dspkd.data.image_files import files_below
from dspkd.data.part_names import holds_any_class, squeezed
from dspkd.data.readers._columns import IMAGE, LABEL, find, is_id, matching
from dspkd.data.readers._file_names import Files
from dspkd.data.table_files import SUFFIXES, header_of, read_table, respelled
from dspkd.errors import DataError, first_few

_MOST = 20
"""Tables in a folder beyond which they are about single images, and are not looked at. Inferred."""


def tables_below(root: Path) -> list[Path]:
    """Return the tables in the folders below a folder, not those in it."""
    of: dict[Path, list[Path]] = {}
    for file in files_below(root):
        if file.parent != root and file.name.lower().endswith(SUFFIXES):
            of.setdefault(file.parent, []).append(file)
    return [file for files in of.values() if len(files) <= _MOST for file in files]


def joined(root: Path, ids: Sequence[str], tables: Iterable[Path], known: Collection[str]) -> Rows:
    """Return a row for each image with the columns of all tables that name it, "" where none does.

    Parameters
    ----------
    root
        The folder of the data set.
    ids
        The images, relative to it.
    tables
        Each is about the images in and below its own folder; of two that fill a cell, the first is used.
    known
        Columns that the images have without them.

    Returns
    -------
    Rows
        What could not be joined is in its notes, and in its doubts where it has ids of lesions or patients.
    """
    columns: dict[str, list[str]] = {}
    spelled: dict[str, str] = {}
    notes: list[str] = []
    doubts: list[str] = []
    failed: list[tuple[Path, str]] = []
    for file in tables:
        if not (find(header_of(file), IMAGE) or any(map(is_id, header_of(file)))):
            continue
        before = "" if file.parent == root else f"{file.parent.relative_to(root).as_posix()}/"
        own = [row for row, name in enumerate(ids) if name.startswith(before)]
        try:
            cells, row_of = _rows_of(file, [ids[row][len(before) :] for row in own])
        except DataError as error:
            failed.append((file, str(error)))
            continue
        if not row_of:
            failed.append((file, "names none of these images"))
            continue
        if before and not holds_any_class(file.parent.name):  # the folder says more of the class than its table
            cells = {name: column for name, column in cells.items() if name not in matching(cells, LABEL)}
        for name, column in respelled(cells, spelled).items():
            full = columns.setdefault(name, [""] * len(ids))
            for place, row in row_of.items():
                full[own[place]] = full[own[place]] or column[row]
        rest = "" if len(row_of) == len(own) else f", which it names {len(row_of):,} of {len(own):,} of"
        notes.append(f"{before}{file.name}: gives {first_few(list(map(repr, cells)))} of the images there{rest}")
    for file, reason in failed:
        doubt = unread(file, root, reason, [*columns, *known])
        doubts += doubt
        notes += [] if doubt else [f"{_named(file, root)}: {reason}: not used"]
    full_columns = {name: tuple(column) for name, column in columns.items()}
    return Rows(root, full_columns, tuple(range(1, len(ids) + 1)), tuple(notes), doubts=tuple(doubts))


def unread(file: Path, root: Path, reason: str, columns: Collection[str] = ()) -> tuple[str, ...]:
    """Return a doubt about a table that is not read and has columns of ids that are not among `columns`; else none."""
    known = set(map(squeezed, columns))
    missing = [repr(name) for name in header_of(file) if is_id(name) and squeezed(name) not in known]
    if not missing:
        return ()
    return (
        f"{_named(file, root)} has the column {first_few(missing)} and is not read ({reason}): images of one person "
        "may be in both training and test set; join it to the table of the images, or put it beside them with their "
        "names in a column 'image'",
    )


def _rows_of(file: Path, images: Sequence[str]) -> tuple[Mapping[str, tuple[str, ...]], dict[int, int]]:
    """Return the columns of a table but that of images, and ``{image: row}`` by the places of both."""
    rows = read_table(file)
    naming = find(rows.columns, IMAGE)
    if naming is None:
        raise DataError("no column names the image")
    names = rows.unique(naming)
    found, _ = Files(file.parent, images, names).find(names)
    row_of = {places[0]: row for name, row in names.items() if len(places := found[name]) == 1}
    if len(row_of) < sum(map(bool, found.values())):
        raise DataError("several images have one name, or several rows one image")
    return {name: cells for name, cells in rows.columns.items() if name != naming}, row_of


def _named(file: Path, root: Path) -> str:
    return file.relative_to(root).as_posix() if file.is_relative_to(root) else str(file)
