"""The class of each row of a table: names, numbers, or a column for each class."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from dspkd.data.class_names import composed
from dspkd.data.csv_rows import Rows
from dspkd.data.part_names import is_missing, split_column, squeezed, unclear_column
from dspkd.data.readers._columns import LABEL, is_attribute, is_id, matching, same
from dspkd.data.readers._label_cells import ONE_LABEL, alone, missing_among, placeholders, refuse_several
from dspkd.data.readers._marks import dividing, is_binary, marked, numbered, single_spans, value_of, values_of
from dspkd.data.soft_labels import normalised
from dspkd.errors import DataError, first_few, suggest

OTHER_LABEL = (
    "diagnosisname", "dxname", "diagnose", "diagnostico", "diagnosi", "klasse", "classe", "clase", "befund", "etiqueta",
    "choice", "choices",
)  # fmt: skip
"""Columns that may name the class where there is none of `LABEL`."""

_ROUNDING = 0.01
"""Difference from 1 of the sum of weights that are written with two digits or more. Inferred."""
_FLAG = re.compile(
    "(?:is)?(?:(?:fe)?male|weiblich|mannlich|femenino|masculino|feminin|masculin|femmin|femminile|maschile|homme|femme"
    "|left|right|links|rechts|clinical|dermato?scop(?:ic|y)|klinisch|dermatoskopisch|closeup|overview|macro(?:scopic)?"
    "|tbp|(?:non)?polari[sz]ed)(?:image|photo)?"
)
"""Flags of sexes, sides and kinds of image, as `squeezed` writes them."""
_MOST = 20
"""Different cells of a column beyond which it looks like names of something else than classes. Inferred."""


@dataclass(frozen=True)
class Labels:
    """The classes, the number of each row's class, the columns that hold them, lines about what was assumed, weights.

    The weights are `Table.soft_labels`; the doubts are about columns that may name the classes instead.
    """

    classes: tuple[str, ...]
    numbers: NDArray[np.int64]
    columns: tuple[str, ...]
    notes: tuple[str, ...] = ()
    weights: NDArray[np.float32] | None = None
    doubts: tuple[str, ...] = ()


def read_labels(
    rows: Rows, label: str | Sequence[str] | None, names: Mapping[str, str], *, beside: Collection[str]
) -> Labels:
    """Return the class of each row.

    Parameters
    ----------
    rows
        The table.
    label
        The column of classes, or several, one for each class; None to recognise them.
    names
        ``{cell: name of the class}``; empty where cells are the names.
    beside
        Columns that are something else.

    Raises
    ------
    DataError
        There is no such column or two would do, a label is missing or unknown, or a row has several.
    """
    doubts: tuple[str, ...] = ()
    if label is None:
        label = recognised(rows, beside)
        doubts = () if isinstance(label, str) else _other_classes(rows, label, beside)
    if isinstance(label, str):
        column = same(rows.columns, label, rows.path)
        return from_names(rows, column, names)
    columns = tuple(same(rows.columns, each, rows.path) for each in label)
    if names:
        raise DataError(f"{rows.path}: data.columns.names is for one column of labels, not for {len(columns)}")
    used = tuple(name for name in columns if any(map(value_of, set(rows.column(name))))) or columns
    labels = from_weights(rows, used) or from_one_hot(rows, used)
    empty = [repr(name) for name in columns if name not in used]
    notes = (f"{rows.path.name}: no class, as no image has it: {', '.join(empty)}",) if empty else ()
    return replace(labels, columns=columns, notes=labels.notes + notes, doubts=doubts)


def from_names(rows: Rows, column: str, names: Mapping[str, str]) -> Labels:
    """Return the classes that the cells of a column name, sorted, or numbers in their order."""
    cells = filled(rows, column, names)
    names = {composed(cell): composed(name) for cell, name in names.items()}
    refuse_several(rows, column, cells)
    whole = all(re.fullmatch(r"[-+]?\d+(\.0*)?", cell) for cell in set(cells))
    if whole:
        cells = tuple(cell.partition(".")[0] for cell in cells)  # 1.0 is 1, as a spreadsheet may have it
    if names:
        if unknown := sorted(set(cells) - set(names)):
            raise DataError(
                f"{rows.path}: data.columns.names has no name for {first_few([repr(cell) for cell in unknown])} in "
                f"column {column!r}; {suggest(unknown[0], names)}"
            )
        cells = tuple(names[cell] for cell in cells)
    classes = tuple(dict.fromkeys(names.values())) if names else in_order(cells)
    number = {name: k for k, name in enumerate(classes)}
    numbers = np.array([number[cell] for cell in cells], dtype=np.int64)
    return Labels(classes, numbers, (column,), doubts=placeholders(cells) if whole and not names else ())


def filled(rows: Rows, column: str, names: Collection[str] = ()) -> tuple[str, ...]:
    """Return the cells of a column, a list of one label as this label; DataError for a missing one not in `names`."""
    cells = rows.filled(column)
    label_of = {cell: composed(alone(cell)) for cell in set(cells)}
    missing = missing_among(set(label_of.values()))
    for row, cell in enumerate(cells):
        if label_of[cell] in missing and cell not in names:
            raise DataError(
                f"{rows.at(row)}: column {column!r} is {cell!r}, which stands for a missing value; give the "
                "image a class, or leave out its row"
            )
    return tuple(label_of[cell] for cell in cells)


def in_order(cells: Sequence[str]) -> tuple[str, ...]:
    """Return the different cells, sorted; numbers as such.

    >>> in_order(["10", "9", "9"]), in_order(["nv", "mel"])
    (('9', '10'), ('mel', 'nv'))
    """
    whole = all(re.fullmatch(r"[-+]?\d+", cell) for cell in cells)
    return tuple(sorted(sorted(set(cells)), key=int if whole else None))


def from_one_hot(rows: Rows, columns: Sequence[str]) -> Labels:
    """Return the classes that columns are called after: 1 or x in that of the row's class, 0 or none in the others."""
    values_NK = values_of([rows.column(name) for name in columns])
    ones_NK = values_NK == 1
    known_N = np.asarray(np.isin(values_NK, (0, 1)).all(axis=1))
    good_N = known_N & (ones_NK.sum(axis=1) == 1)
    if not good_N.all():
        row = int(np.argmin(good_N))
        where = f"{rows.at(row)}: "
        named = [name for name, one in zip(columns, ones_NK[row], strict=True) if one]
        if not known_N[row]:
            raise DataError(
                f"{where}expected 1 or 0 in {', '.join(columns)}, or weights that sum to 1 in every row, got "
                f"{', '.join(rows.column(name)[row] for name in columns)}"
            )
        several = f"{len(named)} labels ({', '.join(named)}); {ONE_LABEL}"
        none = f"no label: no 1 in {', '.join(columns)}"
        raise DataError(f"{where}{several if named else none} ({(~good_N).sum():,} such rows){_hint(ones_NK, columns)}")
    note = f"{rows.path.name}: classes from the columns {', '.join(map(repr, columns))}, 1 for the class of the image"
    return Labels(tuple(columns), np.nonzero(ones_NK)[1].astype(np.int64), tuple(columns), (note,))


