"""What a data set holds, and what is doubtful about it, before anything is trained on it."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from typing import Any

from dspkd import data, reports
from dspkd.data import Columns
from dspkd.data import copies as near_copies
from dspkd.data import split as splits
from dspkd.data.audit import duplicates, fingerprint
from dspkd.data.audit.audit import GROUP, Audit, of_prints, write_merged
from dspkd.data.dataset import Dataset, SplitOptions
from dspkd.data.image_files import unread_note
from dspkd.data.image_formats import open_photograph
from dspkd.data.table import Table, is_named, named, unit_of
from dspkd.errors import DataError, first_few
from dspkd.evaluation import classes
from dspkd.experiments.own_images import cautions
from dspkd.runtime.files import user_cache
from dspkd.runtime.progress import Counts, Progress

AUDIT_PAGE, MERGED = "audit.html", "images.csv"

NAMED_BY_LAYOUT = Columns()

_SAMPLED = 500


@dataclass(frozen=True)
class DataFacts:
    """What was found in a data set.

    Attributes
    ----------
    path, layout, group, label
        As a recipe's ``[data]`` names them. `path` is a CSV beside the recipes where copies were put into one group.
    split
        The recipe's ``[split]``; empty for the default, the official parts or by lesion or patient.
    official
        What names the official parts; "" where there are none, or they are not used.
    classes, parts
        ``{class: (images, named lesions or patients)}`` of all images, and of each part.
    images, groups, unnamed
        Number of images, of named lesions or patients, and of images without an id.
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
    split: dict[str, Any]
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
    label: str | None = None

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


def look(
    path: Path,
    out: Path,
    *,
    columns: Columns = NAMED_BY_LAYOUT,
    split_file: Path | None = None,
    resplit: bool = False,
    progress: Progress | None = None,
) -> DataFacts:
    """Read, audit and split a data set; write the audit's page, and a CSV where copies must share a group, into `out`.

    Parameters
    ----------
    path
        Folder or CSV file of a known layout.
    columns
        Those of the lesion or patient and of the class; None for the layout's own.
    split_file
        The split of a teacher's run, which its students must share; None for the official parts or a new split.
    resplit
        Split at random, by lesion or patient, though the data set has official parts.

    Raises
    ------
    DataError
        The data cannot be read or split, or images do not decode.
    """
    table = data.load_table(path, columns=columns, merge_copies=False)
    layout = table.origin.layout
    unread = table.origin.unread
    unnamed = sum(not is_named(name) for name in table.groups)
    if len(table.classes) < 2:
        raise DataError(f"{path}: all images are of one class, {table.classes[0]}; a classifier needs two or more")
    prints = fingerprint.take(table.paths, progress)
    pairs = duplicates.find(prints, progress)
    table = near_copies.merge(table, found=pairs, cache=user_cache())
    _refuse_unreadable(table, prints.complaints)
    audited = of_prints(table, None, prints, pairs)
    copies, used = table.origin.merged, path
    across = _cases(audited, "copies_across_groups")
    as_published = bool(table.parts) and not resplit
    if across and not as_published and split_file is None:
        copies += len({name for pair in across for name in pair})
        used, layout, columns = out / MERGED, "csv", Columns(group=GROUP)
        write_merged(used, audited)
        table = data.load_table(used, layout=layout, columns=columns)
    split: dict[str, Any] = {"file": str(split_file)} if split_file else {"official": False} if resplit else {}
    dataset = Dataset.of(table, SplitOptions(**split))
    splits.require_training_images(table, dataset.split)
    splits.require_no_empty_part(table, dataset.split)
    audited = of_prints(table, dataset.split, prints, pairs)
    reports.write_audit(audited, out / AUDIT_PAGE)
    parts = splits.report(table, dataset.split)
    about_classes, *unknown = classes.in_words(table.classes, classes.malignancies(table.classes), "the recipes")
    notes = (*(line for line in dataset.notes if line), about_classes)
    tested, unit = table.take(dataset.split.places("test")).units(), unit_of(table.groups)
    return DataFacts(
        path=os.fspath(used),
        layout=layout,
        group=columns.group,
        label=columns.label if isinstance(columns.label, str) else None,
        split=split,
        official=table.origin.parts if as_published and not split_file else "",
        classes=table.counts(),
        parts=parts,
        images=len(table),
        groups=named(table.groups),
        unnamed=unnamed,
        side=_side(table),
        copies=copies,
        notes=notes,
        cautions=(
            *cautions.about_parts(dataset),
            *cautions.about_groups(table, copies),
            *([f"{unread_note(unread, path)}."] if unread else []),
            *cautions.about_findings(audited, AUDIT_PAGE),
            *(f"{line[0].upper()}{line[1:]}." for line in unknown),
            *cautions.about_classes(parts, tested, unit),
            *cautions.about_size(tested, unit),
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
