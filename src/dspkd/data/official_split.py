"""The split that a data set is published with: parts named by folders or by a column."""

from __future__ import annotations

import os
from collections.abc import Collection, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Literal

import numpy as np

from dspkd.data.part_names import folders_of, parts_of, split_column, unclear_column, unclear_folders
from dspkd.data.split import PARTS, Split, refuse_crossing, split
from dspkd.data.table import Table, is_named
from dspkd.errors import DataError, first_few, suggest

_WORDS = {"train": "training", "val": "validation", "test": "test"}
NOT_OFFICIAL = "split.official = false in a recipe, or --resplit with dspkd new and dspkd distill"
"""What splits a data set at random that is published with parts."""

RESPLIT, NO_COLUMN = f"resplit with {NOT_OFFICIAL}", "leave split.column out"

_RANDOM = f"to split at random instead, give {NOT_OFFICIAL}"


def recognised(table: Table, column: str | None = None) -> Table:
    """Return the table with `Table.parts`, where a column or the folders of the images name the parts.

    Parts in folders are added as the attribute ``split``. What may name parts and is not understood is in
    ``origin.unclear``.

    Parameters
    ----------
    table
        The table.
    column
        The column that names the part; None to recognise it.

    Raises
    ------
    DataError
        There is no such column.
    """
    if column is not None and column not in table.attributes:
        raise DataError(f"{table.root}: no column {column!r} of parts; {suggest(column, table.attributes)}")
    if column := column or split_column(table.attributes):
        named = parts_of(table.attributes[column])
        parts = tuple(named.get(cell, cell and f"?{cell}") for cell in table.attributes[column])
        return replace(table, parts=parts, origin=replace(table.origin, parts=f"column {column!r}"))
    folder_of = [os.path.dirname(path) for path in table.paths]  # noqa: PTH120 - five times as fast
    within = _within(set(folder_of), table.root)
    inner = [within[folder] for folder in folder_of]
    folders = folders_of(inner)
    if not folders:
        return replace(table, origin=replace(table.origin, unclear=_unclear(table, inner)))
    named = parts_of(folders)
    parts = tuple(named.get(folder, "") for folder in folders)
    where = "folders " + ", ".join(name for part in PARTS for name in named if named[name] == part)
    return replace(
        table,
        parts=parts,
        attributes={"split": parts, **table.attributes},
        origin=replace(table.origin, parts=where),
    )


def _unclear(table: Table, folders: Sequence[str]) -> str:
    if named := unclear_folders(folders):
        return (
            f"the folders {', '.join(named)} are called like parts of a split, and the others are not; call them "
            "train, val and test"
        )
    if (column := unclear_column(table.attributes)) is None:
        return ""
    cells = sorted({cell for cell in table.attributes[column] if cell})
    return (
        f"column {column!r} ({', '.join(cells[:4])}{', ...' * (len(cells) > 4)}) may name the parts of a published "
        "split; if it does, write train, val and test into it"
    )


def _within(folders: Collection[str], root: Path) -> dict[str, str]:
    """Return each folder as it lies in the data set, with a slash at its end.

    A table may write the path of the data set in another way than the user does: absolute, or past a link. Folders
    that lie elsewhere are taken as they lie in the innermost folder that holds all folders of images.
    """
    within = {folder: Path(folder).relative_to(root) for folder in folders if Path(folder).is_relative_to(root)}
    real, base = {folder: Path(folder).resolve() for folder in folders if folder not in within}, root.resolve()
    within |= {folder: path.relative_to(base) for folder, path in real.items() if path.is_relative_to(base)}
    if elsewhere := {folder: path for folder, path in real.items() if folder not in within}:
        common = os.path.commonpath([*real.values(), *(base / path for path in within.values())])
        within |= {folder: path.relative_to(common) for folder, path in elsewhere.items()}
    return {folder: f"{path.as_posix()}/" for folder, path in within.items()}