def _hint(ones_NK: NDArray[np.bool_], columns: Sequence[str]) -> str:
    """Return, for a message, the most columns in a row of which each image has a single 1; others may be flags."""
    for start, stop in single_spans(ones_NK)[:1]:
        own = list(columns[start:stop])
        alone = f"{', '.join(own)} alone have a single 1 in every row"
        return f"; {alone}: if they are the classes, set data.columns.label = {own}"
    return ""


def from_weights(rows: Rows, columns: Sequence[str]) -> Labels | None:
    """Return the classes that columns are called after, where they hold shares that sum to 1 in each row.

    The class is that of the largest share, the first of equal ones. None where a row has no such shares, or each row
    a single 1.
    """
    weights_NK = values_of([rows.column(name) for name in columns])
    shares = bool((weights_NK >= 0).all() and np.allclose(weights_NK.sum(axis=1), 1, rtol=0, atol=_ROUNDING))
    if not shares or np.isin(weights_NK, (0, 1)).all():
        return None
    note = (
        f"{rows.path.name}: weights of classes from the columns {', '.join(map(repr, columns))}; the class is that of "
        "the largest, which evaluation uses; the term labels learns from all with soft_labels = true"
    )
    soft_NK = normalised(weights_NK.astype(np.float32))
    return Labels(tuple(columns), soft_NK.argmax(axis=1).astype(np.int64), tuple(columns), (note,), soft_NK)


