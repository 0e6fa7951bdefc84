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
from dspkd.data.folds import fold_split
from dspkd.data.leakage import Leak
from dspkd.data.readers import read
from dspkd.data.split import Split
from dspkd.data.table import Table
from dspkd.errors import DataError


@dataclass(frozen=True, kw_only=True)
class SplitOptions:
    """How to split a table: by `file`, by `column`, into `folds`, or by `val`, `test`, `seed` and `by`.

    Parameters
    ----------
    val, test, seed, by
        As for `dspkd.data.split.split`; they do not matter where a file or a column is named.
    file
        A CSV that `Split.save` wrote, such as a run's own ``split.csv``.
    column
        An attribute of the table that names the part of each image: an official split.
    folds, fold
        Number of folds of a cross-validation, and the one whose part is the test set, from 0; `test` does not matter.
    waiver
        Why a lesion or patient may be in several parts; without it such a split is refused.

    Raises
    ------
    DataError
        Several of file, column and folds are given, folds without a fold, or the waiver is blank.
    """

    val: float = 0.15
    test: float = 0.2
    seed: int = 0
    by: Literal["group", "image"] = "group"
    file: str | Path | None = None
    column: str | None = None
    folds: int | None = None
    fold: int | None = None
    waiver: str | None = None

    def __post_init__(self) -> None:
        several = [name for name in ("file", "column", "folds") if getattr(self, name) is not None]
        if len(several) > 1:
            raise DataError(f"split: {' and '.join(several)} both name the part of an image; keep one of the two")
        if (self.folds is None) != (self.fold is None):
            raise DataError("split: folds and fold belong together, such as folds = 5, fold = 0")
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

    @property
    def missing_classes(self) -> list[str]:
        """Which classes the validation and the test set lack, a sentence for each set that lacks one."""
        counts = splits.report(self.table, self.split)
        lacking = {
            name: [
                f"{label} ({wholes[1]})" for label, wholes in self.table.counts().items() if not counts[part][label][0]
            ]
            for part, name in (("val", "validation"), ("test", "test"))
        }
        return [
            f"no {name} image of {', '.join(labels)}: left out of means (in brackets: the class's lesions or patients)"
            for name, labels in lacking.items()
            if labels
        ]

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
        elif options.folds is not None and options.fold is not None:
            split = fold_split(
                table, folds=options.folds, fold=options.fold, val=options.val, seed=options.seed, by=options.by
            )
            where = f"split.by = {options.by!r}"
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
