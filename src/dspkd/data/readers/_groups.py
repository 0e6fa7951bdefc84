"""The group of each image from the chosen column of ids, and from the other columns where this one is empty."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from statistics import median

from dspkd.data.csv_rows import Rows
from dspkd.data.part_names import names_no_one, squeezed
from dspkd.data.readers._columns import Grouping, find, grouping, is_of_people
from dspkd.data.readers._id_cells import WHOLE
from dspkd.data.readers._several import with_columns_beside
from dspkd.data.table_files import tables_in
from dspkd.errors import first_few

_PLACEHOLDER = re.compile(
    r"-(?:1|9+)(?:\.0*)?|(?:0+|9{2,})(?:\.0*)?|(?:n[./ ]*[bcdnrsv]|k[./ ]*a|s[./ ]*[cd]|x{1,2})\.?", re.IGNORECASE
)
"""What stands for no id where other ids are longer: -1, 0, 999, N/D, k.A."""
_INITIALS = re.compile(r"(?:[^\W\d_]\W?){1,4}")
_SHORT = re.compile(r"[^\W\d_]\W?[^\W\d_]?\W?")
_MARKED = re.compile(r"[./ ]\S")
_FOR_ONE = 10
"""Mean number of ids in the used column for each id of another one, above which the other is no patient. Inferred."""
_SHARE, _TIMES = 0.2, 10
"""Share of the rows, and times the median of the other ids, from which on initials stand for no one. Inferred."""


def taken(columns: dict[str, tuple[str, ...]], chosen: Grouping, rows: int) -> tuple[tuple[str, ...], Grouping]:
    """Take the chosen column out of `columns`; return a group for each row, and the choice with lines on them.

    A row whose cell is empty or names no one gets the group of the rows with which it shares another id, else that id:
    images of one lesion stay together. "" where every id is unknown.
    """
    if chosen.column is None:
        return ("",) * rows, chosen
    groups, notes = _known(chosen.column, columns.pop(chosen.column))
    doubts = _merged_cells(chosen.column, groups)
    others = {name: cells for name in chosen.others if any(cells := _known(name, columns[name])[0])}
    doubts += _of_several(chosen.column, groups, others)
    full = _filled(groups, others) if others and not all(groups) else groups
    if number := sum(bool(new) and not group for group, new in zip(groups, full, strict=True)):
        names = first_few([repr(name) for name in others])
        notes += (f"{number:,} images whose {chosen.column!r} is empty are grouped by {names}",)
    return full, replace(chosen, notes=chosen.notes + notes, doubts=chosen.doubts + doubts)


def ids_beside(folder: Path, images: Sequence[str], group: str | None) -> tuple[str, ...]:
    """Return the lesion or patient of each image in or below a folder, "" where no table in the folder names one.

    `group` is the column of it; where there is no such column, one is chosen.
    """
    rows = Rows(folder, {"image": tuple(images)}, tuple(range(1, len(images) + 1)))
    columns = dict(with_columns_beside(rows, "image", tables_in(folder)).columns)
    del columns["image"]
    wanted = group if group is not None and find(columns, [squeezed(group)]) else None
    groups, _ = taken(columns, grouping(columns, wanted, folder), len(images))
    return groups


def _known(column: str, cells: Sequence[str]) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Return the cells, "" for those that name no one, and a line about those of which only the other cells tell it."""
    counts = Counter(cell for cell in cells if not names_no_one(cell))
    ids = [cell for cell in counts if not _PLACEHOLDER.fullmatch(cell)]
    most = max((counts[cell] for cell in ids), default=0)
    short = [cell for cell in counts if counts[cell] > most > 0 and _PLACEHOLDER.fullmatch(cell)]
    usual = median(counts.values()) if counts else 0
    large = {cell for cell in short if counts[cell] > max(_SHARE * len(cells), _TIMES * usual)}
    none = {cell for cell in short if _is_none(cell, ids, large=cell in large)}
    such = first_few([f"{cell!r} ({counts[cell]:,} rows)" for cell in sorted(none)])
    notes = (f"column {column!r}: {such} stands for an unknown id, as the other ids are longer",) if none else ()
    return tuple(cell if cell in counts and cell not in none else "" for cell in cells), notes