def recognised(rows: Rows, beside: Collection[str]) -> str | tuple[str, ...]:
    """Return the column that is called as one of classes is, or the columns of 0 and 1 where none is.

    Of columns of 0 and 1 that are called so and numbered, as a form with boxes to check has them, each is a class.

    Raises
    ------
    DataError
        There is no such column, or others may be the classes too: called so, or `dividing` the images further.
    """
    others = {name for name in rows.columns if name in beside or split_column({name: rows.columns[name]}) is not None}
    candidates = [name for name in matching(rows.columns, LABEL) if name not in others]
    candidates = candidates or [name for name in matching(rows.columns, OTHER_LABEL) if name not in others]
    filled = [name for name in candidates if any(rows.columns[name])] or candidates
    if filled:
        first, *further = filled
        if len(columns := numbered(first, rows.columns)) > 1:
            return columns
        if "path" in beside and first == "label":  # the layout's own names
            return first
        differing = [name for name in further if not _agree(rows.columns[first], rows.columns[name])]
        if differing:
            raise DataError(
                f"{rows.path}: the columns {', '.join(map(repr, [first, *differing]))} could all be the classes; "
                f"choose one: [data.columns] label = {first!r}"
            )
        binary = binary_columns(rows, {*others, *filled})
        if single := dividing(rows.columns[first], {name: rows.columns[name] for name in binary}):
            raise DataError(
                f"{rows.path}: the column {first!r} and the columns {', '.join(map(repr, single))}, of which each row "
                f"has one, could all be the classes; choose: [data.columns] label = {first!r}, or {list(single)}"
            )
        return first
    binary = binary_columns(rows, beside)
    if len(binary) > 1:
        return binary
    other = suggest(binary[0] if binary else "label", rows.columns)
    raise DataError(f"{rows.path}: no column 'label'; {other}; name that of the classes: data.columns.label")


def binary_columns(rows: Rows, beside: Collection[str]) -> tuple[str, ...]:
    """Return the columns of 0 and 1 that may each be a class: not parts of a split, sexes or kinds of image.

    Where there are not two of them, they may be columns of marks and empty cells.
    """
    left_out = {*beside, split_column(rows.columns)}
    columns = {
        name: cells
        for name, cells in rows.columns.items()
        if name not in left_out and not (is_attribute(name) or is_flag(name))
    }
    binary = tuple(name for name, cells in columns.items() if is_binary(cells))
    marks = {name: cells for name, cells in columns.items() if is_binary(cells, marks=True)}
    return binary if len(binary) > 1 else marked(marks) or binary


def is_flag(name: str) -> bool:
    """Return whether a column or folder is called as a part, a sex, a side or a kind of image is."""
    return unclear_column({name: ("0", "1")}) is not None or _FLAG.fullmatch(squeezed(name)) is not None


def _other_classes(rows: Rows, columns: Sequence[str], beside: Collection[str]) -> tuple[str, ...]:
    """Return a doubt about columns of text that may name the classes, where these columns of 0 and 1 may be flags."""
    numbers = list(zip(*(rows.columns[name] for name in columns), strict=True))
    found = []
    for name, cells in rows.columns.items():
        known = {cell for cell in cells if not is_missing(cell)}
        text = 2 * sum(any(map(str.isalpha, cell)) for cell in known) > len(known)
        other = (
            name in beside or name in columns or is_attribute(name) or is_id(name) or name == split_column(rows.columns)
        )
        if text and not other and 2 <= len(known) <= min(_MOST, len(cells) / 2):
            pairs = len(set(zip(cells, numbers, strict=True)))
            found += [name] if pairs > max(len(set(cells)), len(set(numbers))) else []
    if not found:
        return ()
    return (
        f"classes are taken from the columns {first_few(list(map(repr, columns)))}; if the column "
        f"{first_few(list(map(repr, found)))} names them, set data.columns.label = {found[0]!r}; else set it to "
        f"{list(columns)}",
    )


def _agree(first: Sequence[str], second: Sequence[str]) -> bool:
    """Return whether two columns divide the rows in the same way."""
    pairs = set(zip(first, second, strict=True))
    return len(pairs) == len({a for a, _ in pairs}) == len({b for _, b in pairs})
