"""Where the table in a text begins: its delimiter, and the lines above its header."""

from __future__ import annotations

import csv
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

DELIMITERS = {",": "commas", ";": "semicolons", "\t": "tabs", "|": "bars"}

_BEFORE = re.compile(r"sep=.?|#[^,;\t|]*")
"""A line before the header: the delimiter, as Excel takes it, or a comment."""
_TITLES = 5
"""Most lines of a title."""


@dataclass(frozen=True)
class Beginning:
    """The first lines of a text, the number of those that are its title, and the delimiter of the others."""

    lines: list[str]
    titles: int
    delimiter: str


def beginning(lines: Iterable[str]) -> Beginning:
    """Return how a table begins, from its lines, of which as few as possible are read.

    A title has a single filled cell in each line, above a header of two or more. The delimiter divides the header into
    most cells; it is a comma where none does.
    """
    read: list[str] = []
    single: list[str] = []
    for line in lines:
        read.append(line)
        if not line.strip() or _BEFORE.fullmatch(line.strip()):
            continue
        filled = max(sum(bool(cell.strip()) for cell in _cells(line, each)) for each in DELIMITERS)
        if filled > 1:
            return Beginning(read, len(single), _delimiter(line))
        single += [line] * filled
        if len(single) > _TITLES:
            break
    return Beginning(read, 0, _delimiter(single[0] if single else ""))


def from_header(rows: Iterable[list[str]], titles: int) -> Iterator[list[str]]:
    """Yield the rows of a text from its header on, the first that is filled, no comment and none of so many titles."""
    above = True
    for row in rows:
        cells = [cell.strip() for cell in row]
        if above and (not any(cells) or _BEFORE.fullmatch(";".join(cells).rstrip(";"))):
            continue
        if above and titles:
            titles -= 1
            continue
        above = False
        yield row


def _delimiter(line: str) -> str:
    return max(DELIMITERS, key=lambda delimiter: len(_cells(line, delimiter)))


def _cells(line: str, delimiter: str) -> list[str]:
    try:
        return next(csv.reader([line], delimiter=delimiter), [])
    except csv.Error:
        return []
