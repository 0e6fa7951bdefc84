"""Cells in columns of which each is a class: numbers in any spelling, words for yes and no, and marks."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

_YES = "true yes y ja oui sí si sì sim x ✓ ✔ ☑ +"
_NO = "false no n nein nee non não nao - \u2013 \u2014 ☐"  # the two escapes are the en and the em dash
_MARKS = frozenset({"", "x", "✓", "✔", "☑", "☐", "+", "-", "\u2013", "\u2014"})
"""Those that a reader sees as marks rather than as values."""
_WORDS = dict.fromkeys(_YES.split(), 1.0) | dict.fromkeys(_NO.split(), 0.0) | {"": 0.0}
"""Words and marks, in lower case; an empty cell is one without a mark."""


def value_of(cell: str) -> float:
    """Return the number that a cell says, NaN where it is no number.

    >>> [value_of(cell) for cell in ("1", "1,0", "0.00", "TRUE", "no", "Ja", "N", "X", "✓", "", "nv")]
    [1.0, 1.0, 0.0, 1.0, 0.0, 1.0, 0.0, 1.0, 1.0, 0.0, nan]
    """
    word = cell.lower()
    if word in _WORDS:
        return _WORDS[word]
    try:
        return float(word.replace(",", "."))
    except ValueError:
        return float("nan")


def values_of(columns: Sequence[Sequence[str]]) -> NDArray[np.float64]:
    """Return ``[N, K]`` float64, the numbers that the N cells of each of K columns say; NaN where one is no number."""
    every = []
    for cells in columns:
        of = {cell: value_of(cell) for cell in set(cells)}
        every.append([of[cell] for cell in cells])
    return np.array(every).T


def is_binary(cells: Sequence[str], *, marks: bool = False) -> bool:
    """Return whether all cells say 1 or 0; with `marks`, also by a mark or none, one of them 1.

    >>> is_binary(["1", "0,0"]), is_binary(["X", ""]), is_binary(["X", ""], marks=True), is_binary(["", ""], marks=True)
    (True, False, True, False)
    """
    known = set(cells)
    values = set(map(value_of, known))
    if not values <= {0.0, 1.0}:
        return False
    return 1.0 in values if marks else _MARKS.isdisjoint(cell.lower() for cell in known)


def numbered(name: str, columns: Mapping[str, Sequence[str]]) -> tuple[str, ...]:
    """Return the columns of 0 and 1 that are called as this one, with numbers; () where it has no number.

    >>> boxes = {"diagnosis___1": ["1", "0"], "diagnosis___2": ["0", "1"], "diagnosis": ["a", "b"]}
    >>> numbered("diagnosis___1", boxes), numbered("diagnosis", boxes)
    (('diagnosis___1', 'diagnosis___2'), ())
    """
    bare = re.sub(r"\d+$", "", name)
    such = re.compile(re.escape(bare) + r"\d+")
    return tuple(each for each in columns if bare != name and such.fullmatch(each) and is_binary(columns[each]))


def marked(columns: Mapping[str, Sequence[str]]) -> tuple[str, ...]:
    """Return the most columns side by side of which each row has a single mark; none where two spans are such.

    They are the classes of a table such as that of PH2, which also marks the colours of a lesion, several in a row.
    """
    spans = single_spans(values_of(list(columns.values())) == 1) if len(columns) > 1 else []
    longest = [span for span in spans if span[1] - span[0] == spans[0][1] - spans[0][0]]
    return tuple(columns)[slice(*longest[0])] if len(longest) == 1 else ()


def single_spans(ones_NK: NDArray[np.bool_]) -> list[tuple[int, int]]:
    """Return the first column and the one after the last of each span with a single 1 in every row, longest first."""
    K = ones_NK.shape[1]
    sums_NK = np.pad(ones_NK, ((0, 0), (1, 0))).cumsum(axis=1)
    spans = sorted(((a, b) for a in range(K) for b in range(a + 2, K + 1)), key=lambda span: span[0] - span[1])
    return [(start, stop) for start, stop in spans if (sums_NK[:, stop] - sums_NK[:, start] == 1).all()]


def dividing(cells: Sequence[str], columns: Mapping[str, Sequence[str]]) -> tuple[str, ...]:
    """Return the most columns side by side that have a single 1 in every row and divide equal cells; else none."""
    spans = single_spans(values_of(list(columns.values())) == 1) if len(columns) > 1 else []
    single = tuple(columns)[slice(*spans[0])] if spans else ()
    pairs = set(zip(cells, *(columns[name] for name in single), strict=True))
    return single if len(pairs) > len(set(cells)) else ()
