"""What a data set holds, and what is doubtful about it, before anything is trained on it."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median

from dspkd import data, reports
from dspkd.data import recognise
from dspkd.data import split as splits
from dspkd.data.audit import duplicates, fingerprint
from dspkd.data.audit.audit import Audit, of_prints, write_merged
from dspkd.data.dataset import Dataset, SplitOptions
from dspkd.data.image_files import unread_note
from dspkd.data.image_formats import open_photograph
from dspkd.data.table import Table, is_named
from dspkd.errors import DataError, first_few
from dspkd.reports.wording import counted
from dspkd.runtime.progress import Counts, Progress

FEW_TESTED, FEW_TRAINED = 10, 30
"""Test lesions of a class below which its recall is not worth reading, and training images below which a class is
hardly learnt (inferred)."""

AUDIT_PAGE, MERGED = "audit.html", "images.csv"

_SAMPLED = 500


@dataclass(frozen=True)
class DataFacts:
    """What was found in a data set.

    Attributes
    ----------
    path, layout, group
        As a recipe's ``[data]`` names them. `path` is a CSV beside the recipes where copies were put into one group.
    split
        The recipe's ``[split]``; empty for the default, the official parts or by lesion or patient.
    official
        What names the official parts; "" where there are none, or they are not used.
    classes, parts
        ``{class: (images, groups)}`` of all images, and of each part.
    images, groups, unnamed
        Number of images, of lesions or patients (an image without an id counts as one), and of images without an id.
    side
        Median of the images' shorter side in pixels, over a sample.
    copies
        Number of images that had no common id with a copy, and are in one group with it now.
    notes
        How the data were read and split, in lines.
    cautions
        What may be wrong with results on these data, most severe first; each a sentence or two.
    """

    path: str
    layout: str
    group: str | None
    split: dict[str, str]
    official: str
    classes: dict[str, tuple[int, int]]
    parts: Counts
    images: int
    groups: int
    unnamed: int
    side: int
    copies: int
    notes: tuple[str, ...] = ()
    cautions: tuple[str, ...] = field(default=())

    @property
    def training(self) -> int:
        """Return the number of training images."""
        return self.count("train")

    def count(self, part: str) -> int:
        """Return the number of images of a part."""
        return sum(images for images, _ in self.parts[part].values())

    @property
    def imbalance(self) -> float:
        """Return how many times more training images the largest class has than the smallest."""
        counts = [images for images, _ in self.parts["train"].values()]
        return max(counts) / max(min(counts), 1)


def look(path: Path, out: Path, *, group: str | None, split_file: Path | None, progress: Progress | None) -> DataFacts:
    """Read, audit and split a data set; write the audit's page, and a CSV where copies must share a group, into `out`.

    Parameters
    ----------
    path
        Folder or CSV file of a known layout.
    group
        Column that names the lesion or patient; None for the layout's own.
    split_file
        The split of a teacher's run, which its students must share; None for the official parts or a new split.

    Raises
    ------
    DataError
        The data cannot be read or split, or images do not decode.
    """
    layout = recognise(path) if path.exists() else "auto"
    table = data.load_table(path, layout=layout, group=group)
    unread = table.origin.unread
    unnamed = sum(not is_named(name) for name in table.groups)
    prints = fingerprint.take(table.paths, progress)
    pairs = duplicates.find(prints, progress)
    _refuse_unreadable(table, prints.complaints)
    audited = of_prints(table, None, prints, pairs)
    copies, used = table.origin.merged, path
    across = _cases(audited, "copies_across_groups")
    if across and not table.parts and split_file is None:
        copies, used, layout, group = (
            copies + len({name for pair in across for name in pair}),
            out / MERGED,
            "csv",
            None,
        )
        write_merged(used, audited)
        table = data.load_table(used, layout=layout)
    split = {"file": str(split_file)} if split_file else {}
    dataset = Dataset.of(table, SplitOptions(**split))  # type: ignore[arg-type]
    splits.require_training_images(table, dataset.split)
    splits.require_no_empty_part(table, dataset.split)
    audited = of_prints(table, dataset.split, prints, pairs)
    reports.write_audit(audited, out / AUDIT_PAGE)
    parts = splits.report(table, dataset.split)
    notes = tuple(line for line in dataset.notes if line)
    unit = "images" if unnamed == len(table) else "lesions or patients"
    return DataFacts(
        path=os.fspath(used),
        layout=layout,
        group=group,
        split=split,
        official="" if split_file else table.origin.parts,
        classes=table.counts(),
        parts=parts,
        images=len(table),
        groups=len(set(table.groups)),
        unnamed=unnamed,
        side=_side(table),
        copies=copies,
        notes=notes,
        cautions=(
            *_about_groups(len(table), unnamed, copies),
            *([f"{unread_note(unread, path)}."] if unread else []),
            *_about_findings(audited),
            *_about_classes(parts, unit),
            *_about_size(parts, unit),
        ),
    )


def _refuse_unreadable(table: Table, complaints: Sequence[str]) -> None:
    problems = [f"{name}: {why}" for name, why in zip(table.ids, complaints, strict=True) if why]
    if problems:
        raise DataError(
            f"{table.root}: {len(problems)} of {len(table)} images cannot be read; repair or remove them: "
            f"{first_few(problems)}"
        )


def _cases(audited: Audit, kind: str) -> tuple[tuple[str, ...], ...]:
    """Return the cases of a finding; none where the audit does not have it."""
    return next((finding.cases for finding in audited.findings if finding.kind == kind), ())


def _side(table: Table) -> int:
    """Return the median of the shorter side over images spread over the table; headers are enough."""
    sides = []
    for path in table.paths[:: max(1, len(table) // _SAMPLED)]:
        try:
            with open_photograph(path) as image:
                sides.append(min(image.size))
        except Exception:
            continue  # decoding reports a damaged file
    return int(median(sides)) if sides else 224


def _about_groups(images: int, unnamed: int, copies: int) -> list[str]:
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
    if copies:
        found.append(
            f"{counted(copies, 'image')} without an id, or with different ids, are copies of others: each shares a "
            "group with its copies."
        )
    return found


_DOUBTFUL = {
    "copies_cross_parts": "the scores may be too high",
    "copies_differ_in_label": "one of the labels is wrong, or they are no copies",
}
"""``{kind of an audit's finding: what it does to results}``, of those that are not said elsewhere."""


def _about_findings(audited: Audit) -> list[str]:
    return [
        f"{finding.message[0].upper()}{finding.message[1:]}: {_DOUBTFUL[finding.kind]}; see {AUDIT_PAGE}."
        for finding in audited.findings
        if finding.kind in _DOUBTFUL
    ]


def _about_classes(parts: Counts, unit: str) -> list[str]:
    found = []
    for part, what in (("val", "validation"), ("test", "test")):
        if absent := [name for name, (images, _) in parts[part].items() if not images]:
            found.append(
                f"The {what} set has no image of {', '.join(absent)}: nothing is known there about "
                f"{'this class' if len(absent) == 1 else 'these classes'}."
            )
    if few := [f"{name} {groups}" for name, (_, groups) in parts["test"].items() if 0 < groups < FEW_TESTED]:
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


def _about_size(parts: Counts, unit: str) -> list[str]:
    lesions = sum(groups for _, groups in parts["test"].values())
    margin = 100 * 1.96 * (0.25 / max(lesions, 1)) ** 0.5
    if margin < 5:
        return []
    return [
        f"The test set has {lesions} {unit}: an accuracy on it is uncertain by up to {margin:.0f} "
        "percentage points either way (95 % interval)."
    ]
