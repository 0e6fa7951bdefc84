"""Layout "imagefolder" of the Hugging Face hub: images in any folders, and metadata that name them."""

from __future__ import annotations

import json
from pathlib import Path, PurePath

import numpy as np

from dspkd.data.csv_rows import Rows, read_header, read_rows
from dspkd.data.image_files import hidden, images_below
from dspkd.data.readers._columns import GROUPING
from dspkd.data.table import Table, group_or_own, refuse_missing, repeated
from dspkd.errors import DataError, first_few

LAYOUTS = ("imagefolder",)
PRIORITY = 40
EXPECTED = "PART/CLASS/IMAGE or metadata with 'file_name' and 'label'"

METADATA = ("metadata.csv", "metadata.jsonl")
"""Names of metadata files."""

PARTS = {"train": "train", "validation": "val", "val": "val", "test": "test"}
"""``{folder: part}`` of an official split."""


def fits(path: Path, *, label: str = "label") -> str | None:  # noqa: ARG001
    """Return "imagefolder" for a folder of this layout and of no simpler one, else None.

    That is: metadata in JSON, metadata with the columns ``file_name`` and ``label``, or folders of classes in folders
    named in `PARTS`.
    """
    files = _metadata_below(path)
    if any(file.suffix == ".jsonl" or {"file_name", "label"} <= set(read_header(file)) for file in files):
        return "imagefolder"
    parts = [path / part for part in PARTS if (path / part).is_dir()]
    in_classes = any(image.parent.parent == part for part in parts for image in images_below(part))
    return "imagefolder" if in_classes else None


def read(path: Path, *, layout: str = "imagefolder", group: str | None = None, label: str | None = None) -> Table:  # noqa: ARG001
    """Read a data set as ``load_dataset("imagefolder")`` does.

    Metadata, ``metadata.csv`` or ``metadata.jsonl``, lie in the folder or in folders below it. Their column
    ``file_name`` names the images, relative to the folder of the metadata. Without metadata, an image's folder is its
    class.

    Parameters
    ----------
    path
        The folder.
    layout
        "imagefolder".
    group
        The column that names the lesion or patient; when none is named, the first of `GROUPING`. An image whose cell is
        empty is a group of its own.
    label
        The column that names the class, ``label`` if there is such a column; otherwise an image's folder is its class.

    Returns
    -------
    Table
        Its classes are those that occur, sorted; its ids are the files, relative to `path`. Where images lie in
        folders ``train``, ``validation`` (or ``val``) and ``test``, the attribute ``split`` names the part.

    Raises
    ------
    DataError
        There are no images, or metadata and images do not match.
    """
    tables = [_read_metadata(file) for file in _metadata_in(path)]
    if tables:
        files = [rows.path.parent / PurePath(name) for rows in tables for name in rows.unique("file_name")]
        refuse_missing(files, tables[0].path)
    else:
        files = images_below(path)
        if not files:
            raise DataError(f"{path}: no image here, nor {' or '.join(METADATA)}")
    columns = _columns(tables, len(files))
    ids = tuple(file.relative_to(path).as_posix() for file in files)
    twice = repeated(ids)
    if twice:
        raise DataError(f"{path}: {first_few(twice)}: in the metadata of two folders; keep one row for each image")
    parts = [next((PARTS[part] for part in PurePath(name).parts[:-1] if part in PARTS), "") for name in ids]
    if any(parts):
        columns.setdefault("split", tuple(parts))
    labels = _labels(path, tables, columns, files, label)
    group = group or next((name for name in GROUPING if name in columns), None)
    for rows in tables:
        if group is not None:
            rows.column(group)
    if group is not None and not tables:
        raise DataError(f"{path}: there is no {METADATA[0]} here, so images cannot be grouped by {group!r}")
    classes = tuple(sorted(set(labels)))
    return Table(
        classes=classes,
        ids=ids,
        paths=tuple(files),
        labels=np.array([classes.index(name) for name in labels], dtype=np.int64),
        groups=group_or_own(columns[group] if group else ("",) * len(ids), ids),
        attributes={
            name: cells for name, cells in columns.items() if name not in {"file_name", label or "label", group}
        },
        root=path,
    )


def _metadata_in(path: Path) -> list[Path]:
    """Return the metadata files in and below a folder, sorted; DataError if one folder holds both kinds."""
    files = _metadata_below(path)
    for file in files:
        if file.name == METADATA[1] and file.with_name(METADATA[0]) in files:
            raise DataError(f"{file.parent}: holds both {' and '.join(METADATA)}; keep one of the two")
    return files


def _metadata_below(path: Path) -> list[Path]:
    return sorted(file for name in METADATA for file in path.rglob(name) if not hidden(file, path))


def _read_metadata(path: Path) -> Rows:
    """Return the rows of a metadata file; JSON's null becomes an empty cell."""
    if path.suffix == ".csv":
        return read_rows(path)
    entries: list[tuple[int, dict[str, object]]] = []
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), start=1):
        if line.strip():
            try:
                entry = json.loads(line)
            except json.JSONDecodeError as e:
                raise DataError(f"{path}, line {number}: not JSON: {e}") from None
            if not isinstance(entry, dict):
                raise DataError(
                    f'{path}, line {number}: expected an object such as {{"file_name": ...}}, got {line[:40]}'
                )
            entries.append((number, entry))
    if not entries:
        raise DataError(f"{path}: the table is empty; expected at least one line")
    names = dict.fromkeys(name for _, entry in entries for name in entry)
    columns = {name: tuple(_cell(entry.get(name)) for _, entry in entries) for name in names}
    return Rows(path, columns, tuple(number for number, _ in entries))


def _cell(value: object) -> str:
    return "" if value is None else value.strip() if isinstance(value, str) else json.dumps(value)


def _columns(tables: list[Rows], count: int) -> dict[str, tuple[str, ...]]:
    """Return the columns of all tables, one below the other; "" where a table lacks one."""
    names = dict.fromkeys(name for rows in tables for name in rows.columns)
    blank = {id(rows): ("",) * len(rows.lines) for rows in tables}
    columns = {name: sum((rows.columns.get(name, blank[id(rows)]) for rows in tables), ()) for name in names}
    assert all(len(cells) == count for cells in columns.values()), "a row for each image"
    return columns


def _labels(
    path: Path, tables: list[Rows], columns: dict[str, tuple[str, ...]], files: list[Path], label: str | None
) -> tuple[str, ...]:
    """Return the class of each image."""
    if label is not None or "label" in columns:
        if not tables:
            raise DataError(f"{path}: there is no {METADATA[0]} here, so there is no column {label!r}")
        return tuple(cell for rows in tables for cell in rows.filled(label or "label"))
    unclear = [str(file) for file in files if file.parent == path or file.parent.name in PARTS]
    if unclear:
        raise DataError(
            f"{tables[0].path if tables else path}: no column 'label', and no folder that is a class: "
            f"{first_few(unclear)}; expected PART/CLASS/IMAGE, or a column 'label'"
        )
    return tuple(file.parent.name for file in files)