def _is_none(cell: str, ids: Iterable[str], *, large: bool) -> bool:
    """Return whether a placeholder is unlike all ids: they are of another kind, or longer and not next to it.

    A negative number is one where no id is negative. Letters among initials are one with a mark between them, which the
    initials lack, or where they have a `large` share of the rows.
    """
    number = WHOLE.fullmatch(cell)
    if number is None and cell.startswith("-"):
        return not any(re.match(r"-\d", each) for each in ids)
    if number is None:
        initials = [each for each in ids if _INITIALS.fullmatch(each)]
        alone = not any(map(_MARKED.search, initials)) if _MARKED.search(cell) else not initials
        return not any(map(_SHORT.fullmatch, initials)) and (large or alone)
    wholes = {match[1] for each in ids if (match := WHOLE.fullmatch(each))}
    near = {str(int(number[1]) + step) for step in (-1, 1)}
    return not (wholes & near or any(len(each) <= len(number[1]) for each in wholes))


def _merged_cells(column: str, groups: Sequence[str]) -> tuple[str, ...]:
    """Return a doubt where each id is there once, above empty cells: a sheet with merged cells, saved as text."""
    named = [group for group in groups if group]
    if not (groups and groups[0] and 1 < len(named) == len(set(named)) <= 2 * (len(groups) - len(named))):
        return ()
    return (
        f"column {column!r} has each id once, and empty cells below: if a spreadsheet had merged cells there, write "
        "the id into every row; else images of one person may be in both training and test set",
    )


def _of_several(column: str, groups: Sequence[str], others: Mapping[str, Sequence[str]]) -> tuple[str, ...]:
    """Return doubts about other columns of patients of which one id has several groups, as where each visit has one.

    A column with more than `_FOR_ONE` of them for each id on average is of something else, such as hospitals.
    """
    doubts = []
    for name, cells in others.items() if is_of_people(column) else ():
        of: dict[str, set[str]] = defaultdict(set)
        for group, cell in zip(groups, cells, strict=True):
            of[cell] |= {group} if group and cell else set()
        several = {cell: sorted(known) for cell, known in of.items() if len(known) > 1}
        if is_of_people(name) and several and len(set(groups)) <= _FOR_ONE * len(of):
            cell, known = next(iter(several.items()))
            doubts.append(
                f"{len(several):,} ids in column {name!r} have several in {column!r}, such as {cell!r}: "
                f"{first_few(known)}; if these are one person, images of it may be in both training and test set: set "
                f"data.group = {name!r} in the recipe, or --group {name!r}"
            )
    return tuple(doubts)


def _filled(groups: Sequence[str], others: Mapping[str, Sequence[str]]) -> tuple[str, ...]:
    """Return the groups with one for each row that has none and another id.

    Ids that share such a row are linked. The group of linked ids is that of the rows with a group that have one of
    them, where there is only one such group: lesions that are numbered within each patient tell no patient.
    """
    above: dict[tuple[str, str], tuple[str, str]] = {}

    def top(each: tuple[str, str]) -> tuple[str, str]:
        while above.setdefault(each, each) != each:
            above[each] = above[above[each]]
            each = above[each]
        return each

    ids = [[(name, cells[row]) for name, cells in others.items() if cells[row]] for row in range(len(groups))]
    for group, own in zip(groups, ids, strict=True):
        for each in () if group else own[1:]:
            above[top(each)] = top(own[0])
    people: dict[tuple[str, str], set[str]] = {}
    for group, own in zip(groups, ids, strict=True):
        for each in own if group else ():
            people.setdefault(top(each), set()).add(group)
    names = set(groups)
    full = list(groups)
    for row, own in enumerate(ids):
        if own and not full[row]:
            name, cell = top(own[0])
            known = people.get((name, cell), set())
            full[row] = next(iter(known)) if len(known) == 1 else f"{name} {cell}" if cell in names else cell
    return tuple(full)
