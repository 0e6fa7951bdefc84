"""Augmented copies by the names of their files: ``7_jpg.rf.0a1b2c.jpg`` of Roboflow, ``7_flipped.jpg``, ``aug_7.jpg``.

A crop or a rotation by a few degrees is not found by its content, see `dspkd.data.audit.duplicates`, so that a split by
image would put the copy of a training image into the test set.
"""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np

from dspkd.data.table import Table, is_named

_FORMAT = "(?:jpe?g|png|bmp|gif|webp|tiff?|heic)"
_UUID = "[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}"
_DIRECTION = "lr|ud|[hv]|left[ _-]?right|top[ _-]?bottom|up[ _-]?down|horizontal(?:ly)?|vertical(?:ly)?"
_OPERATION = (
    rf"(?:data)?aug(?:ment(?:ed|ation)?)?|(?:[hv][ _-]?)?flip(?:ped)?(?:[ _-]?(?:{_DIRECTION}))?|mirror(?:ed)?|"
    r"rot(?:at(?:e|ed|ion))?|crop(?:ped)?|zoom(?:ed)?|shear(?:ed)?|shift(?:ed)?|translat(?:ed?|ion)|scaled?|elastic|"
    r"bright(?:er|ened|ness)?|dark(?:er|ened)?|contrast|saturat(?:ed?|ion)|hue|jitter(?:ed)?|gamma|clahe|"
    r"blur(?:red)?|nois[ey]|sharp(?:en(?:ed)?)?"
)
_STEP = rf"(?:{_OPERATION})[_-]?[+-]?\d{{0,4}}(?:\.\d+)?(?:deg(?:rees)?)?"
"""An operation with its number or degrees."""

_NAMES = tuple(
    re.compile(pattern, re.IGNORECASE)
    for pattern in (
        rf"(.+)_{_FORMAT}\.rf\.[0-9a-z]{{6,}}",  # Roboflow
        rf".+_original_(.+)\.{_FORMAT}_{_UUID}",  # Augmentor
        rf"(.*?\d.*?)(?:[ _-]+{_STEP})+",
        rf"(?:{_STEP}[ _-]+)+(.*\d.*)",
    )
)
"""The original has a digit where only words make a name a copy: ``melanoma_crop`` has no original."""


def original(name: str) -> str:
    """Return the image of which a file is an augmented copy, by its name without suffix; else the name itself.

    >>> original("IMG_7_jpg.rf.0a1b2c3d"), original("mel_original_7.jpg_0a1b2c3d-0a1b-0a1b-0a1b-0a1b2c3d4e5f")
    ('IMG_7', '7')
    >>> original("IMG_7_flipped"), original("7_rot90_bright"), original("aug_3_ISIC_0024306"), original("mel_crop2")
    ('IMG_7', '7', 'ISIC_0024306', 'mel_crop2')
    """
    return next((match[1] for pattern in _NAMES if (match := pattern.fullmatch(name))), name)


def together(table: Table) -> Table:
    """Return the table with augmented copies and their original in one group, where one of them has no named group.

    Copies are of one class. Where several images have the name of the original, copies are those in its folder. A name
    to which more than half of the images of a class would belong is that of no image.
    """
    unnamed = [not is_named(group) for group in table.groups]
    sets = [rows for rows in _copied(table) if any(unnamed[row] for row in rows)]
    pairs_P2 = np.array(
        [(rows[0], row) for rows in sets for row in rows[1:] if unnamed[rows[0]] or unnamed[row]], dtype=np.int64
    )
    if not len(pairs_P2):
        return table
    from dspkd.data.audit.audit import merged_groups

    groups = merged_groups(table, *pairs_P2.T)
    one, other = (table.paths[row].name for row in pairs_P2[0])
    images = sum(map(len, sets))
    note = f"{images:,} images are augmented copies or their originals by their names, such as {one} and {other}"
    return replace(table, groups=groups, origin=replace(table.origin, notes=(*table.origin.notes, note)))


def _copied(table: Table) -> list[list[int]]:
    """Return the rows of each original that has copies, with those of the copies."""
    labels, names = table.labels.tolist(), [original(path.stem) for path in table.paths]
    is_copy = [path.stem != name for path, name in zip(table.paths, names, strict=True)]
    originals = Counter(each for each, copy in zip(zip(labels, names, strict=True), is_copy, strict=True) if not copy)
    rows_of: dict[tuple[int, str, Path | None], list[int]] = {}
    for row, (label, name) in enumerate(zip(labels, names, strict=True)):
        folder = table.paths[row].parent if originals[label, name] > 1 else None
        rows_of.setdefault((label, name, folder), []).append(row)
    images = Counter(labels)
    return [
        rows
        for (label, _, _), rows in rows_of.items()
        if 1 < len(rows) <= images[label] / 2 and any(is_copy[row] for row in rows)
    ]
