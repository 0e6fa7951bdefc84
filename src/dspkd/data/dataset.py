"""A data set ready for training or evaluation: its table, and the split into training, validation and test set."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Literal

from dspkd.data import assumptions, class_map, copies, leakage, licensing, official_split
from dspkd.data import split as splits
from dspkd.data.class_names import refuse_spellings
from dspkd.data.columns import Columns
from dspkd.data.data_card import Attribute
from dspkd.data.data_card import card as data_card
from dspkd.data.folds import fold_split
from dspkd.data.label_share import keep_labelled
from dspkd.data.leakage import Leak
from dspkd.data.readers import read
from dspkd.data.split import Split
from dspkd.data.table import Table, is_named
from dspkd.errors import DataError
from dspkd.runtime.files import user_cache
from dspkd.runtime.progress import Progress


@dataclass(frozen=True, kw_only=True)
class SplitOptions:
    """How to split a table: by `file`, by `column`, into `folds`, as published, or by `val`, `test`, `seed` and `by`.

    Parameters
    ----------
    val, test, seed, by
        As for `dspkd.data.split.split`. Where a column or the published parts are used, they only say how a missing
        validation or test set is taken out of the training set.
    file
        A CSV that `Split.save` wrote, such as a run's own ``split.csv``.
    column
        An attribute of the table that names the part of each image: an official split.
    folds, fold
        Number of folds of a cross-validation, and the one whose part is the test set, from 0; `test` does not matter.
    official
        Use the parts that the data set is published with, where it has any; False splits at random.
    labelled
        Share of the training images to keep, by lesion or patient; the others are in no part. None keeps all.
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
    official: bool = True
    labelled: float | None = None
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
"""The default: the published parts, or 65 % training, 15 % validation and 20 % test images, no group in two parts."""


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
    how
        How the split was made, in a line.
    """

    table: Table
    split: Split
    leak: Leak | None
    how: str = ""

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
        split, how, where = _split(table, options)
        if options.labelled is not None:
            every = len(split.rows("train"))
            split = keep_labelled(table, split, options.labelled, seed=options.seed, by=options.by)
            how += f"; {len(split.rows('train')):,} of {every:,} training images are used, as split.labelled says"
        return cls(table, split, leakage.accept(table, split, waiver=options.waiver, where=where), how)

    @property
    def notes(self) -> tuple[str, ...]:
        """How the data set was read and split, in lines."""
        return (*assumptions.lines(self.table), *((self.how,) if self.how else ()))

    @property
    def unclear(self) -> str:
        """What may name the parts of a published split and was not used, where the split is random; else ""."""
        unclear = self.table.origin.unclear
        random = self.how.startswith("split at random") and "split.official = false" not in self.how
        if not (random and unclear):
            return ""
        return f"{unclear}: the split is at random, and published test images may be trained on"

    @property
    def warnings(self) -> tuple[str, ...]:
        """What a reader of results must know: an unclear split, missing ids, files left out, absent classes."""
        return (*([self.unclear] if self.unclear else []), *assumptions.warnings(self.table, self.split))


def _split(table: Table, options: SplitOptions) -> tuple[Split, str, str]:
    """Return the split, how it was made, and what defines it, for messages."""
    val, test, seed = options.val, options.test, options.seed
    parts = table.origin.parts
    if options.file is not None:
        how = f"split read from {options.file}" + (f"; the published parts ({parts}) are not used" if parts else "")
        split = splits.load(Path(options.file), table, by="image")
        official_split.refuse_untrained(table, split, str(options.file), "change that file")
        return split, how, str(options.file)
    if options.column is not None:
        split, how = official_split.from_column(table, options.column, val=val, test=test, seed=seed, by="image")
        where = f"column {options.column!r}"
        official_split.refuse_untrained(table, split, where, official_split.NO_COLUMN)
        return split, how, f"split.column = {options.column!r}"
    if table.parts and options.official and options.folds is None:
        split, how = official_split.of(table, val=val, test=test, seed=seed)
        official_split.refuse_untrained(table, split, parts, official_split.RESPLIT)
        return split, how, f"{table.root}: the split as published, by {parts}"
    if options.folds is not None and options.fold is not None:
        split = fold_split(table, folds=options.folds, fold=options.fold, val=val, seed=seed, by=options.by)
        how = f"fold {options.fold} (from 0) of {options.folds} is the test set"
    else:
        split, how = splits.split(table, val=val, test=test, seed=seed, by=options.by), "split"
    known = all(map(is_named, table.groups))
    unit = "image" if options.by == "image" or not any(map(is_named, table.groups)) else "lesion or patient"
    copied = ", copies together" if table.origin.merged and unit == "image" and options.by == "group" else ""
    how += f" at random by {unit}{copied}{'' if known or unit == 'image' else ' where known'}, seed {options.seed}"
    if table.origin.unclear and not options.official:
        how += "; no column or folder is used, as split.official = false"
    if table.parts:
        reason = "split.official = false" if options.folds is None else "split.folds divides all images"
        how += f"; the published parts ({parts}) are not used, as {reason}"
    return split, how, f"split.by = {options.by!r}"


def load(
    path: str | Path,
    *,
    layout: str = "auto",
    group: str | None = None,
    columns: Columns = Columns(),  # noqa: B008 - frozen
    licences: Sequence[str] = (),
    classes: str | Path | None = None,
    split: SplitOptions = BY_GROUP,
    merge_copies: bool = True,
) -> Dataset:
    """Read a data set, map its classes, and split it.

    Parameters
    ----------
    path, layout, group, columns
        As for `dspkd.data.read`.
    licences
        Licences, such as "CC-0" and "CC-BY": images under another one, or under none, are left out. Empty keeps all.
    classes
        A class map, see `dspkd.data.class_map.load`; None keeps the classes as they are.
    split
        How to split it.
    merge_copies
        As for `load_table`.

    Raises
    ------
    DataError
        See `load_table` and `Dataset.of`.
    """
    table = load_table(
        path, layout=layout, group=group, columns=columns, licences=licences, classes=classes, merge_copies=merge_copies
    )
    return Dataset.of(table, split)


def load_table(
    path: str | Path,
    *,
    layout: str = "auto",
    group: str | None = None,
    columns: Columns = Columns(),  # noqa: B008 - frozen
    licences: Sequence[str] = (),
    classes: str | Path | None = None,
    merge_copies: bool = True,
    cache: Path | None = None,
    progress: Progress | None = None,
    log: Callable[[str], None] | None = None,
) -> Table:
    """Read a data set and map its classes, without a split.

    Parameters
    ----------
    path, layout, group, columns, licences, classes
        As for `load`.
    merge_copies
        Put copies of images without a lesion or patient id into one group; see `dspkd.data.copies.merge`. All
        images are read once for that.
    cache, progress, log
        Where the copies are remembered, by default in the user's cache folder, and what learns of the search.

    Raises
    ------
    DataError
        The data set does not match its layout, or the class map does not fit it.
    """
    table = licensing.keep(read(layout, Path(path), group=group, columns=columns), licences)
    if classes is not None:
        table = class_map.load(Path(classes)).apply(table)
    refuse_spellings(table)
    return copies.merge(table, cache=cache or user_cache(), progress=progress, log=log) if merge_copies else table
