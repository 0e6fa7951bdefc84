"""Layout "csv": a table with the file and the label of each image, or one such table for each part."""

from __future__ import annotations

from pathlib import Path, PurePath

from dspkd.data.columns import Columns
from dspkd.data.csv_rows import Rows
from dspkd.data.part_names import part_of, squeezed
from dspkd.data.readers._columns import IMAGE, LABEL, find, grouping, matching, same
from dspkd.data.readers._labels import read_labels
from dspkd.data.readers._locate import is_absolute, locate
from dspkd.data.readers.class_folders import has_class_folders
from dspkd.data.table import Origin, Table, group_or_own, missing_of, refuse_missing
from dspkd.data.table_files import header_of, one_table, only_table, read_table, tables_in
from dspkd.errors import DataError, suggest

LAYOUTS = ("csv",)
PRIORITY = 35
EXPECTED = "a table with the columns 'path' and 'label'"


def fits(path: Path, *, label: str = "label") -> str | None:
    """Return "csv" for a file, or for a folder with a table that names images and classes; else None.

    Where a folder holds folders that look like classes, or metadata of the Hugging Face hub, only a table with the
    columns ``path`` and `label` counts, or with a `label` of another name.
    """
    if path.is_file():
        return "csv"
    headers = [header_of(file) for file in tables_in(path)]
    own = [{squeezed(name) for name in header} for header in headers if find(header, IMAGE)]
    if any(squeezed(label) in names and ("path" in names or label != "label") for names in own):
        return "csv"
    tables = [header for header in headers if _columns(header, label) and "file_name" not in header]
    return "csv" if tables and not has_class_folders(path) else None


def read(
    path: Path,
    *,
    layout: str = "csv",  # noqa: ARG001
    group: str | None = None,
    label: str | None = None,
    columns: Columns = Columns(),  # noqa: B008 - frozen
) -> Table:
    """Read a data set that is a table with a row for each image.

    Parameters
    ----------
    path
        The file, or a folder that holds this table and no other; or one for each part, such as ``train.csv`` and
        ``test.csv``. Its format is one of `dspkd.data.table_files.SUFFIXES`.
    layout
        "csv".
    group
        The column of lesions or patients. When none is named, it is ``group``, or one that is called so; otherwise
        every image is a group of its own, as is one whose cell is empty.
    label
        The column of class names, by default ``label`` or one that is called so; the classes are those that occur,
        sorted.
    columns
        Any of these columns, and others.

    Returns
    -------
    Table
        Its ids are the cells of the column that names the image, ``path`` or one that is called so: files relative to
        the folder of the table, or names of files somewhere below it.

    Raises
    ------
    DataError
        A column, a label or an image file is missing, two columns would do, or an image is given twice.
    """
    columns = columns.updated(group=group, label=label)
    wanted = columns.label if isinstance(columns.label, str) else "label"
    rows = one_table([read_table(file) for file in _files(path, wanted)])
    root = rows.path.parent
    image, ids, paths, notes = _images(rows, columns.image)
    labels = read_labels(rows, columns.label, columns.names, beside={image, *columns.attributes.values()})
    others = {name: cells for name, cells in rows.columns.items() if name not in {image, *labels.columns}}
    chosen = grouping(others, columns.group, rows.path, first=("group",))
    groups = others.pop(chosen.column) if chosen.column is not None else ("",) * len(ids)
    if (image, *labels.columns) != ("path", wanted) and not labels.notes:
        found = f"images from column {image!r}, classes from column {labels.columns[0]!r}"
        notes = (f"{rows.path.name}: {found}", *notes)
    return Table(
        classes=labels.classes,
        ids=ids,
        paths=paths,
        labels=labels.numbers,
        groups=group_or_own(groups, ids),
        attributes=others,
        root=root,
        origin=Origin(group=chosen.column or "", notes=rows.notes + labels.notes + notes + chosen.notes),
    )


def _columns(header: tuple[str, ...], label: str) -> bool:
    """Return whether a header names a column of images and one of classes, or two others that may be classes."""
    image = find(header, IMAGE)
    if image is None:
        return False
    return (find(header, [squeezed(label)]) or find(header, LABEL)) is not None or len(header) > 2


def _files(path: Path, label: str) -> list[Path]:
    """Return the tables to read: the file, the only one of a folder, or one for each part."""
    if path.is_file():
        return [path]
    files = [file for file in tables_in(path) if _columns(header_of(file), label)]
    if len(files) > 1 and len({part_of(file.stem) for file in files} - {None}) == len(files):
        return files
    named = [file for file in files if find(header_of(file), [squeezed(label), *LABEL])]
    return next((each for each in (files, named) if len(each) == 1), [only_table(path)])


def _images(rows: Rows, wanted: str | None) -> tuple[str, tuple[str, ...], tuple[Path, ...], tuple[str, ...]]:
    """Return the column that names the images, its cells, their files, and lines about what was assumed.

    Of several columns that are called so, it is the one whose cells are files.
    """
    if wanted is not None:
        return _located(rows, same(rows.columns, wanted, rows.path))
    candidates = matching(rows.columns, IMAGE)
    if not candidates:
        raise DataError(
            f"{rows.path}: no column 'path' names the image; {suggest('path', rows.columns)}; "
            'name it: [data.columns] image = "COLUMN"'
        )
    if "path" in candidates or len(candidates) == 1:
        return _located(rows, candidates[0])
    found = []
    reasons = []
    for name in candidates:
        try:
            found.append(_located(rows, name))
        except DataError as error:
            reasons.append(error)
    if not found:
        raise reasons[0]
    differing = [name for name, _, paths, _ in found if paths != found[0][2]]
    if differing:
        raise DataError(
            f"{rows.path}: the columns {found[0][0]!r} and {differing[0]!r} both name images, and different ones; "
            f"choose one: [data.columns] image = {found[0][0]!r}"
        )
    return found[0]


def _located(rows: Rows, image: str) -> tuple[str, tuple[str, ...], tuple[Path, ...], tuple[str, ...]]:
    """Return a column, its cells and their files; only one called ``path`` must give them relative to the table."""
    root, ids = rows.path.parent, tuple(rows.unique(image))
    paths = tuple(root / PurePath(name.replace("\\", "/")) for name in ids)
    elsewhere = squeezed(image) != "path" or all(map(is_absolute, ids))
    if elsewhere and missing_of(paths):
        paths, notes = locate(root, ids, rows.path)
        return image, ids, paths, notes
    refuse_missing(paths, rows.path)
    return image, ids, paths, ()
