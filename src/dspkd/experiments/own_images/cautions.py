"""What may be wrong with results on a data set, a sentence or two each, most severe first."""

from __future__ import annotations

from collections.abc import Mapping

from dspkd.data.audit.audit import Audit
from dspkd.data.dataset import Dataset
from dspkd.data.table import Table, is_named
from dspkd.reports.wording import counted
from dspkd.runtime.progress import Counts

FEW_TESTED, FEW_TRAINED = 10, 30
"""Test lesions of a class below which its recall is not worth reading, and training images below which a class is
hardly learnt (inferred)."""


def about_parts(dataset: Dataset) -> list[str]:
    """Return what may name the parts of a published split and was not used."""
    return [f"{dataset.unclear[0].upper()}{dataset.unclear[1:]}."] if dataset.unclear else []


def about_groups(table: Table, copies: int) -> list[str]:
    """Return how many images have no lesion or patient id, columns that may hold ids, and how many are copies."""
    images, unnamed = len(table), sum(not is_named(group) for group in table.groups)
    found = []
    if unnamed == images:
        found.append(
            "There are no lesion or patient ids: images of one person may be in the training set and in the test set, "
            "and the scores may be too high. If a column of your table names the lesion or patient, give it: "
            "--group COLUMN."
        )
    elif unnamed:
        found.append(
            f"{unnamed:,} of {images:,} images have no lesion or patient id: other images of the same person may be in "
            "the training set and in the test set."
        )
    found += [f"{doubt[0].upper()}{doubt[1:]}." for doubt in table.origin.doubts]
    if copies:
        found.append(
            f"{counted(copies, 'image')} without an id, or with different ids, are copies of others: each shares a "
            "group with its copies."
        )
    return found


_DOUBTFUL = {
    "copies_cross_parts": "the scores may be too high",
    "named_copies_cross_parts": "the scores may be too high",
    "copies_differ_in_label": "one of the labels is wrong, or they are no copies",
}
"""``{kind of an audit's finding: what it does to results}``, of those that are not said elsewhere."""


def about_findings(audited: Audit, page: str) -> list[str]:
    """Return the findings of the audit, shown on `page`, that make scores or labels doubtful."""
    return [
        f"{finding.message[0].upper()}{finding.message[1:]}: {_DOUBTFUL[finding.kind]}; see {page}."
        for finding in audited.findings
        if finding.kind in _DOUBTFUL
    ]


def about_classes(parts: Counts, tested: Mapping[str, int], unit: str) -> list[str]:
    """Return the classes that a part lacks or has few of.

    Parameters
    ----------
    parts
        See `DataFacts.parts`.
    tested
        ``{class: number of independent units in the test set}``; see `Table.units`.
    unit
        What they are, in the plural.
    """
    found = []
    for part, what in (("val", "validation"), ("test", "test")):
        if absent := [name for name, (images, _) in parts[part].items() if not images]:
            found.append(
                f"The {what} set has no image of {', '.join(absent)}: nothing is known there about "
                f"{'this class' if len(absent) == 1 else 'these classes'}."
            )
    if few := [f"{name} {groups}" for name, groups in tested.items() if 0 < groups < FEW_TESTED]:
        found.append(
            f"Fewer than {FEW_TESTED} test {unit} ({', '.join(few)}): the recall of "
            f"{'this class' if len(few) == 1 else 'these classes'} cannot be measured."
        )
    if few := [f"{name} {images}" for name, (images, _) in parts["train"].items() if images < FEW_TRAINED]:
        found.append(
            f"Fewer than {FEW_TRAINED} training images ({', '.join(few)}): "
            f"{'this class is' if len(few) == 1 else 'these classes are'} hardly learnt."
        )
    return found


def about_size(tested: Mapping[str, int], unit: str) -> list[str]:
    """Return how uncertain an accuracy on the test set is, where that is 5 percentage points or more.

    Half the width of a 95 % interval of a proportion of 0.5, 1.96 sqrt(0.25 / n), over n units.
    """
    number = sum(tested.values())
    margin = 100 * 1.96 * (0.25 / max(number, 1)) ** 0.5
    if margin < 5:
        return []
    return [
        f"The test set has {number:,} {unit}: an accuracy on it is uncertain by up to {margin:.0f} "
        "percentage points either way (95 % interval)."
    ]
