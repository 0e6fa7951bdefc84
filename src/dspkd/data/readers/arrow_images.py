"""Layout "huggingface": parquet or Arrow files, as Hugging Face writes them, that hold the images themselves."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path, PurePosixPath
from typing import Any

from dspkd.data import arrow_files
from dspkd.data.arrow_files import is_bytes
from dspkd.data.csv_rows import Rows
from dspkd.data.image_files import folders_in, ignored
from dspkd.data.part_names import is_missing, part_of
from dspkd.data.readers import _unpacked
from dspkd.data.readers._columns import matching, same
from dspkd.data.readers._labels import read_labels, recognised
from dspkd.data.readers._published import labelled, table_of
from dspkd.data.table import Table
from dspkd.data.table_files import read_table
from dspkd.errors import DataError, first_few

LAYOUTS = ("huggingface",)
PRIORITY = 6
EXPECTED = "parquet or Arrow files with a column of images, such as data/train-00000-of-00001.parquet"

_ENDINGS = {b"\x89PNG": ".png", b"RIFF": ".webp", b"GIF8": ".gif", b"BM": ".bmp"}


def fits(path: Path, *, label: str = "label") -> str | None:  # noqa: ARG001
    """Return "huggingface" for such a file, or a folder that holds some, perhaps in ``data`` or in parts; else None."""
    return "huggingface" if any(not file.exists() or _image_columns(file) for file in _files(path)) else None


def read(path: Path, *, layout: str = "huggingface", group: str | None = None, label: str | None = None) -> Table:
    """Read the images and labels of all parts; the images are unpacked once, into the user's cache.

    The part is the beginning of a file's name, ``train-00000-of-00002``, its end, ``ham10000-train``, or the folder,
    ``train/0000.parquet``. Of what `save_to_disk` wrote, the files are those that ``state.json`` and
    ``dataset_dict.json`` list. Numbers of classes get the names that the description of their own file lists. The class
    is the column ``label``, or one that is called so.

    Raises
    ------
    DataError
        A file cannot be read, pyarrow is not installed, or no column holds images or classes.
    """
    files = _files(path)
    if missing := [file.name for file in files if not file.exists()]:
        raise DataError(f"{path}: state.json lists {first_few(missing)}, and there is no such file; copy it too")
    without = [file.name for file in files if not _image_columns(file)]
    if without or not files:
        raise DataError(f"{path}: layout {layout!r} expects {EXPECTED}; without: {first_few(without) or 'any'}")
    named = {_name(file, path): file for file in files}
    folder = _unpacked.unpacked(files, lambda partial: _write(named, partial))
    tables = [_rows(name, file, folder) for name, file in named.items()]
    names = dict.fromkeys(name for rows in tables for name in rows.columns)
    columns = {
        name: tuple(cell for rows in tables for cell in rows.columns.get(name, ("",) * len(rows.lines)))
        for name in names
    }
    lines = tuple(line for rows in tables for line in rows.lines)
    rows = Rows(files[0], columns, lines, files=tuple(rows.path for rows in tables for _ in rows.lines))
    column = recognised(rows, {"image", "split"}) if label is None else same(rows.columns, label, rows.path)
    if not isinstance(column, str):
        raise DataError(f"{files[0]}: no column of classes; name it: data.columns.label")
    rows = _with_names(rows, column, _described(files, column))
    table = table_of(path, rows, files, image="image", label=column, group=group, images=folder)
    notes = (*table.origin.notes, _unpacked.note(folder))
    return replace(table, root=path if path.is_dir() else path.parent, origin=replace(table.origin, notes=notes))


def _files(path: Path) -> list[Path]:
    """Return the files of a set: those in the folder or its ``data``, else those in the folders of its parts."""
    if path.is_file():
        return [path] if path.suffix.lower() in arrow_files.SUFFIXES else []
    own = [file for folder in (path, path / "data") for file in _files_in(folder)]
    return sorted(own or (file for folder in _parts(path) for file in _files_in(folder)))


def _parts(path: Path) -> list[Path]:
    """Return the folders that are parts of a set, by its own list (``dataset_dict.json``) or by their names."""
    if not path.is_dir():
        return []
    listed = _described_in(path / "dataset_dict.json", "splits")
    return [folder for folder in folders_in(path) if (folder.name in listed if listed else part_of(folder.name))]


def _files_in(folder: Path) -> list[Path]:
    """Return the files in a folder: those that ``state.json`` lists where it does, and no cached results of `map`."""
    if not folder.is_dir():
        return []
    listed = [each for each in _described_in(folder / "state.json", "_data_files") if isinstance(each, dict)]
    if listed:
        return [folder / Path(str(each.get("filename"))).name for each in listed]
    files = [file for suffix in arrow_files.SUFFIXES for file in folder.glob(f"*{suffix}") if not ignored(file.name)]
    return [file for file in files if not file.name.startswith("cache-")]


def _described_in(file: Path, key: str) -> list[Any]:
    """Return a list in a description that `save_to_disk` writes; empty where there is none."""
    try:
        found = json.loads(file.read_bytes())[key]
    except (OSError, ValueError, KeyError, TypeError):
        return []
    return found if isinstance(found, list) else []


def _name(file: Path, path: Path) -> str:
    """Return the name of the folder of a file's images, which begins with the part."""
    return file.stem if file == path or file.parent in (path, path / "data") else f"{file.parent.name}-{file.stem}"


