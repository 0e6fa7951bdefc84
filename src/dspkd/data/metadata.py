"""What a table says of whom an image shows: source, kind of image, sex, age, body site, skin type, in one spelling."""

from __future__ import annotations

import csv
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from dspkd.data.csv_rows import read_rows
from dspkd.data.table import Table
from dspkd.errors import DataError, first_few
from dspkd.runtime.files import atomic_open

COLUMNS: Mapping[str, tuple[str, ...]] = {
    "source": ("source", "dataset", "attribution"),
    "kind of image": ("image_type", "modality"),
    "sex": ("sex", "gender"),
    "age": ("age_approx", "age"),
    "body site": ("anatom_site_general", "localization", "region"),
    "skin type": ("fitzpatrick_skin_type", "fitzpatrick", "fitspatrick", "fitzpatrick_scale", "skin_type"),
}
"""Attributes, and the columns that tell them in the tables of ISIC, HAM10000, PAD-UFES-20 and others; of several, the
first. A table that uses another name does not provide the attribute."""

ORDERED = frozenset({"age", "skin type"})
"""Attributes whose values have an order of their own."""

UNKNOWN = ""
"""Stands among the values of an attribute for the images of which nothing is said."""

FILE = "attributes.csv"
"""In a run folder: ``id``, and the value of each attribute that the table provides."""

_NOTHING = frozenset({"", "unknown", "unk", "none", "na", "n/a", "nan", "null"})
# Lesion ids of ISIC 2019 begin with their archive: BCN_20000, HAM10000, or Memorial Sloan Kettering.
_ARCHIVE = re.compile(r"(BCN|HAM|MSK\d*)_\d+$")


@dataclass(frozen=True)
class AttributeValues:
    """An attribute of N images.

    Attributes
    ----------
    column
        The column of the table that tells it, or in words where else it is from.
    values
        N values, `UNKNOWN` where nothing is said; ages as bands of twenty years, unless a table has bands of its own.
    years
        N ages, None where there is no number; empty for other attributes.
    """

    column: str
    values: tuple[str, ...]
    years: tuple[float | None, ...] = field(default=())


def told(table: Table) -> dict[str, AttributeValues]:
    """Return each attribute of `COLUMNS` that the table provides, though it may be unknown of every image."""
    found = {}
    for name, columns in COLUMNS.items():
        column = next((column for column in columns if column in table.attributes), None)
        if column is None:
            archives = _archives(table.groups)
            if name == "source" and any(archives):
                found[name] = AttributeValues("first letters of the lesion id", archives)
            continue
        cells = [UNKNOWN if cell.lower() in _NOTHING else cell for cell in table.attributes[column]]
        years = tuple(map(_number, cells)) if name == "age" else ()
        if name == "age":
            cells = [cell if age is None else _band(age) for cell, age in zip(cells, years, strict=True)]
        elif name == "skin type":
            cells = [f"{n:g}" if (n := _number(cell)) is not None else cell for cell in cells]
        found[name] = AttributeValues(column, tuple(cells), years)
    return found


def save(path: Path, table: Table) -> None:
    """Write what the table tells of its images as CSV, whole or not at all."""
    known = told(table)
    with atomic_open(path) as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(["id", *known])
        writer.writerows(zip(table.ids, *(each.values for each in known.values()), strict=True))


def load(path: Path, ids: Sequence[str]) -> dict[str, tuple[str, ...]]:
    """Return ``{attribute: values}`` of the images `ids`, in their order, of what `save` wrote.

    Raises
    ------
    DataError
        The file is no such table, or lacks one of the images.
    """
    rows = read_rows(path)
    row_of = rows.unique("id")
    if missing := [name for name in ids if name not in row_of]:
        raise DataError(f"{path}: says nothing of {len(missing)} of the images: {first_few(missing)}")
    return {name: tuple(rows.column(name)[row_of[each]] for each in ids) for name in rows.columns if name != "id"}


def _archives(groups: Sequence[str]) -> tuple[str, ...]:
    """Return the sources as ISIC's lesion ids tell them."""
    return tuple(match[1] if (match := _ARCHIVE.match(group)) else UNKNOWN for group in groups)


def _band(age: float) -> str:
    start = int(age // 20) * 20
    return "80 and over" if age >= 80 else f"{start} to {start + 19}"


def _number(cell: str) -> float | None:
    """Return a number of years or a type, or None for what is none."""
    try:
        number = float(cell)
    except ValueError:
        return None
    return number if 0 <= number < 1000 else None
