"""Training, validation and test set: no lesion or patient in two of them."""

from __future__ import annotations

import hashlib
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from dspkd.data.assignment import assign, grouped
from dspkd.data.csv_rows import read_rows
from dspkd.data.table import Table, count_of, is_named, unit_of
from dspkd.errors import DataError, first_few, suggest
from dspkd.runtime import csv_text
from dspkd.runtime.files import atomic_open
from dspkd.runtime.progress import Counts

PARTS = ("train", "val", "test")
"""The parts of a split."""

UNUSED = "unused"
"""In a saved split: an image that is in no part. Fold teachers leave out their student's test set so."""


@dataclass(frozen=True, eq=False)
class Split:
    """The part that each image of a table is in.

    Attributes
    ----------
    parts
        ``[N]`` text, out of `PARTS`, in the order of the table's rows.
    """

    parts: NDArray[np.str_]

    def rows(self, part: Literal["train", "val"]) -> NDArray[np.int64]:
        """Return the rows of the table in the training or validation set, ascending.

        Raises
        ------
        DataError
            `part` is "test": the test set is held out, and only `dspkd.runs.holdout.evaluate_test` returns its rows.
        """
        if part not in ("train", "val"):
            raise DataError(
                "the test set is held out; dspkd.runs.holdout.evaluate_test returns its rows and records the evaluation"
            )
        return self.places(part)

    def places(self, part: str) -> NDArray[np.int64]:
        """Return the rows of any part, to count, decode and guard them; never to evaluate or select a network."""
        return np.flatnonzero(self.parts == part)

    @property
    def digest(self) -> str:
        """SHA-256, in hex, of the parts; it names the split together with the digest of its table."""
        return hashlib.sha256("\n".join(self.parts.tolist()).encode()).hexdigest()

    def save(self, path: Path, table: Table) -> None:
        """Write the split of `table` as CSV, all or nothing: ``id,group,label,part``, one row per image."""
        names = (table.classes[label] for label in table.labels)
        with atomic_open(path) as file:
            writer = csv_text.Writer(file)
            writer.writerow(("id", "group", "label", "part"))
            writer.writerows(zip(table.ids, table.groups, names, self.parts.tolist(), strict=True))


def load(path: Path, table: Table, *, by: Literal["group", "image"] = "group") -> Split:
    """Read the split of `table` that `Split.save` wrote; the order of its rows does not matter.

    Parameters
    ----------
    path
        A CSV with the columns ``id``, ``group``, ``label`` (name of the class) and ``part``.
    table
        The images that it splits.
    by
        "group" refuses a split in which a group is in two parts; "image" accepts it.

    Raises
    ------
    DataError
        The images are not those of the table, a label or a group has changed, a part is unknown, or a group
        is in two parts.
    """
    rows = read_rows(path)
    row_of = rows.unique("id")
    unsplit, unknown = [i for i in table.ids if i not in row_of], sorted(row_of.keys() - set(table.ids))
    if unsplit or unknown:
        raise DataError(
            f"{path}: is not a split of {table.root}: {len(unsplit)} images of the data set are not in the split "
            f"({first_few(unsplit)}), {len(unknown)} of the split are not in the data set ({first_few(unknown)})"
        )
    order = [row_of[i] for i in table.ids]
    current = {"label": [table.classes[label] for label in table.labels], "group": table.groups}
    for column, values in current.items():
        saved = rows.column(column)
        for row, value in zip(order, values, strict=True):
            if saved[row] != value and (column == "label" or is_named(saved[row]) or is_named(value)):
                raise DataError(
                    f"{rows.at(row)}: the {column} is {saved[row]!r}, but {value!r} in {table.root}; "
                    "make a new split of this data set, or read the one that was split"
                )
    parts = rows.column("part")
    for row, part in enumerate(parts):
        if part not in (*PARTS, UNUSED):
            raise DataError(f"{rows.at(row)}: there is no part {part!r}; {suggest(part, PARTS)}")
    loaded = Split(np.array([parts[row] for row in order]))
    if by == "group":
        refuse_crossing(path, table, loaded)
    return loaded


def refuse_crossing(path: Path, table: Table, split: Split) -> None:
    """Raise DataError if a group is in two parts."""
    groups = crossing(table, split)
    if groups:
        raise DataError(
            f"{path}: {count_of(groups)} in more than one part: {first_few(groups)}; "
            "split by group, or set by = 'image' if that is intended"
        )


def crossing(table: Table, split: Split) -> list[str]:
    """Return the groups that are in more than one part, in the order of the table."""
    parts_of: dict[str, set[str]] = {}
    for group, part in zip(table.groups, split.parts.tolist(), strict=True):
        parts_of.setdefault(group, set()).add(part)
    return [group for group, parts in parts_of.items() if len(parts) > 1]


def trained_groups(path: Path) -> set[str]:
    """Return the groups in the training set of a saved split."""
    return _trained(path, "group")


