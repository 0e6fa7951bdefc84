"""The audit of a data set: faults in it, or in a split of it, that would falsify a score."""

from __future__ import annotations

import os
import re
from collections import Counter
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dspkd.data import assumptions, official_split
from dspkd.data.audit import duplicates, findings, fingerprint
from dspkd.data.audit.duplicates import Pairs
from dspkd.data.audit.findings import AuditFinding
from dspkd.data.audit.fingerprint import Fingerprints
from dspkd.data.readers._columns import grouping
from dspkd.data.split import Split
from dspkd.data.split import report as part_counts
from dspkd.data.table import Table
from dspkd.errors import DataError
from dspkd.runtime import csv_text
from dspkd.runtime.progress import Progress

SOURCES = ("source", "dataset", "attribution", "institution")
"""Columns that may hold the origin of an image; the first that exists is used."""

GROUP = "group"
"""The column of the groups in what `write_merged` writes."""

TURNS = (
    "upright",
    "mirrored left to right",
    "mirrored top to bottom",
    "rotated by 180 degrees",
    "mirrored along a diagonal",
    "rotated by 90 degrees",
    "rotated by 270 degrees",
    "mirrored along the other diagonal",
)
"""Descriptions of `Pairs.turn`; clockwise."""


@dataclass(frozen=True, eq=False)
class Audit:
    """The result of an audit.

    Attributes
    ----------
    table
        The images.
    split
        The split that was audited with them, or None.
    findings
        Most severe first.
    pairs
        All pairs of copies.
    sources
        ``{source: images}``, most images first; see `sources`.
    split_how
        How the split was made, in a line; "" without one.
    """

    table: Table
    split: Split | None
    findings: tuple[AuditFinding, ...]
    pairs: Pairs
    sources: dict[str, int]
    split_how: str = ""

    @property
    def notes(self) -> tuple[str, ...]:
        """How the data set was read and split, in lines."""
        return (*assumptions.lines(self.table), *((self.split_how,) if self.split_how else ()))

    @property
    def warnings(self) -> tuple[str, ...]:
        """What a reader must know of the data, such as missing ids."""
        return assumptions.warnings(self.table, self.split)

    @property
    def invalid(self) -> bool:
        """Whether a finding invalidates results."""
        return any(finding.severity == "invalidates" for finding in self.findings)

    def to_json(self) -> dict[str, Any]:
        """Return the audit as plain data for `json.dump`; its keys and the kinds of findings are stable."""
        table, pairs = self.table, self.pairs
        return {
            "data": str(table.root),
            "table_digest": table.digest,
            "split_digest": None if self.split is None else self.split.digest,
            "notes": list(self.notes),
            "warnings": list(self.warnings),
            "images": len(table),
            "groups": len(set(table.groups)),
            "classes": {name: list(counts) for name, counts in table.counts().items()},
            "parts": None if self.split is None else part_counts(table, self.split),
            "sources": self.sources,
            "threshold": duplicates.SIMILARITY,
            "invalid": self.invalid,
            "findings": [asdict(finding) | {"count": len(finding.cases)} for finding in self.findings],
            "copies": [
                {"images": ids, "similarity": round(similarity, 4), "second_is": TURNS[turn]}
                for ids, similarity, turn in zip(
                    findings.paired(table, pairs), pairs.similarity.tolist(), pairs.turn.tolist(), strict=True
                )
            ],
        }


def audit(
    table: Table,
    split: Split | None = None,
    progress: Progress | None = None,
    *,
    split_how: str = "",
) -> Audit:
    """Audit every image of a table, and a split of it: `split`, or the one that the data set is published with."""
    if split is None and table.parts:
        split, split_how = official_split.of(table, val=0.15, test=0.2, seed=0)
    prints = fingerprint.take(table.paths, progress)
    return of_prints(table, split, prints, duplicates.find(prints, progress), split_how=split_how)


