"""Layout "csv": a table with the file and the label of each image, or one such table for each part."""

from __future__ import annotations

import posixpath
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path, PurePath

from dspkd.data.columns import Columns
from dspkd.data.csv_rows import Rows
from dspkd.data.image_files import folders_in
from dspkd.data.part_names import part_of, squeezed
from dspkd.data.readers._beside import about_images, of_one_file, of_other_sheets, tables_beside, with_doubts
from dspkd.data.readers._columns import IMAGE, LABEL, Grouping, find, grouping, is_id, matching, may_be_people, same
from dspkd.data.readers._folders import people_of
from dspkd.data.readers._groups import taken
from dspkd.data.readers._labels import OTHER_LABEL, binary_columns, read_labels, recognised
from dspkd.data.readers._left_out import left_out
from dspkd.data.readers._locate import locate, other_column, refuse_shared
from dspkd.data.readers._patient_rows import naming_column, rows_of_images
from dspkd.data.readers._several import joined, with_columns_beside, within, without_repeats
from dspkd.data.readers.class_folders import above_class_folders, has_class_folders
from dspkd.data.readers.huggingface import METADATA
from dspkd.data.table import Origin, Table, group_or_own, missing_of
from dspkd.data.table_files import header_of, one_table, only_table, read_table, stem, tables_in
from dspkd.errors import DataError, suggest

LAYOUTS = ("csv",)
PRIORITY = 35
EXPECTED = "a table with the columns 'path' and 'label'"

_FOLDER = "folder"
"""The column of ids where the folders of the images are called after patients."""


def fits(path: Path, *, label: str = "") -> str | None:
    """Return "csv" for a file, or for a folder with a table that names images and classes; else None.

    Where a folder holds folders that look like classes, or metadata of the Hugging Face hub, only a table with the
    columns ``path`` and ``label`` counts, or with the `label` that the user names.
    """
    if path.is_file():
        return "csv"
    if not path.is_dir():
        return None
    chosen, label = bool(label), label or "label"
    inner = _within_parts(path, label)
    header = {file: header_of(file) for file in [*tables_in(path), *inner]}
    headers = [header[file] for file in header if file not in inner]
    own = [{squeezed(name) for name in header} for header in headers if find(header, IMAGE)]
    if any(squeezed(label) in names and ("path" in names or chosen) for names in own):
        return "csv"
    people = [file for file in header if file not in inner and _names_people(header[file])]
    if people and (
        may_be_people([each.name for each in folders_in(path)]) or any(_of_folders(each) for each in people)
    ):
        return "csv"
    tables = [file for file in header if _columns(header[file], label) and not _is_of_the_hub(file, header[file])]
    if above_class_folders(path):
        tables = [file for file in tables if _names_classes(header[file], label) or _has_classes(file)]
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
        The file, or a folder that holds this table; or one for each part, such as ``train.csv`` and ``test.csv``,
        perhaps within folders that are parts. In a folder, other tables beside it that name the same images add their
        columns; beside a file, one with ids of these images is a doubt. Its format is one of
        `dspkd.data.table_files.SUFFIXES`.
    layout
        "csv".
    group
        The column of lesions or patients. When none is named, it is one that is called so, or ``group``; otherwise
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
    if inner := _within_parts(path, wanted):
        tables = {file.parent.name: within(file.parent, _read([file], columns, wanted), path) for file in inner}
        beside = [other for file in inner for other in tables_beside(file.parent, [file])]
        return with_doubts(joined(path, tables), [*inner, *beside], columns.group)
    if path.is_file():
        return _read([path], columns, wanted, alone=True)
    files = _files(path, columns)
    return with_doubts(_read(files, columns, wanted), [*files, *tables_beside(path, files)], columns.group)


def _read(files: Sequence[Path], columns: Columns, wanted: str, *, alone: bool = False) -> Table:
    """Read tables of one folder as one, with the columns of others beside them unless it is read `alone`."""
    rows = one_table(_with_folders([read_table(file) for file in files], columns.image))
    root = rows.path.parent
    if columns.image is None and not matching(rows.columns, IMAGE):
        rows = rows_of_images(rows, root)
    for name in matching(rows.columns, IMAGE) if columns.image is None else [same(rows.columns, columns.image, root)]:
        rows = without_repeats(rows, name)
    image, ids, paths, notes = _images(rows, columns.image)
    around = of_one_file(rows, image) if alone and columns.group is None else ()
    own, known = rows, {image, *columns.attributes.values()}
    rows = rows if alone else with_columns_beside(rows, image, tables_beside(root, files))
    around += of_other_sheets(rows) if columns.group is None else ()
    if len(hot := binary_columns(own, known)) > 1:  # flags of another table are no classes beside these
        known |= {*binary_columns(rows, known)} - {*hot}
    labels = read_labels(rows, columns.label, columns.names, beside=known)
    others = {name: cells for name, cells in rows.columns.items() if name not in {image, *labels.columns}}
    chosen = grouping(others, columns.group, rows.path)
    if chosen.column is None and (people := people_of(root, paths)):
        others[_FOLDER] = people
        chosen = Grouping(_FOLDER, (f"lesion or patient ids: the folders of the images, such as {people[0]}",))
    groups, chosen = taken(others, chosen, len(ids))
    if (image, *labels.columns) != ("path", wanted) and not labels.notes:
        found = f"images from column {image!r}, classes from column {labels.columns[0]!r}"
        notes = (f"{rows.path.name}: {found}", *notes)
    spare, unread = left_out(root, paths, rows.path.name)
    notes += () if any("are not used" in note for note in notes) else spare
    return Table(
        classes=labels.classes,
        ids=ids,
        paths=paths,
        labels=labels.numbers,
        groups=group_or_own(groups, ids),
        attributes=others,
        root=root,
        soft_labels=labels.weights,
        origin=Origin(
            group=chosen.column or "",
            notes=rows.notes + labels.notes + notes + chosen.notes,
            doubts=labels.doubts + rows.doubts + chosen.doubts + around,
            unread=unread,
        ),
    )