def trained_images(path: Path) -> set[str]:
    """Return the ids of the images in the training set of a saved split."""
    return _trained(path, "id")


def _trained(path: Path, column: str) -> set[str]:
    rows = read_rows(path)
    return {cell for cell, part in zip(rows.column(column), rows.column("part"), strict=True) if part == "train"}


def split(
    table: Table, *, val: float = 0.15, test: float = 0.2, seed: int = 0, by: Literal["group", "image"] = "group"
) -> Split:
    r"""Split a table so that every class has its share in every part, and no group is in two parts.

    Groups are taken in an order given by the hash of the seed and the group's name, and each goes to the part that
    lacks most of its class. The order of rows does not matter. Groups that mix classes come first; each goes where
    :math:`\sum_c w_c n_{gc} d_{pc}` is largest, with :math:`n_{gc}` its images of class c, :math:`d_{pc}` what part p
    still lacks of its share of the images assigned so far, and :math:`w_c = 1/Q_c`, :math:`Q_c = \sum_g n_{gc}^2` over
    these groups. Groups are not sorted by size: the largest would all end in the largest part, and lesions
    photographed once would fill the test set.

    Parameters
    ----------
    val, test
        Shares of the images, at least 0, below 1 together; the rest is the training set. 0 leaves the part empty.
    seed
        Another seed gives another split.
    by
        "image" treats every image as a group of its own. Only to reproduce papers that did: see `leak_share`, and
        `dspkd.data.leakage` for the waiver that training then requires.

    Raises
    ------
    DataError
        A share is out of range, or a class has no training image.

    Notes
    -----
    With N_c images of class c and share f_p, part p gets :math:`f_p N_c` of them, plus or minus at most

    - :math:`(1 - 1/P)\,s_c` images if no group mixes classes, where s_c is the largest group of the class and P
      the number of parts whose share is above 0: at most 2/3 of one group, or of one image where the split is by image;
    - :math:`\max(s_c, M_c)` images otherwise, with s_c the largest group of class c alone and
      :math:`M_c^2 = (1 - 1/P)(1 - \sum_p f_p^2)\,K Q_c`, K the number of classes in mixed groups. Random
      assignment would stay within it on average; the choice above is never worse than that average.

    A class of few groups may therefore be absent from "val" or "test": see `report`.
    """
    if not (val >= 0 and test >= 0 and val + test < 1):
        raise DataError(f"split: val and test must be at least 0 and below 1 together, got val = {val}, test = {test}")
    group_N, counts_GK = grouped(table, by, seed, "split")
    part_G = assign(counts_GK, np.array([1 - val - test, val, test]))
    assigned = Split(np.array(PARTS)[part_G[group_N]])
    require_training_images(table, assigned)
    return assigned


def require_training_images(table: Table, split: Split) -> None:
    """Raise DataError if a class has no training image; it names the class."""
    training = report(table, split)["train"]
    groups = table.units()
    for name, (images, _) in table.counts().items():
        if not images:
            raise DataError(
                f"{table.root}: class {name!r} has no image; drop it with data.classes, or add images of it"
            )
        if not training[name][0]:
            raise DataError(
                f"{table.root}: class {name!r} has no training image: its {images} images are {groups[name]} group(s), "
                "too few; add images, or try smaller val and test or another seed"
            )


def require_no_empty_part(table: Table, split: Split) -> None:
    """Raise DataError if the training, validation or test set has no image, as happens with few or unequal groups."""
    empty = [part for part in PARTS if not len(split.places(part))]
    if empty:
        small = [f"{name} has {groups}" for name, groups in table.units().items() if 0 < groups < len(PARTS)]
        raise DataError(
            f"{table.root}: the split leaves {' and '.join(empty)} empty: its {len(set(table.groups))} "
            f"{unit_of(table.groups)} have {sizes(table)} images"
            + (f". Classes too small for three parts: {first_few(small)}; add images, or" if small else ";")
            + " try larger val and test or another seed of [split], or name a split.file"
        )


def sizes(table: Table) -> str:
    """Return how many images the largest groups have, in words."""
    images = sorted(Counter(table.groups).values(), reverse=True)
    return f"{', '.join(map(str, images[:4]))}{', ...' * (len(images) > 4)}"


def report(table: Table, split: Split) -> Counts:
    """Count the images, and the named lesions or patients, of each class in each part; see `Table.counts`."""
    return {
        part: {name: list(counts) for name, counts in table.take(split.places(part)).counts().items()} for part in PARTS
    }


def leak_share(split: Split, table: Table) -> float:
    """Return the share of test images whose group is also in training, in [0, 1]; 0 without test images."""
    training = {table.groups[row] for row in split.rows("train")}
    test = [table.groups[row] for row in split.places("test")]
    return sum(group in training for group in test) / max(len(test), 1)
