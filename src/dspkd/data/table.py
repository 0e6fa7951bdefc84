"""The table of a data set: one row per image, with its file, class, and lesion or patient."""

from __future__ import annotations

import hashlib
import json
from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from dspkd.data.part_names import is_unknown
from dspkd.errors import DataError, first_few

UNLABELLED = -1
"""The label of an image without one."""


@dataclass(frozen=True)
class Origin:
    """How a data set was read: what its user should know before hours are spent on it.

    Attributes
    ----------
    layout
        The layout as which it was read.
    group
        The column of lesion or patient ids; "" where none is used.
    parts
        What names the official parts, such as "column 'split'"; "" where nothing does.
    unclear
        What may name official parts and is not understood, with what would help; "" where nothing does.
    notes
        Lines about what was assumed or left out.
    doubts
        Lines about columns that look like lesion or patient ids and are not used.
    unread
        Files that may be images and cannot be read.
    merged
        Number of images without an id that were put into one group with a near copy.
    columns
        ``{attribute: column}`` of the attributes whose columns the user names: see `dspkd.data.metadata`.
    """

    layout: str = ""
    group: str = ""
    parts: str = ""
    unclear: str = ""
    notes: tuple[str, ...] = ()
    doubts: tuple[str, ...] = ()
    unread: tuple[Path, ...] = ()
    merged: int = 0
    columns: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, eq=False)
class Table:
    """N images, one per row.

    Attributes
    ----------
    classes
        Names of the K classes; a label is a position in it.
    ids
        N unique names of images; they stay the same when the data set moves to another folder.
    paths
        N image files.
    labels
        ``[N]`` int64, in [0, K).
    groups
        N names of lesions or patients: images of one group are nearly copies and must stay together in a split.
        An image of unknown group is a group of its own, see `group_or_own`.
    attributes
        ``{column: N cells}``, the other metadata of the images, such as sex or age; "" is unknown.
    root
        The folder of the data set.
    parts
        The part of each image as published: ``train``, ``val`` or ``test``, "" or ``?CELL`` where it is none of these;
        empty where the data set has no official parts.
    origin
        How the data set was read.
    labelled
        Number of labelled images, which come first; the others have the label `UNLABELLED`. None: all have labels.
    soft_labels
        ``[N, K]`` float32, the weights of the classes where readers of an image name several: they sum to 1, and the
        label has the largest. None where an image has its label alone; zeros for an unlabelled one.

    Raises
    ------
    DataError
        Columns differ in length, an id occurs twice, or a label is not a position in `classes`.
    """

    classes: tuple[str, ...]
    ids: tuple[str, ...]
    paths: tuple[Path, ...]
    labels: NDArray[np.int64]
    groups: tuple[str, ...]
    attributes: Mapping[str, tuple[str, ...]]
    root: Path
    parts: tuple[str, ...] = ()
    origin: Origin = field(default_factory=Origin)
    labelled: int | None = None
    soft_labels: NDArray[np.float32] | None = None

    def __post_init__(self) -> None:
        lengths = {name: len(getattr(self, name)) for name in ("ids", "paths", "labels", "groups")}
        lengths |= {name: len(cells) for name, cells in self.attributes.items()}
        if len(set(lengths.values())) > 1:
            raise DataError(f"{self.root}: the columns of a table must be of one length, got {lengths}")
        twice = repeated(self.ids)
        if twice:
            raise DataError(f"{self.root}: ids must be unique; these occur more than once: {first_few(twice)}")
        labels, others = (
            self.labels[: self.labelled],
            self.labels[len(self) if self.labelled is None else self.labelled :],
        )
        assert (others == UNLABELLED).all(), "images without labels come last"
        assert self.soft_labels is None or self.soft_labels.shape == (len(self), len(self.classes)), "one row an image"
        if len(labels) and not 0 <= labels.min() <= labels.max() < len(self.classes):
            raise DataError(
                f"{self.root}: labels must lie in [0, {len(self.classes)}), got {labels.min()} to {labels.max()}"
            )

    def __len__(self) -> int:
        return len(self.ids)

    def take(self, rows: NDArray[np.int64] | NDArray[np.bool_] | Sequence[int]) -> Table:
        """Return the table of these rows, in this order; the classes stay, even those without an image."""
        kept = np.arange(len(self))[rows].tolist()
        return replace(
            self,
            ids=tuple(self.ids[row] for row in kept),
            paths=tuple(self.paths[row] for row in kept),
            labels=self.labels[kept],
            groups=tuple(self.groups[row] for row in kept),
            attributes={name: tuple(cells[row] for row in kept) for name, cells in self.attributes.items()},
            parts=tuple(self.parts[row] for row in kept) if self.parts else (),
            soft_labels=None if self.soft_labels is None else self.soft_labels[kept],
        )

    def counts(self) -> dict[str, tuple[int, int]]:
        """Return ``{class: (images, named lesions or patients)}``; one that mixes classes counts for each of them."""
        return {name: (len(groups), named(groups)) for name, groups in self._groups_of_class().items()}

    def units(self) -> dict[str, int]:
        """Return ``{class: groups}``, an image without an id being a group of its own: what a split can move."""
        return {name: len(set(groups)) for name, groups in self._groups_of_class().items()}

    def _groups_of_class(self) -> dict[str, list[str]]:
        groups: list[list[str]] = [[] for _ in self.classes]
        for label, group in zip(self.labels.tolist(), self.groups, strict=True):
            groups[label].append(group)
        return dict(zip(self.classes, groups, strict=True))

    @property
    def digest(self) -> str:
        """SHA-256, in hex, of classes, ids, labels and groups: what a split and a score depend on, not the folder."""
        content = [self.classes, self.ids, self.labels.tolist(), self.groups]
        content += [] if self.soft_labels is None else [self.soft_labels.tolist()]
        return hashlib.sha256(json.dumps(content).encode()).hexdigest()


