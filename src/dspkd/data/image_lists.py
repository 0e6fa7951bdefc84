"""Lists without a header, as ImageNet's ``train.txt``: the name of an image and its class on each line."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from dspkd.data.csv_rows import Rows, lines_of
from dspkd.data.image_files import SUFFIXES
from dspkd.errors import DataError

COLUMNS = ("image", "label")
"""What the columns of such a list are called."""

_ENDING = "|".join(sorted(re.escape(suffix) for suffix in SUFFIXES))
_LINE = re.compile(rf"""["']?([^"{{,;|\t]*?(?:{_ENDING}))["']?(?:\s*([,;|\t])\s*|\s+)["']?(.+?)["']?""", re.IGNORECASE)


def is_list(path: Path) -> bool:
    """Return whether the first line of a text that is not empty is an image and one other thing."""
    with suppress(OSError), path.open(encoding="utf-8", errors="replace") as lines:
        return next((_cells(line) is not None for line in lines if line.strip()), False)
    return False


def read_list(path: Path) -> Rows:
    """Return the rows of a list, in the columns of `COLUMNS`.

    Raises
    ------
    DataError
        The file cannot be read, or a line is not an image and its class.
    """
    lines = list(_rows(path))
    images, labels = zip(*((image, label) for _, image, label in lines), strict=True)
    note = f"{path.name}: no header: the first in each line is taken as the image, what follows as its class"
    return Rows(
        path, dict(zip(COLUMNS, (images, labels), strict=True)), tuple(number for number, _, _ in lines), (note,)
    )


def _rows(path: Path) -> Iterator[tuple[int, str, str]]:
    for number, line in enumerate(lines_of(path), start=1):
        if line.strip():
            cells = _cells(line)
            if cells is None:
                raise DataError(f"{path}, line {number}: expected an image and its class, got {line.strip()[:60]}")
            yield number, *cells


def _cells(line: str) -> tuple[str, str] | None:
    """Return the image and the class of a line; None where it is something else.

    >>> _cells("my images/0.jpg 3"), _cells('"a.PNG";"basal cell carcinoma"')
    (('my images/0.jpg', '3'), ('a.PNG', 'basal cell carcinoma'))
    >>> [_cells(line) for line in ("image,label", "a.jpg", "a.jpg,mel,45", "a.jpg 0 1 0", "a.jpg a_mask.png")]
    [None, None, None, None, None]
    """
    found = _LINE.fullmatch(line.strip("\ufeff\r\n "))
    if found is None:
        return None
    image, delimiter, label = found.groups()
    parts = label.split(delimiter)
    several = len(parts) > 1 and (delimiter is not None or all(part.isdecimal() for part in parts))
    return None if several or label.lower().endswith(tuple(SUFFIXES)) else (image, label)
