"""What was assumed about a data set, in lines that are printed before training and stand at the head of reports."""

from __future__ import annotations

import re
from collections import Counter
from statistics import median

import numpy as np

from dspkd.data import licensing
from dspkd.data.image_files import unread_note
from dspkd.data.split import Split, report
from dspkd.data.table import Table, is_named, named
from dspkd.errors import first_few

NO_IDS = "no lesion or patient ids: images of one person may be in both training and test set"
"""The warning where a data set names no lesions and no patients."""

_LARGE, _TIMES = 0.2, 10
"""Share of all images, and times the median group, from which on one id may stand for unknown patients. Inferred."""


def lines(table: Table) -> tuple[str, ...]:
    """Return how the data set was read: layout, columns, ids. What to beware of is in `warnings`."""
    origin = table.origin
    classes = f"{len(table.classes)} classes"
    read = f"{table.root}: {len(table):,} images of {classes}"
    ids = named(table.groups)
    groups = f"lesion or patient ids: column {origin.group!r}, {ids:,} different ones"
    return (
        f"{read}, read as {origin.layout}" if origin.layout else read,
        *origin.notes,
        *((groups,) if origin.group and ids else ()),
        *((_merged(origin.merged),) if origin.merged else ()),
        *((licensing.line(table),) if licensing.line(table) else ()),
    )


def warnings(table: Table, split: Split | None = None) -> tuple[str, ...]:
    """Return what a reader of results must know: missing ids, files left out, copies or classes in a part of the split.

    Parameters
    ----------
    split
        The split, where there is one.
    """
    unnamed = sum(not is_named(group) for group in table.groups)
    found = []
    if unnamed == len(table):
        found.append(NO_IDS)
    elif unnamed:
        found.append(
            f"{unnamed:,} of {len(table):,} images have no lesion or patient id: those of one person may be in both "
            "training and test set"
        )
    found += [*table.origin.doubts, *_unlikely_ids(table)]
    if table.origin.unread:
        found.append(unread_note(table.origin.unread, table.root))
    if split is None and table.origin.unclear:
        found.append(table.origin.unclear)
    if split is not None:
        found += [*_copies_apart(table, split), *_absent_classes(table, split)]
    return tuple(found)


def _unlikely_ids(table: Table) -> list[str]:
    """Warn of ids that may be no lesions or patients: one with a large share of all images, or years."""
    sizes = Counter(table.groups)
    usual = median(sizes.values()) if sizes else 0
    found = [
        f"{number:,} of {len(table):,} images have the lesion or patient id {name!r}, and the others far fewer: if it "
        "stands for unknown patients, leave these cells empty; else they are kept together as one person"
        for name, number in sizes.most_common(1)
        if is_named(name) and number > _LARGE * len(table) and number >= _TIMES * usual
    ]
    years = sorted(filter(is_named, sizes))
    if len(years) > 1 and all(re.fullmatch(r"(?:199|20[0-3])\d", year) for year in years):
        found.append(
            f"the lesion or patient ids look like years ({first_few(years)}): if they are, images of one person may be "
            "in both training and test set; name the column of patients: data.group"
        )
    return found


def _merged(images: int) -> str:
    return f"{images:,} images without an id are copies of others and share a group with them"


def _copies_apart(table: Table, split: Split) -> list[str]:
    """Warn of images that are copies of each other and in two parts of an official split."""
    groups = np.array(table.groups)
    training = {group for group in groups[split.places("train")] if group.startswith("copies:")}
    test = groups[split.places("test")]
    known = sum(group in training for group in test)
    if not known:
        return []
    return [f"{known:,} of {len(test):,} test images are copies of training images: results are overstated"]


def _absent_classes(table: Table, split: Split) -> list[str]:
    """Warn of classes without an image in the validation or test set."""
    counts = report(table, split)
    sizes = {name: images for name, (images, _) in table.counts().items()}
    return [
        f"no {word} image of {first_few([f'{name} ({sizes[name]} images)' for name in absent])}: too few to be in all "
        f"parts, so {consequence}; add images, or merge or drop these classes with data.classes"
        for part, word, consequence in (
            ("val", "validation", "the choice of the epoch ignores them"),
            ("test", "test", "how well they are recognised is not known"),
        )
        if (absent := [name for name, (images, _) in counts[part].items() if not images])
        and len(absent) < len(table.classes)
    ]
