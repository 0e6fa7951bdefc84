"""Whom the pictures show, as far as their table says: the counts that a data card is made of."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from statistics import median

from dspkd.data.split import PARTS, Split
from dspkd.data.table import Table

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

UNKNOWN = ""
"""Stands among the values of an attribute for the images of which nothing is said."""

_NOTHING = frozenset({"", "unknown", "unk", "none", "na", "n/a", "nan", "null"})
_MOST = 12
# Lesion ids of ISIC 2019 begin with their archive: BCN_20000, HAM10000, or Memorial Sloan Kettering.
_ARCHIVE = re.compile(r"(BCN|HAM|MSK\d*)_\d+$")


@dataclass(frozen=True)
class Attribute:
    """How many images of each part have which value of an attribute.

    Attributes
    ----------
    column
        The column of the table that tells it, or in words where else it is from; None where nothing tells it.
    parts
        ``{part: {value: images}}``, the same values in each part: the dozen commonest, ages and skin types in their own
        order; then the others summed up, if there are more; `UNKNOWN` is always there, last. Empty where nothing tells
        the attribute.
    medians
        ``{part: years}`` of the ages that are known; empty for other attributes.
    """

    column: str | None
    parts: dict[str, dict[str, int]] = field(default_factory=dict)
    medians: dict[str, float] = field(default_factory=dict)


def card(table: Table, split: Split) -> dict[str, Attribute]:
    """Return what is known of whether lesion or patient are named, and of each attribute of `COLUMNS`."""
    own = [group == f"image:{name}" for group, name in zip(table.groups, table.ids, strict=True)]
    named = [UNKNOWN if alone else group for alone, group in zip(own, table.groups, strict=True)]
    made = {
        "lesion or patient": _counted(
            "what images are grouped by", ["named" if group else UNKNOWN for group in named], split
        )
    }
    for name, columns in COLUMNS.items():
        column = next((column for column in columns if column in table.attributes), None)
        cells = [UNKNOWN if cell.lower() in _NOTHING else cell for cell in table.attributes.get(column or "", ())]
        if column is None:
            made[name] = _archives(named, split) if name == "source" else Attribute(None)
        elif name == "age":
            made[name] = _ages(column, cells, split)
        elif name == "skin type":
            made[name] = _counted(
                column, [f"{n:g}" if (n := _number(cell)) is not None else cell for cell in cells], split, ordered=True
            )
        else:
            made[name] = _counted(column, cells, split)
    return made


def _archives(named: Sequence[str], split: Split) -> Attribute:
    """Return the sources as ISIC's lesion ids tell them."""
    found = [match[1] if (match := _ARCHIVE.match(group)) else UNKNOWN for group in named]
    return _counted("first letters of the lesion id", found, split) if any(found) else Attribute(None)


def _ages(column: str, cells: Sequence[str], split: Split) -> Attribute:
    """Return ages in bands of twenty years; what is no number stays as it is."""
    years = [_number(cell) for cell in cells]
    bands = [cell if age is None else _band(age) for cell, age in zip(cells, years, strict=True)]
    known = {part: [age for row in split.rows(part) if (age := years[row]) is not None] for part in PARTS}
    medians = {part: float(median(ages)) for part, ages in known.items() if ages}
    return Attribute(column, _counted(column, bands, split, ordered=True).parts, medians)


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


def _counted(column: str, values: Sequence[str], split: Split, *, ordered: bool = False) -> Attribute:
    """Count each value in each part; `ordered` sorts by the value, not by how common it is."""
    commonest = [value for value, _ in sorted(Counter(values).items(), key=lambda item: (-item[1], item[0])) if value]
    shown, rest = commonest[:_MOST], commonest[_MOST:]
    if ordered:
        shown.sort()
    parts = {}
    for part in PARTS:
        counts = Counter(values[row] for row in split.rows(part))
        parts[part] = {value: counts[value] for value in shown}
        if rest:
            parts[part][f"{len(rest)} other values"] = sum(counts[value] for value in rest)
        parts[part][UNKNOWN] = counts[UNKNOWN]
    return Attribute(column, parts)
