"""The data card: sex, age, body site, source and skin type of the images, as the run recorded them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from dspkd.data.data_card import Attribute
from dspkd.data.metadata import UNKNOWN

ABSENT = "not provided"
"""The entry for a missing value."""


@dataclass(frozen=True)
class CardRow:
    """A line of the card: a value, and for each part of the split its number of images and their share."""

    value: str
    counts: tuple[tuple[int, float], ...]


@dataclass(frozen=True)
class CardSection:
    """An attribute: its name, the column of its values (None without one), rows, and median years in each part."""

    name: str
    column: str | None
    rows: tuple[CardRow, ...]
    medians: tuple[float | None, ...]


def sections(card: Mapping[str, Attribute], parts: Sequence[str]) -> list[CardSection]:
    """Return the sections of the card, with a column for each of `parts`."""
    return [_section(name, attribute, parts) for name, attribute in card.items()]


def line(section: CardSection) -> str:
    """Return a section of one part as a line: ``sex: female 48 %, male 51 %, not provided 1 %``."""
    values = [f"{row.value} {100 * share:.0f} %" for row in section.rows for _, share in row.counts]
    median = [f"median {years:g}" for years in section.medians if years is not None]
    return f"{section.name}: {', '.join([*values, *median]) or ABSENT}"


def missing(card: Mapping[str, Attribute]) -> list[str]:
    """Return the attributes that are missing for every image."""
    return [
        name
        for name, attribute in card.items()
        if all(sum(values.values()) == values[UNKNOWN] for values in attribute.parts.values())
    ]


def _section(name: str, attribute: Attribute, parts: Sequence[str]) -> CardSection:
    if attribute.column is None:
        return CardSection(name, None, (), ())
    of = [attribute.parts[part] for part in parts]
    totals = [max(sum(values.values()), 1) for values in of]
    rows = tuple(
        CardRow(
            value or ABSENT,
            tuple((values[value], values[value] / total) for values, total in zip(of, totals, strict=True)),
        )
        for value in of[0]
    )
    medians = tuple(attribute.medians.get(part) for part in parts) if attribute.medians else ()
    return CardSection(name, attribute.column, rows, medians)
