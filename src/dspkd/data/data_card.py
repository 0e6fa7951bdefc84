"""Whom the images show, as far as their table says: the counts that a data card is made of."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from statistics import median

from dspkd.data.metadata import COLUMNS, ORDERED, UNKNOWN, told
from dspkd.data.split import PARTS, Split
from dspkd.data.table import Table

_MOST = 12


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
    made = {
        "lesion or patient": _counted(
            "what images are grouped by", [UNKNOWN if alone else "named" for alone in own], split
        )
    }
    known = told(table)
    for name in COLUMNS:
        if name not in known:
            made[name] = Attribute(None)
            continue
        each = known[name]
        counted = _counted(each.column, each.values, split, ordered=name in ORDERED)
        made[name] = replace(counted, medians=_medians(each.years, split))
    return made


def _medians(years: Sequence[float | None], split: Split) -> dict[str, float]:
    """Return the median of the known ages in each part that has any."""
    if not years:
        return {}
    known = {part: [age for row in split.places(part) if (age := years[row]) is not None] for part in PARTS}
    return {part: float(median(ages)) for part, ages in known.items() if ages}


def _counted(column: str, values: Sequence[str], split: Split, *, ordered: bool = False) -> Attribute:
    """Count each value in each part; `ordered` sorts by the value, not by how common it is."""
    commonest = [value for value, _ in sorted(Counter(values).items(), key=lambda item: (-item[1], item[0])) if value]
    shown, rest = commonest[:_MOST], commonest[_MOST:]
    if ordered:
        shown.sort()
    parts = {}
    for part in PARTS:
        counts = Counter(values[row] for row in split.places(part))
        parts[part] = {value: counts[value] for value in shown}
        if rest:
            parts[part][f"{len(rest)} other values"] = sum(counts[value] for value in rest)
        parts[part][UNKNOWN] = counts[UNKNOWN]
    return Attribute(column, parts)
