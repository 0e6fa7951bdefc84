"""Unlabelled images beside a data set: found in a folder, and screened against the validation and test set."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from dspkd.data.audit import duplicates, fingerprint
from dspkd.data.decode_cache import fingerprints
from dspkd.data.image_files import bare, images_below, refuse_other_encodings
from dspkd.data.readers import read
from dspkd.data.readers._groups import ids_beside
from dspkd.data.readers._people_in_names import people_in_names
from dspkd.data.readers._spelling import spelled
from dspkd.data.split import UNUSED, Split
from dspkd.data.table import UNLABELLED, Table
from dspkd.errors import DataError, RunError, first_few
from dspkd.runtime import csv_text
from dspkd.runtime.files import atomic_open, remembered
from dspkd.runtime.progress import Progress

COPY, SAME_NAME, SAME_LESION, SAME_FILE, DAMAGED = "copy", "same name", "same lesion", "same file", "damaged"
"""Why an image is left out."""

_REASONS = {
    COPY: "copies of validation or test images",
    SAME_NAME: "with the name of a validation or test image",
    SAME_LESION: "of lesions or patients of the validation or test set",
    SAME_FILE: "files that are labelled images, too",
    DAMAGED: "files that cannot be read",
}


_VERSION = 2
"""Part of the key of what is cached; raised when the search for copies changes, or what is kept."""


@dataclass(frozen=True, eq=False)
class UnlabelledImages:
    """M images without labels.

    Attributes
    ----------
    folder
        Where they are.
    ids
        M unique names: ``unlabelled/`` and the path in the folder.
    paths
        M files.
    groups
        M names of lesions or patients; "" where they are unknown.
    left_out
        ``{id: reason}`` of the images that were found in the folder and left out.
    """

    folder: Path
    ids: tuple[str, ...]
    paths: tuple[Path, ...]
    groups: tuple[str, ...]
    left_out: Mapping[str, str]

    def __len__(self) -> int:
        return len(self.ids)

    def after(self, table: Table) -> Table:
        """Return the table followed by these images, whose label is `UNLABELLED`."""
        soft = table.soft_labels
        return replace(
            table,
            ids=table.ids + self.ids,
            paths=table.paths + self.paths,
            labels=np.concatenate([table.labels, np.full(len(self), UNLABELLED, dtype=np.int64)]),
            groups=table.groups + tuple(f"image:{name}" for name in self.ids),
            attributes={name: cells + ("",) * len(self) for name, cells in table.attributes.items()},
            parts=table.parts + ("",) * len(self) if table.parts else (),
            labelled=len(table),
            soft_labels=soft if soft is None else np.pad(soft, ((0, len(self)), (0, 0))),
        )

    def without(self, reasons: Mapping[str, str]) -> UnlabelledImages:
        """Return the images without those of `reasons`, ``{id: reason}``; DataError if none is left."""
        kept = [row for row, name in enumerate(self.ids) if name not in reasons]
        if not kept:
            raise DataError(f"data.unlabelled: {self.folder}: no image is left: {_counted(reasons)}")
        return UnlabelledImages(
            self.folder,
            tuple(self.ids[row] for row in kept),
            tuple(self.paths[row] for row in kept),
            tuple(self.groups[row] for row in kept),
            dict(reasons),
        )

    def __str__(self) -> str:
        """Return what is used and what is left out, in words."""
        found = len(self) + len(self.left_out)
        left_out = f"; left out: {_counted(self.left_out)}" if self.left_out else "; none is left out"
        known = sum(map(bool, self.groups))
        lesions = (
            f"lesions or patients are known of {known:,}"
            if known
            else "lesions and patients are unknown: other photographs of a validation or test lesion are not found"
        )
        return f"unlabelled: {len(self):,} of {found:,} images in {self.folder}{left_out}; {lesions}"

    def save(self, path: Path) -> None:
        """Write as CSV which images are used, and why others are not; RunError if another choice is there."""
        rows = [(name, "") for name in self.ids] + sorted(self.left_out.items())
        if path.exists():
            if changed := sorted(set(_saved(path)) ^ set(rows)):
                raise RunError(
                    f"{self.folder}: the unlabelled images have changed since this run began, such as "
                    f"{changed[0][0]!r}; train into another folder"
                )
            return
        with atomic_open(path) as file:
            writer = csv_text.Writer(file)
            writer.writerow(("id", "left_out"))
            writer.writerows(rows)


def used_names(path: Path) -> set[str]:
    """Return the names, without folders and suffixes, of the images that a saved choice uses; none without a file."""
    return {bare(name) for name, reason in _saved(path) if not reason} if path.exists() else set()


def _saved(path: Path) -> list[tuple[str, str]]:
    with path.open(encoding="utf-8", newline="") as file:
        return [(row[0], row[1]) for row in csv_text.Reader(file)][1:]


def find(folder: Path, group: str | None = None) -> UnlabelledImages:
    """Return all images in and below a folder; where it is a data set, with lesions or patients, and without labels.

    `group` is the column of lesions or patients of the labelled images; where there is no such column, one is chosen.

    Raises
    ------
    DataError
        There is no such folder, or no image in it.
    """
    if not folder.is_dir():
        raise DataError(f"data.unlabelled: {folder}: there is no such folder")
    paths = images_below(folder)
    refuse_other_encodings(paths)
    if not paths:
        raise DataError(f"data.unlabelled: {folder}: no image in it or below")
    group_of: dict[Path, str] = {}  # a plain folder of images has none; `__str__` says that lesions are unknown
    for column in dict.fromkeys((group, None)):
        with suppress(DataError):
            table = read("auto", folder, group=column)
            known = zip(table.paths, table.groups, table.ids, strict=True)
            group_of = {path: own for path, own, name in known if own != f"image:{name}"}
            break
    if not group_of:  # a table of unlabelled images has no column of classes
        with suppress(DataError):
            beside = ids_beside(folder, [path.relative_to(folder).as_posix() for path in paths], group)
            group_of = dict(zip(paths, beside, strict=True))
    if not any(group_of.values()):
        group_of = dict(zip(paths, people_in_names([path.name for path in paths], 0), strict=False))
    return UnlabelledImages(
        folder,
        tuple(f"unlabelled/{path.relative_to(folder).as_posix()}" for path in paths),
        tuple(paths),
        tuple(group_of.get(path, "") for path in paths),
        {},
    )


def screened(
    images: UnlabelledImages, table: Table, split: Split, progress: Progress, *, cache: Path | None = None
) -> UnlabelledImages:
    """Return the images without those that would leak the validation or test set, or repeat a labelled file.

    Left out are copies of validation and test images, as `dspkd data audit` finds them (flipped, rotated, resized,
    re-encoded, slightly cropped, cropped to the centre square); images with their names, or of their lesions or
    patients; files that are equal to a labelled one; and damaged files. Copies of training images in another size or
    encoding stay.

    Parameters
    ----------
    images
        From `find`.
    table, split
        The labelled images.
    progress
        Receives the progress of the comparison.
    cache
        Folder where the result is kept for other runs, under a digest of all files; None keeps it nowhere.

    Raises
    ------
    DataError
        No image is left.
    """
    held_out = np.sort(np.concatenate([split.places("val"), split.places("test")]))
    labelled, own = fingerprints(table.paths), fingerprints(images.paths)
    evaluated = [labelled[row] for row in held_out]
    copies = _kept(cache, [*evaluated, b"|", *own], lambda: _copies(images, table, held_out, progress))
    assert len(copies) == len(own), "a reason, or none, for each image"
    taken = {spelled(table.groups[row]) for row in held_out}
    names = {bare(table.ids[row]) for row in held_out}
    same_file = {labelled[row] for row in np.flatnonzero(split.parts != UNUSED)}
    reasons: dict[str, str] = {}
    for name, group, digest, reason in zip(images.ids, images.groups, own, copies, strict=True):
        if reason:
            reasons[name] = reason
        elif bare(name) in names:
            reasons[name] = SAME_NAME
        elif group and spelled(group) in taken:
            reasons[name] = SAME_LESION
        elif digest in same_file:
            reasons[name] = SAME_FILE
    return images.without(reasons)


def _copies(images: UnlabelledImages, table: Table, held_out: NDArray[np.int64], progress: Progress) -> list[str]:
    """Return for each image why it is left out, as a copy of a held-out one or a damaged file; "" for the others."""
    paths, first = (*(table.paths[row] for row in held_out), *images.paths), len(held_out)
    prints = fingerprint.take(paths, progress)
    pairs = duplicates.find(prints, progress)
    cluster_N = duplicates.clusters(pairs.first, pairs.second, len(prints))
    guarded = set(cluster_N[:first].tolist())
    return [
        DAMAGED if prints.complaints[place] else COPY if int(cluster_N[place]) in guarded else ""
        for place in range(first, len(prints))
    ]


def _kept(cache: Path | None, files: list[bytes], compute: Callable[[], list[str]]) -> list[str]:
    """Return what `compute` returned for files of this content, in this order, before, if that is in the cache."""
    name = hashlib.blake2b(b"".join((str(_VERSION).encode(), *files)), digest_size=8).hexdigest()
    kept: list[str] = remembered(cache and cache / f"unlabelled-{name}.json", compute)
    return kept


def _counted(reasons: Mapping[str, str]) -> str:
    counts = Counter(reasons.values())
    example = first_few(sorted(reasons))
    return ", ".join(f"{counts[reason]:,} {words}" for reason, words in _REASONS.items() if counts[reason]) + (
        f" ({example})"
    )
