"""Metadata of images in one spelling: source, kind of image, sex, age, body site, skin type."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from dspkd.data.csv_rows import read_rows
from dspkd.data.part_names import is_unknown, squeezed
from dspkd.data.table import Table
from dspkd.errors import DataError, first_few
from dspkd.runtime import csv_text
from dspkd.runtime.files import atomic_open

COLUMNS: Mapping[str, tuple[str, ...]] = {
    "source": ("source", "dataset", "attribution"),
    "licence": ("copyright_license", "license", "licence"),
    "kind of image": ("image_type", "modality"),
    "sex": ("sex", "gender", "sex_at_birth"),
    "age": ("age_approx", "age", "age_approximate"),
    "body site": ("anatom_site_general", "localization", "region", "body_site", "site", "location"),
    "skin type": (
        "fitzpatrick_skin_type",
        "fitzpatrick",
        "fitspatrick",
        "fitzpatrick_scale",
        "skin_type",
        "skin_tone",
        "fst",
    ),
}
"""``{attribute: columns that hold it}`` in the tables of ISIC, HAM10000, PAD-UFES-20 and others; of several columns the
first is used. `data.columns` of a recipe names others."""

ORDERED = frozenset({"age", "skin type"})
"""Attributes whose values have an order of their own."""

UNKNOWN = ""
"""The value of an attribute where it is missing."""

FILE = "attributes.csv"
"""The file in a run folder: ``id``, and the value of each attribute that the table provides."""

_SEX = {"m": "male", "male": "male", "man": "male", "f": "female", "female": "female", "woman": "female"}
_ROMAN = {"I": "1", "II": "2", "III": "3", "IV": "4", "V": "5", "VI": "6"}
_PREFIX = re.compile(r"^(?:fst|(?:fitzpatrick )?(?:skin )?type)[ _-]?", re.IGNORECASE)
_YEARS = re.compile(r"([+-]?\d+(?:[.,]\d*)?)\s*(?:\+|y|yrs?|years?|y/?o|years? old)?", re.IGNORECASE)
_OLDEST = 120
"""Age beyond which a number, such as 999, stands for an unknown one."""
# Lesion ids of ISIC 2019 begin with their archive: BCN_20000, HAM10000, or Memorial Sloan Kettering.
_ARCHIVE = re.compile(r"(BCN|HAM|MSK\d*)_\d+$")


@dataclass(frozen=True)
class AttributeValues:
    """An attribute of N images.

    Attributes
    ----------
    column
        The column of the table that holds it, or a description of its origin.
    values
        N values, `UNKNOWN` where missing; ages as bands of twenty years, unless a table has bands of its own.
    years
        N ages, None where there is no number; empty for other attributes.
    """

    column: str
    values: tuple[str, ...]
    years: tuple[float | None, ...] = field(default=())


def attributes_of(table: Table) -> dict[str, AttributeValues]:
    """Return each attribute of `COLUMNS` that the table provides; it may be unknown for every image."""
    provided = {}
    for name, columns in COLUMNS.items():
        column = table.origin.columns.get(name) or _column(table, columns)
        if column is None:
            archives = _archives(table.groups)
            if name == "source" and any(archives):
                provided[name] = AttributeValues("first letters of the lesion id", archives)
            continue
        cells = [UNKNOWN if is_unknown(cell) else cell for cell in table.attributes[column]]
        years: tuple[float | None, ...] = ()
        if name == "age":
            ages = list(map(_age, cells))
            cells, years = [band for band, _ in ages], tuple(age for _, age in ages)
        elif name == "skin type":
            cells = [_skin_type(cell) for cell in cells]
        elif name == "sex":
            cells = [_SEX.get(cell.lower(), cell) for cell in cells]
        provided[name] = AttributeValues(column, tuple(cells), years)
    return provided


def _column(table: Table, known: Sequence[str]) -> str | None:
    """Return the first of the `known` columns that the table has, in any case and spacing."""
    named = {squeezed(column): column for column in reversed(list(table.attributes))}
    return next((named[squeezed(column)] for column in known if squeezed(column) in named), None)


def save(path: Path, table: Table) -> None:
    """Write the attributes of the table's images as CSV, all or nothing."""
    attributes = attributes_of(table)
    with atomic_open(path) as file:
        writer = csv_text.Writer(file)
        writer.writerow(["id", *attributes])
        writer.writerows(zip(table.ids, *(each.values for each in attributes.values()), strict=True))


def load(path: Path, ids: Sequence[str]) -> dict[str, tuple[str, ...]]:
    """Return ``{attribute: values}`` of the images `ids`, in their order, from a file that `save` wrote.

    Raises
    ------
    DataError
        The file is not such a table, or lacks one of the images.
    """
    rows = read_rows(path)
    row_of = rows.unique("id")
    if missing := [name for name in ids if name not in row_of]:
        raise DataError(f"{path}: no row for {len(missing)} of the images: {first_few(missing)}")
    return {name: tuple(rows.column(name)[row_of[each]] for each in ids) for name in rows.columns if name != "id"}


def _archives(groups: Sequence[str]) -> tuple[str, ...]:
    """Return the sources that ISIC's lesion ids begin with."""
    return tuple(match[1] if (match := _ARCHIVE.match(group)) else UNKNOWN for group in groups)


def _age(cell: str) -> tuple[str, float | None]:
    """Return an age as a band of twenty years, and its number; what is no number stays, and no human age is unknown.

    >>> [_age(cell) for cell in ("63 years", "85+", "999", "-1", "young")]
    [('60 to 79', 63.0), ('80 and over', 85.0), ('', None), ('', None), ('young', None)]
    """
    match = _YEARS.fullmatch(cell.strip())
    if match is None:
        return cell, None
    age = float(match[1].replace(",", "."))
    return (_band(age), age) if 0 <= age <= _OLDEST else (UNKNOWN, None)


def _band(age: float) -> str:
    start = int(age // 20) * 20
    return "80 and over" if age >= 80 else f"{start} to {start + 19}"


def _skin_type(cell: str) -> str:
    """Return a Fitzpatrick skin type as a number without decimals; -1, as in Fitzpatrick17k, is unknown.

    Pairs of types, 12, 34 and 56 as in DDI, stay as they are published.

    >>> [_skin_type(cell) for cell in ("3.0", "IV", "FST2", "Type I", "12", "-1")]
    ['3', '4', '2', '1', '12', '']
    """
    if cell in ("-1", "-1.0"):
        return UNKNOWN
    bare = _PREFIX.sub("", cell)
    number = _number(_ROMAN.get(bare.upper(), bare))
    return cell if number is None else f"{number:g}"


def _number(cell: str) -> float | None:
    """Return a skin type as a number, or None if the cell is not one."""
    try:
        number = float(cell)
    except ValueError:
        return None
    return number if 0 <= number < 1000 else None