def of(table: Table, *, val: float, test: float, seed: int) -> tuple[Split, str]:
    """Return the split as published, and how it was made, in a line.

    A missing validation or test set is taken out of the training set by lesion or patient: a share `val` or `test` of
    its images, with this `seed`.

    Raises
    ------
    DataError
        An image is in no known part, or a class is too small to be split, or where training images become another
        part, not in the training set.
    """
    return _completed(table, table.parts, table.origin.parts, RESPLIT, val=val, test=test, seed=seed)


def from_column(
    table: Table,
    column: str,
    *,
    val: float = 0.15,
    test: float = 0.2,
    seed: int = 0,
    by: Literal["group", "image"] = "group",
) -> tuple[Split, str]:
    """Return the split that a column of the data set holds, and how it was made; see `of`.

    Parameters
    ----------
    column
        One of the table's attributes; its cells are ``train``, ``val`` and ``test``, in any spelling of
        `dspkd.data.part_names`.
    by
        "group" refuses a split in which a group is in two parts; "image" accepts it.

    Raises
    ------
    DataError
        There is no such column, a cell holds something else, there is no training set and another part, or a group is
        in two parts.
    """
    if column not in table.attributes:
        raise DataError(f"{table.root}: no column {column!r} to split by; {suggest(column, table.attributes)}")
    cells = table.attributes[column]
    named = parts_of(cells)
    parts = tuple(named.get(cell, cell and f"?{cell}") for cell in cells)
    official, how = _completed(table, parts, f"column {column!r}", NO_COLUMN, val=val, test=test, seed=seed)
    if by == "group":
        refuse_crossing(table.root / column, table, official)
    return official, how


def _completed(
    table: Table, parts: Sequence[str], where: str, otherwise: str, *, val: float, test: float, seed: int
) -> tuple[Split, str]:
    """Return the split with these parts, a missing one taken out of training, and how it was made."""
    _refuse_unknown(table, parts, where)
    parts_N = np.array(parts)
    missing = [part for part in PARTS if part not in parts]
    if "train" in missing or len(missing) > 1:
        raise DataError(
            f"{table.root}: {where} names no {' and no '.join(_WORDS[part] for part in missing)} set; "
            "leave out split.column, or " + _RANDOM
        )
    how = f"split as published, by {where}"
    if missing:
        refuse_untrained(table, Split(parts_N), where, otherwise)
    for part in missing:
        share = {"val": val, "test": test}[part]
        training = np.flatnonzero(parts_N == "train")
        rest = table.take(training)
        shares = (share, 0.0) if part == "val" else (0.0, share)
        carved = split(rest, val=shares[0], test=shares[1], seed=seed).places(part)
        parts_N[training[carved]] = part
        how += (
            f"; it has no {_WORDS[part]} set, so {share:.0%} of the training images become one"
            f"{', by lesion or patient' if any(map(is_named, rest.groups)) else ''} ({len(carved):,} images)"
        )
    return Split(parts_N), how


def refuse_untrained(table: Table, split: Split, where: str, otherwise: str) -> None:
    """Raise DataError if a class has images, and none in the training set; `otherwise` says how to split instead."""
    training = set(table.labels[split.places("train")].tolist())
    for label in sorted(set(table.labels.tolist()) - training):
        parts = [part for part in PARTS if (table.labels[split.places(part)] == label).any()]
        if parts:
            raise DataError(
                f"{table.root}: class {table.classes[label]!r} is in the "
                f"{' and '.join(_WORDS[part] for part in parts)} set alone ({where}); drop it with data.classes, or "
                f"{otherwise}"
            )


def _refuse_unknown(table: Table, parts: Sequence[str], where: str) -> None:
    """Raise DataError if an image is in no known part."""
    unknown = [row for row, part in enumerate(parts) if part not in PARTS]
    if not unknown:
        return
    cells = sorted({parts[row].removeprefix("?") for row in unknown if parts[row]})
    values = f" has {first_few([repr(cell) for cell in cells])}, which" if cells else ""
    raise DataError(
        f"{table.root}: {where}{values} names no known part for {len(unknown):,} of {len(parts):,} images "
        f"({first_few([table.ids[row] for row in unknown])}); name it train, val or test, or {_RANDOM}"
    )
