"""A published data set that is a table of image names, and images somewhere below its folder."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from dspkd.data.csv_rows import Rows
from dspkd.data.image_files import unread_below
from dspkd.data.part_names import is_missing
from dspkd.data.readers._beside import with_tables_beside
from dspkd.data.readers._columns import same
from dspkd.data.readers._labels import in_order
from dspkd.data.readers._locate import locate
from dspkd.data.readers._several import without_repeats
from dspkd.data.table import Origin, Table, group_or_own
from dspkd.data.table_files import header_of, read_table, stem, tables_in
from dspkd.errors import DataError, suggest

PUBLISHED: dict[str, frozenset[str]] = {}
"""``{layout: columns by which its table is recognised}``; each `PublishedTable` adds itself."""


@dataclass(frozen=True, kw_only=True)
class PublishedTable:
    """How a published data set names images, classes and groups.

    Attributes
    ----------
    layout
        Name of the layout.
    file
        Name of the table in lower case without suffix; None for any.
    columns
        The columns that it must have to be recognised.
    image, label
        Columns of the image's name and of the class; another class column may be chosen.
    group
        Columns of patients or lesions; the first that exists and is filled is used.
    licence
        The licence of the whole set, where the table has none for each image.
    without
        Whether to leave out a column of this name.
    images
        From the folder of the set to that of its images: an archive is unpacked first.
    prepare
        Changes the rows before they are used, such as rows for each of several images; returns lines on it.
    names
        ``{cell of the class column: name of the class}``; empty where the cells are the names.
    """

    layout: str
    columns: Collection[str]
    image: str
    label: str
    file: str | None = None
    group: tuple[str, ...] = ()
    licence: str = ""
    without: Callable[[str], bool] = lambda _: False
    images: Callable[[Path], Path] = lambda path: path
    prepare: Callable[[Rows], Rows] = lambda rows: rows
    names: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        PUBLISHED[self.layout] = frozenset(self.columns)

    @property
    def expected(self) -> str:
        """Return what the set looks like, for a message."""
        return f"{self.file or 'a table'} with {', '.join(sorted(self.columns))}"

    def fits(self, path: Path, *, label: str = "label") -> str | None:  # noqa: ARG002
        """Return the layout if the folder holds its table, else None."""
        return self.layout if self._tables(path) else None

    def read(self, path: Path, *, layout: str, group: str | None = None, label: str | None = None) -> Table:
        """Read the data set; rows without a label are left out, and counted.

        Raises
        ------
        DataError
            There is no such table, a column is missing, or an image is missing.
        """
        files = self._tables(path)
        if len(files) != 1:
            found = ", ".join(file.name for file in files) or "none"
            raise DataError(f"{path}: layout {layout!r} expects one table, {self.expected}; found {found}")
        rows = self.prepare(read_table(files[0], without=self.without))
        return table_of(
            path, rows, files, image=self.image, label=label or self.label, group=group, first=self.group,
            names=self.names if label is None else {}, licence=self.licence, images=self.images(path),
        )  # fmt: skip

    def _tables(self, path: Path) -> list[Path]:
        wanted = set(self.columns)
        return [
            file
            for file in tables_in(path)
            if self.file in (None, stem(file).lower()) and wanted <= set(header_of(file))
        ]


def table_of(
    path: Path,
    rows: Rows,
    used: Collection[Path],
    *,
    image: str,
    label: str,
    group: str | None,
    first: tuple[str, ...] = (),
    names: Mapping[str, str] | None = None,
    licence: str = "",
    images: Path | None = None,
) -> Table:
    """Return the table of rows that name images below `path`; rows without a label are left out, and counted.

    Tables beside it that are not among the `used` ones add what they know of these images.

    Parameters
    ----------
    image, label, group
        Columns; `group` None for the first of the columns `first` that is filled, or one that is called so.
    names
        ``{cell: name of the class}``; empty where the cells are the names.
    licence
        The licence of all images, added as a column where there is none.
    images
        The folder below which the images lie, where it is not `path`.
    """
    label = same(rows.columns, label, rows.path)
    rows = without_repeats(rows, image)
    every = rows.column(image)
    rows, notes = labelled(rows, label)
    ids = tuple(rows.unique(image))
    cells = rows.column(label)
    if names:
        cells = tuple(re.sub(r"(?<=\d)\.0*$", "", cell) for cell in cells)  # 1.0 is 1, as a spreadsheet may have it
        if unknown := sorted(set(cells) - set(names)):
            raise DataError(f"{rows.path}: {label} {unknown[0]!r} is no label; {suggest(unknown[0], names)}")
        cells = tuple(names[cell] for cell in cells)
    classes = tuple(dict.fromkeys(names.values())) if names else in_order(cells)
    number = {name: k for k, name in enumerate(classes)}
    others = {name: column for name, column in rows.columns.items() if name not in {image, label}}
    paths, located = locate(images or path, ids, rows.path, unlabelled=tuple(filter(None, set(every) - set(ids))))
    table = Table(
        classes=classes,
        ids=ids,
        paths=paths,
        labels=np.array([number[cell] for cell in cells], dtype=np.int64),
        groups=group_or_own(("",) * len(ids), ids),
        attributes=others,
        root=path,
        origin=Origin(notes=(*rows.notes, *notes, *located), unread=tuple(unread_below(images or path))),
    )
    table = with_tables_beside(table, rows.path, used, image=image, label=label, group=group, first=first)
    if not licence or {"copyright_license", "licence", "license"} & set(table.attributes):
        return table
    return replace(table, attributes={**table.attributes, "licence": (licence,) * len(ids)})


def labelled(rows: Rows, label: str) -> tuple[Rows, tuple[str, ...]]:
    """Return the rows that have a label, and a line on the others."""
    cells = rows.column(label)
    kept = [row for row, cell in enumerate(cells) if not is_missing(cell)]
    if len(kept) == len(cells):
        return rows, ()
    if not kept:
        raise DataError(f"{rows.path}: column {label!r} is empty in every row; name another one: data.columns.label")
    note = f"{len(cells) - len(kept):,} rows of {rows.path.name} without {label} are left out"
    return rows.take(kept), (note,)


def image_rows(rows: Rows, columns: Mapping[str, str]) -> Rows:
    """Return a row for each of several images that a row names, with the columns ``image`` and ``image_type``.

    Parameters
    ----------
    rows
        A row for each lesion or case.
    columns
        ``{kind of image: column of its name}``; an empty cell names none. An image that several rows name is used once.
    """
    kinds = [(row, kind, rows.column(name)[row]) for row in range(len(rows.lines)) for kind, name in columns.items()]
    first = {image: (row, kind) for row, kind, image in reversed(kinds) if image}
    named = [(row, kind, image) for row, kind, image in kinds if image and first[image] == (row, kind)]
    twice = sum(bool(image) for *_, image in kinds) - len(named)
    note = (f"{twice} images are named by several rows of {rows.path.name}; the first is used",) if twice else ()
    expanded = rows.take([row for row, *_ in named])
    own = {"image": tuple(image for *_, image in named), "image_type": tuple(kind for _, kind, _ in named)}
    return replace(expanded, columns={**expanded.columns, **own}, notes=(*rows.notes, *note))
