"""Where the table in a text begins: its delimiter, and the lines above its header."""

from __future__ import annotations

import csv
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice

from dspkd.data.part_names import squeezed

DELIMITERS = {",": "commas", ";": "semicolons", "\t": "tabs", "|": "bars"}

_BEFORE = re.compile(r"sep=.?|#[^,;\t|]*")
"""A line before the header: the delimiter, as Excel takes it, or a comment."""
_TITLES = 5
"""Most lines of a title above a header that names no image."""
WITHIN = 20
"""Lines, or rows of a sheet, within which a header that names an image lies."""

_IMAGE = re.compile(
    r"(?:image|img|photo|picture|file|isic|bild|datei|foto)(?:file|datei)?(?:id|name|path|pfad|file|no|nr|number)?"
    r"|(?:rel|relative|full)?path|fname|fichier|archivo|imagen|arquivo|imagem|immagine"
)
"""Columns, as `squeezed` writes them, by which the header of the images is known below a title or a legend."""


@dataclass(frozen=True)
class Beginning:
    """The first lines of a text, the number of those that are its title, and the delimiter of the others."""

    lines: list[str]
    titles: int
    delimiter: str


def beginning(lines: Iterable[str]) -> Beginning:
    """Return how a table begins, from its lines, of which as few as possible are read.

    A title has a single filled cell in each line, above a header of two or more; a legend has fewer than a header that
    names an image. The delimiter divides the header into most cells; it is a comma where none does.
    """
    read: list[str] = []
    filled: list[str] = []

    def rows() -> Iterator[list[str]]:
        for line in lines:
            read.append(line)
            if line.strip() and not _BEFORE.fullmatch(line.strip()):
                filled.append(line)
                yield _cells(line, _delimiter(line))

    header = header_row(rows())
    if header is None or (header > _TITLES and not names_an_image(_cells(filled[header], _delimiter(filled[header])))):
        header = 0
    return Beginning(read, header, _delimiter(filled[header] if filled else ""))


def header_row(rows: Iterable[Sequence[str]]) -> int | None:
    """Return which of the first rows is the header, None where none has two filled cells; no further row is taken.

    That is the first row of two or more; or one below it that has more and names an image, as below a legend.
    """
    first: int | None = None
    most = 1
    for number, cells in enumerate(islice(rows, WITHIN)):
        count = sum(bool(cell.strip()) for cell in cells)
        if count > most and names_an_image(cells):
            return number
        if first is None and count > 1:
            first, most = number, count
    return first


def names_an_image(header: Iterable[str]) -> bool:
    """Return whether a column is called as one of the names of images is.

    >>> names_an_image(["Patient", "Image Name"]), names_an_image(["code", "meaning"])
    (True, False)
    """
    return any(_IMAGE.fullmatch(squeezed(name)) for name in header)


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
        return next(csv.reader([line], delimiter=delimiter, skipinitialspace=True), [])
    except csv.Error:
        return []