def of_prints(table: Table, split: Split | None, prints: Fingerprints, pairs: Pairs, *, split_how: str = "") -> Audit:
    """Audit a table whose images are already fingerprinted and compared, row by row."""
    collected = [
        *([] if split is None else findings.of_parts(table, split, pairs)),
        *findings.of_copies(table, prints, pairs, split=split is not None),
        *findings.of_labels(table, pairs),
        *findings.of_files(table, prints),
        *findings.of_table(table),
    ]
    collected.sort(key=lambda finding: ("invalidates", "warning", "note").index(finding.severity))
    return Audit(table, split, tuple(collected), pairs, sources(table), split_how)


def sources(table: Table) -> dict[str, int]:
    """Count the images of each source, most first.

    The source is the first column out of `SOURCES`; without one, the letters before the first ``_`` of the lesion's id,
    as in HAM_0000550 and BCN_0000001. An image with neither is "unknown".
    """
    column = next((name for name in SOURCES if name in table.attributes), None)
    if column is not None:
        origins = [cell or "unknown" for cell in table.attributes[column]]
    else:
        prefixes = [re.match(r"([A-Za-z][A-Za-z0-9]*)_", group) for group in table.groups]
        origins = [prefix[1] if prefix else "unknown" for prefix in prefixes]
    return dict(Counter(origins).most_common())


def merged_groups(table: Table, first_P: NDArray[np.int64], second_P: NDArray[np.int64]) -> tuple[str, ...]:
    """Return N groups in which copies, P pairs of rows, are together: groups connected by copies become one.

    A merged group has the alphabetically first known name of its members; copies without a known group become
    ``copies:<first id>``, and an image without copies stays a group of its own.
    """
    number = {group: g for g, group in enumerate(dict.fromkeys(table.groups))}
    group_N = np.array([number[group] for group in table.groups])
    cluster_G = duplicates.clusters(group_N[first_P], group_N[second_P], len(number))
    own = {f"image:{name}": name for name in table.ids} | {
        group: group.removeprefix("copies:") for group in table.groups if group.startswith("copies:")
    }
    members: dict[int, list[str]] = {}
    for group, g in number.items():
        members.setdefault(int(cluster_G[g]), []).append(group)
    name_of = {}
    for cluster, groups in members.items():
        named = sorted(group for group in groups if group not in own)
        unnamed = groups[0] if len(groups) == 1 else f"copies:{min(own.get(group, group) for group in groups)}"
        name_of[cluster] = named[0] if named else unnamed
    return tuple(name_of[int(cluster_G[g])] for g in group_N)


def write_merged(path: Path, audited: Audit) -> int:
    """Write the data set as a CSV of layout "csv" with merged groups; return the number of groups merged away.

    Columns are ``path`` (relative to the CSV), ``label``, ``group`` and the attributes, without other columns of lesion
    or patient ids, by which it could be read as grouped. A recipe reads it with ``data.path = "FILE"`` and
    ``data.group = "group"``; a split by group then keeps copies together.

    Raises
    ------
    DataError
        The file cannot be written.
    """
    table = audited.table
    groups = merged_groups(table, audited.pairs.first, audited.pairs.second)
    cells = ("" if group == f"image:{name}" else group for group, name in zip(groups, table.ids, strict=True))
    ids = grouping(table.attributes, None, path)
    left_out = {"path", "label", GROUP, ids.column, *ids.others}
    others = {name: column for name, column in table.attributes.items() if name not in left_out}
    files = (Path(os.path.relpath(image, path.parent)).as_posix() for image in table.paths)
    labels = (table.classes[label] for label in table.labels)
    try:
        with path.open("w", encoding="utf-8", newline="") as file:
            writer = csv_text.Writer(file)
            writer.writerow(("path", "label", GROUP, *others))
            writer.writerows(zip(files, labels, cells, *others.values(), strict=True))
    except OSError as error:
        raise DataError(f"{path}: cannot be written: {error.strerror}") from None
    return len(set(table.groups)) - len(set(groups))
