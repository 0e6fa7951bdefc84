"""The data card: who and what the images show, counted in each part of the split."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from statistics import median

from dspkd.data.metadata import COLUMNS, ORDERED, UNKNOWN, attributes_of
from dspkd.data.split import PARTS, Split
from dspkd.data.table import Table, is_named

_LISTED = 12


@dataclass(frozen=True)
class Attribute:
    """Number of images with each value of an attribute, in each part.

    Attributes
    ----------
    column
        The column of the table that holds it, or a description of its origin; None where the table does not provide it.
    parts
        ``{part: {value: images}}``, the same values in each part: the twelve most frequent, ages and skin types in
        their own order; then the sum of the others, if there are more; `UNKNOWN` is always there, last. Empty where the
        table does not provide the attribute.
    medians
        ``{part: years}``, the median of the known ages; empty for other attributes.
    """

    column: str | None
    parts: dict[str, dict[str, int]] = field(default_factory=dict)
    medians: dict[str, float] = field(default_factory=dict)


def card(table: Table, split: Split) -> dict[str, Attribute]:
    """Count whether lesion or patient are known, and the values of each attribute of `COLUMNS`."""
    named = ["named" if is_named(group) else UNKNOWN for group in table.groups]
    attributes = {"lesion or patient": _count("what images are grouped by", named, split)}
    provided = attributes_of(table)
    for name in COLUMNS:
        if name not in provided:
            attributes[name] = Attribute(None)
            continue
        each = provided[name]
        counts = _count(each.column, each.values, split, ordered=name in ORDERED)
        attributes[name] = replace(counts, medians=_medians(each.years, split))
    return attributes


def _medians(years: Sequence[float | None], split: Split) -> dict[str, float]:
    """Return the median of the known ages in each part that has any."""
    if not years:
        return {}
    known = {part: [age for row in split.places(part) if (age := years[row]) is not None] for part in PARTS}
    return {part: float(median(ages)) for part, ages in known.items() if ages}


def _count(column: str, values: Sequence[str], split: Split, *, ordered: bool = False) -> Attribute:
    """Count each value in each part; `ordered` sorts by value instead of frequency."""
    frequent = [value for value, _ in sorted(Counter(values).items(), key=lambda item: (-item[1], item[0])) if value]
    listed, rest = frequent[:_LISTED], frequent[_LISTED:]
    if ordered:
        listed.sort()
    parts = {}
    for part in PARTS:
        counts = Counter(values[row] for row in split.places(part))
        parts[part] = {value: counts[value] for value in listed}
        if rest:
            parts[part][f"{len(rest)} other values"] = sum(counts[value] for value in rest)
        parts[part][UNKNOWN] = counts[UNKNOWN]
    return Attribute(column, parts)