def group_or_own(groups: Iterable[str], ids: Iterable[str]) -> tuple[str, ...]:
    """Return the groups, with ``image:<id>`` in place of a missing one: such an image is a group of its own."""
    return tuple(f"image:{name}" if is_unknown(group) else group for group, name in zip(groups, ids, strict=True))


def is_named(group: str) -> bool:
    """Return whether a group is a lesion or patient that the data set names.

    Otherwise it is an image of unknown lesion and patient, or copies that were put together.
    """
    return not group.startswith(("image:", "copies:"))


def named(groups: Iterable[str]) -> int:
    """Return the number of lesions or patients that the data set names.

    >>> named(["L1", "L1", "L2", "image:b"]), named(["image:a", "copies:b"])
    (2, 0)
    """
    return len({group for group in groups if is_named(group)})


def count_of(groups: Collection[str]) -> str:
    """Return the number of groups with what they are.

    >>> count_of({"L1"}), count_of({"L1", "L2"}), count_of({"image:a"})
    ('1 lesion or patient', '2 lesions or patients', '1 image')
    """
    one = {"lesions or patients": "lesion or patient", "images": "image"}
    unit = unit_of(groups)
    return f"{len(groups):,} {one.get(unit, unit) if len(groups) == 1 else unit}"


def unit_of(groups: Iterable[str]) -> str:
    """Return what the groups are, in the plural.

    >>> unit_of(["L1", "L2"]), unit_of(["L1", "image:b"]), unit_of(["image:a", "copies:b"])
    ('lesions or patients', 'lesions, patients or images without an id', 'images')
    """
    known = {is_named(group) for group in groups}
    if known == {True, False}:
        return "lesions, patients or images without an id"
    return "lesions or patients" if known == {True} else "images"


def refuse_missing(paths: Sequence[Path], source: Path) -> None:
    """Raise DataError if image files that `source` lists are missing, with their number and the first few."""
    if missing := missing_of(paths):
        raise DataError(f"{source}: {len(missing)} of {len(paths)} image files are missing: {first_few(missing)}")


def missing_of(paths: Sequence[Path]) -> list[str]:
    """Return those of the files that do not exist; each folder is listed once."""
    listed = {folder: _names_in(folder) for folder in {path.parent for path in paths}}
    return [str(path) for path in paths if path.name not in listed[path.parent]]


def _names_in(folder: Path) -> set[str]:
    try:
        return {file.name for file in folder.iterdir()}
    except OSError:
        return set()


def rows_of(names: Iterable[str]) -> dict[str, list[int]]:
    """Return ``{name: its rows}``, names in order of their first row."""
    rows: dict[str, list[int]] = defaultdict(list)
    for row, name in enumerate(names):
        rows[name].append(row)
    return dict(rows)


def repeated(names: Sequence[str]) -> list[str]:
    """Return the names that occur more than once, each once, in order of their second occurrence."""
    seen: set[str] = set()
    twice: dict[str, None] = {}
    for name in names:
        if name in seen:
            twice[name] = None
        seen.add(name)
    return list(twice)
