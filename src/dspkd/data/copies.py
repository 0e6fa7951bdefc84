"""Put copies of images without a lesion or patient id into one group, so that no split separates them."""

from __future__ import annotations

import hashlib
import os
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from dspkd.data import copies_by_name
from dspkd.data.table import Table, is_named
from dspkd.errors import DataError
from dspkd.runtime.files import remembered
from dspkd.runtime.progress import Progress

if TYPE_CHECKING:
    from dspkd.data.audit.duplicates import Pairs

_VERSION = 2
"""Part of the key of what is cached; raised when the search for copies changes."""


_LONG = 1000
"""Images from which on a search is announced."""


def merge(
    table: Table,
    *,
    found: Pairs | None = None,
    cache: Path | None = None,
    progress: Progress | None = None,
    log: Callable[[str], None] | None = None,
) -> Table:
    """Return the table with copies in one group, where at least one of a pair has no lesion or patient id.

    They are near copies by content, and by name; see `dspkd.data.copies_by_name`. Groups that the data set names stay
    apart from each other, unless an image without an id is a copy of both.

    Parameters
    ----------
    found
        The copies, where all images were searched already.
    cache
        Folder in which the pairs are kept, so that the same files are searched once; None keeps nothing.
    progress
        Receives the progress of the search.
    log
        Called with a line before a search of `_LONG` images or more: it takes some 5 ms for each.

    Returns
    -------
    Table
        ``table.origin.merged`` is the number of images without an id that are in a group with another one.
    """
    unnamed = np.array([not is_named(group) for group in table.groups], dtype=bool)
    if not unnamed.any() or len(table) < 2:
        return table
    from dspkd.data.audit.audit import merged_groups

    path = None if cache is None else cache / "copies" / f"{_key(table)}.json"
    kept = remembered(path, lambda: _rows(found if found is not None else _search(table, progress, log)))
    table = copies_by_name.together(table)
    pairs = np.array(kept, dtype=np.int64).reshape(-1, 2)
    chosen = unnamed[pairs[:, 0]] | unnamed[pairs[:, 1]]
    groups = merged_groups(table, *pairs[chosen].T)
    size = Counter(groups)
    merged = sum(bool(alone) and size[group] > 1 for alone, group in zip(unnamed, groups, strict=True))
    return replace(table, groups=groups, origin=replace(table.origin, merged=merged))


def among(
    table: Table,
    own: Table,
    *,
    cache: Path | None = None,
    progress: Progress | None = None,
    log: Callable[[str], None] | None = None,
) -> list[frozenset[str]]:
    """Return for each image of a table the ids of the images of `own` of which it is a near copy.

    Copies are flipped, rotated, resized, re-encoded or slightly cropped, as `dspkd data audit` finds them; copies of
    one image are copies of each other. Images that do not decode have none.

    Parameters
    ----------
    cache
        Folder in which the result is kept, so that the same files are searched once; None keeps nothing.
    progress
        Receives the progress of the search.
    log
        Called with a line before a search of `_LONG` images or more: it takes some 5 ms for each.
    """
    from dspkd.data.audit import duplicates, fingerprint

    def search() -> list[list[str]]:
        if log is not None and len(own) + len(table) >= _LONG:
            log(f"searching for copies of {len(own):,} images among {len(table):,}: some 5 ms for each, once")
        prints = fingerprint.take((*own.paths, *table.paths), progress)
        pairs = duplicates.find(prints, progress)
        cluster_N = duplicates.clusters(pairs.first, pairs.second, len(prints)).tolist()
        ids_of: dict[int, list[str]] = {}
        for name, cluster in zip(own.ids, cluster_N[: len(own)], strict=True):
            ids_of.setdefault(cluster, []).append(name)
        return [ids_of.get(cluster, []) for cluster in cluster_N[len(own) :]]

    found = remembered(cache and cache / "copies" / f"{_key(own)}-{_key(table)}.json", search)
    return [frozenset(names) for names in found]


def _search(table: Table, progress: Progress | None, log: Callable[[str], None] | None) -> Pairs:
    from dspkd.data.audit import duplicates, fingerprint

    if log is not None and len(table) >= _LONG:
        log(f"searching {len(table):,} images for near copies, since some have no lesion or patient id")
    return duplicates.find(fingerprint.take(table.paths, progress), progress)


def _rows(pairs: Pairs) -> list[list[int]]:
    """Return the two rows of each pair."""
    rows: list[list[int]] = np.stack([pairs.first, pairs.second], axis=1).tolist()
    return rows


def _key(table: Table) -> str:
    """Return a name for the files of a table in their order: their places, sizes and dates of change."""
    digest = hashlib.blake2b(str(_VERSION).encode(), digest_size=16)
    for path in table.paths:
        try:
            status = path.stat()
        except OSError as error:
            raise DataError(f"{path}: cannot be read: {error.strerror}") from None
        digest.update(os.fsencode(path.resolve()) + f"\n{status.st_size} {status.st_mtime_ns}\n".encode())
    return digest.hexdigest()
