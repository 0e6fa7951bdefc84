"""Cells of a column of classes: a list of one label, several labels, and what stands for none."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Collection, Sequence

from dspkd.data.csv_rows import Rows
from dspkd.data.part_names import is_missing
from dspkd.errors import DataError

ONE_LABEL = "a network here gives an image one class; keep one label for each image, or leave such images out"

_WORDS = "and|or|vs|versus|with|und|oder|mit|et|ou|avec|y|o|con|e|com|ed"
_BETWEEN = (rf"\s*[|;,/+&:\\>]\s*|\s+(?:(?:{_WORDS})\.?|[-\u2013\u2014])\s+", r"\s+")
"""What may stand between labels in one cell."""
_FEW = 50
"""Number below which those of classes lie that have 99 beside them for an unknown one. Inferred."""
_LIST_OF_ONE = re.compile(r"""\[\s*(?:"([^"]*)"|'([^']*)'|(\d+))?\s*\]""")


def alone(cell: str) -> str:
    """Return the label of a list that holds one, as JSON has it, "" of an empty list; any other cell as it is.

    >>> [alone(cell) for cell in ('["mel"]', "[3]", "[]", "[a]", '["mel", "nv"]')]
    ['mel', '3', '', '[a]', '["mel", "nv"]']
    """
    listed = _LIST_OF_ONE.fullmatch(cell) if cell.startswith("[") else None
    return cell if listed is None else next((label for label in listed.groups() if label), "")


def missing_among(cells: Collection[str]) -> frozenset[str]:
    """Return the cells that stand for a missing value: what programs write, and marks without a letter beside others.

    >>> sorted(missing_among(["mel", "?", "--", "NaN"])), sorted(missing_among(["+", "-"]))
    (['--', '?', 'NaN'], [])
    """
    marks = {cell for cell in cells if not any(map(str.isalnum, cell))}
    return frozenset({cell for cell in cells if is_missing(cell)} | (marks if len(marks) < len(cells) else set()))


def placeholders(cells: Sequence[str]) -> tuple[str, ...]:
    """Return a doubt about a number among the classes that may stand for no label: -1 beside 0, or 99 beside few.

    >>> placeholders(["0", "1", "-1"])
    ("the class '-1' (1 images) may stand for no label: if it does, leave out its rows",)
    >>> placeholders(["1", "2", "99"])[0][:14], placeholders(["-1", "1"]), placeholders(["98", "99"])
    ("the class '99'", (), ())
    """
    counts = Counter(cells)
    if not all(re.fullmatch(r"-?\d+", cell) for cell in counts):
        return ()
    others = [int(cell) for cell in counts if not re.fullmatch(r"-\d+|9{2,}", cell)]
    known = len(others) > 1 and max(others) < _FEW and (0 in others or 1 in others)
    return tuple(
        f"the class {cell!r} ({number:,} images) may stand for no label: if it does, leave out its rows"
        for cell, number in counts.items()
        if known and re.fullmatch(r"-(?:1|9+)|9{2,}", cell)
    )


def refuse_several(rows: Rows, column: str, cells: Sequence[str]) -> None:
    """Raise DataError where a cell holds several labels: those that other cells hold alone, or a list in brackets.

    Labels between bars or semicolons also hold several where one of them follows different ones: names of one tree,
    such as ``benign|nevus``, do not.
    """
    known = set(cells)
    for cell in known:
        listed = [item.strip(" '\"") for item in cell.strip("[]{}()").split(",")] if cell[:1] in "[{(" else []
        split = ([each for each in re.split(mark, cell) if each] for mark in _BETWEEN)
        several = listed or next((each for each in split if len(each) > 1 and known.issuperset(each)), [])
        if len(several) > 1:
            raise _several(rows, column, cells, cell, len(several))
    for mark in "|;":
        paths = {cell: tuple(map(str.strip, cell.split(mark))) for cell in known}
        before = defaultdict(set)
        for path in paths.values():
            for place, name in enumerate(path):
                before[name].add(path[:place])
        mixed = [cell for cell, path in paths.items() if path[1:] and any(len(before[name]) > 1 for name in path)]
        if mixed:
            raise _several(rows, column, cells, min(mixed), len(paths[min(mixed)]))


def _several(rows: Rows, column: str, cells: Sequence[str], cell: str, number: int) -> DataError:
    where = rows.at(list(cells).index(cell))
    return DataError(f"{where}: column {column!r} has {number} labels, {cell[:60]!r}; {ONE_LABEL}")
