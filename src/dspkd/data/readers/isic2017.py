"""Layouts "isic2016" and "isic2017": part 3 of the first ISIC challenges, with their published parts."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from dspkd.data.csv_rows import Rows, read_header, read_rows
from dspkd.data.readers._columns import refuse_label
from dspkd.data.readers._published import PUBLISHED, table_of
from dspkd.data.table import Table
from dspkd.errors import DataError

LAYOUTS = ("isic2016", "isic2017")
PRIORITY = 11
EXPECTED = "NAME_Part3_Training_GroundTruth.csv of 2016 or NAME_Training_Part3_GroundTruth.csv of 2017"

PUBLISHED["isic2017"] = frozenset({"image_id", "melanoma", "seborrheic_keratosis"})
_FILE = {
    "isic2016": re.compile(r"ISBI2016_ISIC_Part3B?_(Training|Test)_GroundTruth\.csv"),
    "isic2017": re.compile(r"ISIC-2017_(Training|Validation|Test)(?:_v\d)?_Part3_GroundTruth\.csv"),
}
_CLASS_2016 = {"benign": "benign", "malignant": "malignant", "0.0": "benign", "1.0": "malignant"}


def fits(path: Path, *, label: str = "label") -> str | None:  # noqa: ARG001
    """Return the layout whose tables of labels the folder holds, else None."""
    return next((layout for layout in LAYOUTS if _tables(path, layout)), None)


def read(path: Path, *, layout: str, group: str | None = None, label: str | None = None) -> Table:
    """Read the tables of all parts that are there; images lie anywhere below.

    The tables of 2016 have no header, the training set's with the words "benign" and "malignant", the test set's with
    numbers. In 2017, an image that is neither melanoma nor seborrheic keratosis is a nevus. No lesions are named.
    Names of files and columns were confirmed in third-party loaders.

    Raises
    ------
    DataError
        There is no such table, or an image or a label is missing.
    """
    refuse_label(path, layout, label)
    tables = _tables(path, layout)
    if not tables:
        raise DataError(f"{path}: no table of layout {layout!r}; expected {EXPECTED}")
    entries = [entry for file in tables for entry in (_of_2016 if layout == "isic2016" else _of_2017)(file)]
    names = ("image", "label", "split", "line")
    columns = dict(zip(names, zip(*entries, strict=True), strict=True))
    lines = tuple(map(int, columns.pop("line")))
    rows = Rows(next(iter(tables)), columns, lines)
    return table_of(path, rows, tables, image="image", label="label", group=group, licence="CC0")


def _tables(path: Path, layout: str) -> list[Path]:
    return [file for file in sorted(path.glob("*GroundTruth.csv")) if _FILE[layout].fullmatch(file.name)]


def _part(file: Path, layout: str) -> str:
    match = _FILE[layout].fullmatch(file.name)
    assert match is not None, "the file was chosen by this pattern"
    return match[1].lower()


def _of_2016(file: Path) -> Iterator[tuple[str, str, str, str]]:
    """Yield image, class, part and line; what is read as the header is the first image."""
    image, label = (*read_header(file), "", "")[:2]
    rows = read_rows(file)
    for name, cell, line in zip(
        (image, *rows.column(image)), (label, *rows.column(label)), (1, *rows.lines), strict=True
    ):
        if cell not in _CLASS_2016:
            raise DataError(f"{file}, line {line}: the label is {cell!r}; expected benign or malignant, or 0.0 or 1.0")
        yield name, _CLASS_2016[cell], _part(file, "isic2016"), str(line)


def _of_2017(file: Path) -> Iterator[tuple[str, str, str, str]]:
    """Yield image, class, part and line."""
    rows = read_rows(file)
    both = zip(rows.column("melanoma"), rows.column("seborrheic_keratosis"), strict=True)
    for row, (name, cells) in enumerate(zip(rows.filled("image_id"), both, strict=True)):
        if not set(cells) <= {"0.0", "1.0", "0", "1"} or {*cells} <= {"1.0", "1"}:
            raise DataError(f"{rows.at(row)}: expected at most a single 1.0, got {', '.join(cells)}")
        known = [
            label for label, cell in zip(("melanoma", "seborrheic keratosis"), cells, strict=True) if cell[0] == "1"
        ]
        yield name, (*known, "nevus")[0], _part(file, "isic2017"), str(rows.lines[row])