def _with_folders(tables: list[Rows], image: str | None) -> list[Rows]:
    """Return the tables of parts, with the name of the part's folder before images whose names start over in each."""
    root = tables[0].path.parent
    outer = folders_in(root) if len(tables) > 1 else []
    inner = [each for folder in outer for each in folders_in(folder)]
    changed = []
    for rows in tables:
        part = part_of(stem(rows.path))
        folders = {each.name for each in [*outer, *inner] if part is not None and part_of(each.name) == part}
        known = IMAGE if image is None else [squeezed(image)]
        others = {
            cell
            for each in tables
            if each is not rows
            for name in matching(each.columns, known)
            for cell in each.columns[name]
        }
        again = [name for name in matching(rows.columns, known) if not others.isdisjoint(rows.columns[name])]
        before = folders.pop() if len(folders) == 1 else ""
        cells = {name: tuple(cell and posixpath.join(before, cell) for cell in rows.columns[name]) for name in again}
        changed.append(replace(rows, columns={**rows.columns, **cells}))
    return changed


def _columns(header: tuple[str, ...], label: str) -> bool:
    """Return whether a header names a column of images and one of classes, or two others that may be classes."""
    image = find(header, IMAGE)
    return image is not None and (_names_classes(header, label) or len(header) > 2)


def _is_of_the_hub(file: Path, header: tuple[str, ...]) -> bool:
    """Return whether a table is metadata that layout "imagefolder" reads."""
    return file.name in METADATA and {"file_name", "label"} <= set(header)


def _files(path: Path, columns: Columns) -> list[Path]:
    """Return the tables of a folder to read: the only one that has classes, or one for each part."""
    label = columns.label if isinstance(columns.label, str) else "label"
    tables = [file for file in tables_in(path) if about_images(file)]
    files = [file for file in tables if _columns(header_of(file), label)] or [
        file for file in tables if _names_people(header_of(file))
    ]
    if isinstance(columns.label, tuple):
        files = [
            file for file in files if {*map(squeezed, columns.label)} <= {*map(squeezed, header_of(file))}
        ] or files
    else:
        named = [file for file in files if _names_classes(header_of(file), label)]
        files = named or [file for file in files if len(files) > 1 and _has_classes(file)] or files
    parts = {part_of(stem(file)) for file in files} - {None}
    return files if len(files) == 1 or (len(files) > 1 and len(parts) == len(files)) else [only_table(path)]


def _within_parts(path: Path, label: str) -> list[Path]:
    """Return the tables within folders that are parts, one in each, where none lies beside them."""
    if path.is_file() or any(_columns(header_of(file), label) for file in tables_in(path)):
        return []
    tables = [
        [file for file in tables_in(folder) if _columns(header_of(file), label)]
        for folder in folders_in(path)
        if part_of(folder.name)
    ]
    return [file for (file,) in tables] if len(tables) > 1 and all(len(each) == 1 for each in tables) else []


def _names_people(header: tuple[str, ...]) -> bool:
    """Return whether a header has a column of patients or lesions and one of classes, and none of images."""
    return not find(header, IMAGE) and any(map(is_id, header)) and find(header, [*LABEL, *OTHER_LABEL]) is not None


def _names_classes(header: tuple[str, ...], label: str) -> bool:
    return find(header, [squeezed(label), *LABEL, *OTHER_LABEL]) is not None


def _has_classes(file: Path) -> bool:
    """Return whether a table without a column called after classes has them in columns of 0 and 1."""
    try:
        return bool(recognised(read_table(file), ()))
    except DataError:
        return False


def _of_folders(file: Path) -> bool:
    """Return whether a table has a row for each folder of images beside it."""
    try:
        return naming_column(read_table(file), file.parent) is not None
    except DataError:
        return False


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
    """Return a column, its cells, their files, relative to the table or anywhere below it, and what was assumed."""
    root, ids = rows.path.parent, tuple(rows.unique(image))
    paths = tuple(root / PurePath(posixpath.normpath(name.replace("\\", "/"))) for name in ids)
    if missing_of(paths):
        try:
            paths, notes = locate(root, ids, rows.path)
        except DataError as error:
            raise DataError(f"{error}{other_column(rows, image)}") from None
        return image, ids, paths, notes
    refuse_shared(ids, paths, rows.path)
    return image, ids, paths, ()