def _image_columns(file: Path) -> list[str]:
    """Return the columns of a file that hold images: structures of bytes and path, or bytes."""
    try:
        fields = list(arrow_files.schema_of(file))
    except DataError:
        return []
    return [str(field.name) for field in fields if is_bytes(field.type) or _holds_bytes(field.type)]


def _holds_bytes(kind: Any) -> bool:
    inner = [kind.field(number).name for number in range(kind.num_fields)] if str(kind).startswith("struct") else []
    return "bytes" in inner


def _image_column(file: Path) -> str:
    """Return the column ``image`` or ``img``, or the only one that holds images; DataError where several may be it."""
    columns = _image_columns(file)
    named = matching(columns, ("image", "img")) or columns
    if len(named) > 1:
        raise DataError(f"{file}: the columns {first_few(named)} all hold images; rename the one to use to 'image'")
    return named[0]


def _described(files: list[Path], column: str) -> dict[Path, list[str]]:
    """Return the names of classes that each file's description lists, those of the others where it lists none."""
    listed = {file: _class_names(file, column) for file in files}
    every = {tuple(names): file for file, names in listed.items() if names}
    without = [file for file, names in listed.items() if not names]
    if without and len(every) > 1:
        first, second = list(every.values())[:2]
        raise DataError(
            f"{without[0]}: lists no names of classes, and {first.name} and {second.name} list different ones; write "
            f"the names into the column {column!r}"
        )
    only = list(next(iter(every), ()))
    return {file: names or only for file, names in listed.items()}


def _with_names(rows: Rows, column: str, described: Mapping[Path, list[str]]) -> Rows:
    """Return the rows with the names of classes that their file's description lists, "" for an image without label.

    The hub writes -1, or nothing, for such an image.
    """
    cells = rows.column(column)
    absent = {"-1", "-1.0"} if any(described.values()) or {"0", "0.0"} & set(cells) else set()
    cells = tuple("" if is_missing(cell) or cell in absent else cell for cell in cells)
    some, _ = labelled(replace(rows, columns={**rows.columns, column: cells}), column)
    labels = read_labels(some, column, {}, beside=())
    every = list(zip(some.files, labels.numbers.tolist(), strict=True))
    name_of = {
        (file, number): _name_of(labels.classes[number], described[file], file, column)
        for file, number in dict.fromkeys(every)
    }
    known = iter(every)
    return replace(rows, columns={**rows.columns, column: tuple(cell and name_of[next(known)] for cell in cells)})


def _name_of(cell: str, described: list[str], file: Path, column: str) -> str:
    if not described or re.fullmatch(r"[-+]?\d+", cell) is None:
        return cell
    if not 0 <= int(cell) < len(described):
        raise DataError(
            f"{file}: column {column!r} has the class number {cell}, but the file names {len(described)} classes "
            f"({first_few(described)}), 0 to {len(described) - 1}; correct the number or the names"
        )
    return described[int(cell)]


def _class_names(file: Path, column: str) -> list[str]:
    """Return the names of classes in the description that the hub's library writes; empty without one."""
    described = (arrow_files.schema_of(file).metadata or {}).get(b"huggingface", b"{}")
    try:
        names = json.loads(described)["info"]["features"][column]["names"]
    except (ValueError, KeyError, TypeError):
        return []
    return [str(name) for name in (names.values() if isinstance(names, dict) else names)]


def _stored(file: Path) -> Iterator[tuple[str, bytes]]:
    """Yield the name and content of each image; names are numbered, as those of a file may be equal or missing."""
    column = _image_column(file)
    number = 0
    for batch in arrow_files.batches(file, [column], size=64):
        for cell in batch.column(0).to_pylist():
            content: Any = cell.get("bytes") if isinstance(cell, dict) else cell
            if not content:
                raise DataError(
                    f"{file}, row {number + 1}: no image; the column {column!r} holds its path alone: write the file "
                    "with its images inside, or give the folder of the images with a table of their names and classes"
                )
            ending = next((name for start, name in _ENDINGS.items() if content.startswith(start)), ".jpg")
            yield f"{number:06d}{ending}", content
            number += 1


def _write(files: Mapping[str, Path], folder: Path) -> None:
    folder.mkdir()
    for name, file in files.items():
        (folder / name).mkdir()
        for image, content in _stored(file):
            (folder / name / image).write_bytes(content)


def _rows(name: str, file: Path, folder: Path) -> Rows:
    """Return the other columns of a file, with the names of the images and the part."""
    rows = read_table(file)
    images = sorted(image.name for image in (folder / name).iterdir())
    if len(images) != len(rows.lines):
        raise DataError(f"{folder}: {len(images)} images of {len(rows.lines)}; delete this folder and try again")
    part = _part(name)
    columns = {**rows.columns, "image": tuple(str(PurePosixPath(name, image)) for image in images)}
    return replace(rows, columns=columns if part is None else {"split": (part,) * len(images), **columns})


def _part(name: str) -> str | None:
    """Return the part that a file's name begins with, ``train-00000-of-00002``, or ends with, ``ham10000-train``."""
    words = re.sub(r"-\d+-of-\d+$", "", name).split("-")
    return part_of(words[0]) or part_of(words[-1])
