"""A data set ready for training or evaluation: its table, and the split into training, validation and test set."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Literal

from dspkd.data import class_map, leakage
from dspkd.data import split as splits
from dspkd.data.data_card import Attribute
from dspkd.data.data_card import card as data_card
from dspkd.data.leakage import Leak
from dspkd.data.readers import read
from dspkd.data.split import Split
from dspkd.data.table import Table
from dspkd.errors import DataError


@dataclass(frozen=True, kw_only=True)
class SplitOptions:
    """How to split a table: by `file`, by `column`, or by `val`, `test`, `seed` and `by`.

    Parameters
    ----------
    val, test, seed, by
        As for `dspkd.data.split.split`; they do not matter where a file or a column is named.
    file
        A CSV that `Split.save` wrote, such as a run's own ``split.csv``.
    column
        An attribute of the table that names the part of each image: an official split.
    waiver
        Why a lesion or patient may be in several parts; without it such a split is refused.

    Raises
    ------
    DataError
        File and column are both named, or the waiver is blank.
    """

    val: float = 0.15
    test: float = 0.2
    seed: int = 0
    by: Literal["group", "image"] = "group"
    file: str | Path | None = None
    column: str | None = None
    waiver: str | None = None

    def __post_init__(self) -> None:
        if self.file is not None and self.column is not None:
            raise DataError("split: file and column both name the part of an image; keep one of the two")
        if self.waiver is not None and not self.waiver.strip():
            raise DataError(
                "split.waiver is empty; give the reason why lesions may be in several parts, or leave it out"
            )


BY_GROUP = SplitOptions()
"""The default: 65 % training, 15 % validation and 20 % test images, no lesion or patient in two parts."""


@dataclass(frozen=True, eq=False)
class Dataset:
    """A table and its split.

    Attributes
    ----------
    table
        All images.
    split
        The part of each image.
    leak
        Lesions or patients in several parts, which the waiver accepts; None where there are none.
    """

    table: Table
    split: Split
    leak: Leak | None

    @cached_property
    def card(self) -> dict[str, Attribute]:
        """The data card: how many images of each part have which value of an attribute."""
        return data_card(self.table, self.split)

    @classmethod
    def of(cls, table: Table, options: SplitOptions = BY_GROUP) -> Dataset:
        """Split a table.

        Raises
        ------
        DataError
            The file or column does not fit the table, a class has no training image, or a lesion or patient is in
            several parts and there is no waiver.
        """
        if options.file is not None:
            split, where = splits.load(Path(options.file), table, by="image"), str(options.file)
        elif options.column is not None:
            split, where = splits.from_column(table, options.column, by="image"), f"split.column = {options.column!r}"
        else:
            split = splits.split(table, val=options.val, test=options.test, seed=options.seed, by=options.by)
            where = f"split.by = {options.by!r}"
        return cls(table, split, leakage.accept(table, split, waiver=options.waiver, where=where))


def load(
    path: str | Path,
    *,
    layout: str = "auto",
    group: str | None = None,
    classes: str | Path | None = None,
    split: SplitOptions = BY_GROUP,
) -> Dataset:
    """Read a data set, map its classes, and split it.

    Parameters
    ----------
    path, layout, group
        As for `dspkd.data.read`.
    classes
        A class map, see `dspkd.data.class_map.load`; None keeps the classes as they are.
    split
        How to split it.

    Raises
    ------
    DataError
        See `load_table` and `Dataset.of`.
    """
    return Dataset.of(load_table(path, layout=layout, group=group, classes=classes), split)


def load_table(
    path: str | Path, *, layout: str = "auto", group: str | None = None, classes: str | Path | None = None
) -> Table:
    """Read a data set and map its classes, without a split; arguments as for `load`.

    Raises
    ------
    DataError
        The data set does not match its layout, or the class map does not fit it.
    """
    table = read(layout, Path(path), group=group)
    return table if classes is None else class_map.load(Path(classes)).apply(table)
