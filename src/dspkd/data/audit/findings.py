"""Checks of an audit: one function per kind of fault, each over all images."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from dspkd.data.audit.duplicates import Pairs
from dspkd.data.audit.fingerprint import Fingerprints
from dspkd.data.image_files import bare, unread_note
from dspkd.data.split import Split
from dspkd.data.table import Table, is_named, rows_of, unit_of

Severity: TypeAlias = Literal["invalidates", "warning", "note"]
"""`invalidates`: a score on this split, or on any split by these groups, is not valid, or training is impossible.
`warning`: somebody should look. `note`: good to know."""

PERSONAL = ("age_approx", "age", "sex", "gender")
"""Columns that should be equal for all images of a lesion, and for copies."""

TINY, FLAT, COLOURLESS = 64, 2.0, 2.0
"""Shorter side in pixels below which an image is tiny; contrast below which it is constant; colour below which it is
grey. Inferred."""

_TWIN = "_downsampled"
"""Ending of the names in ISIC 2019 whose image the publisher reduced in size."""


@dataclass(frozen=True)
class AuditFinding:
    """One fault of a data set.

    Attributes
    ----------
    kind
        A stable name, for programs.
    severity
        See `Severity`.
    message
        One sentence with the number of cases.
    cases
        For each case the ids of its images, or the names of what `message` counts.
    advice
        Suggested fix; "" where none is needed.
    """

    kind: str
    severity: Severity
    message: str
    cases: tuple[tuple[str, ...], ...]
    advice: str = ""


def of_files(table: Table, prints: Fingerprints) -> list[AuditFinding]:
    """Find faults of single images: unreadable, tiny, constant, grey."""
    readable = np.array([not complaint for complaint in prints.complaints])
    flat = readable & (prints.contrast < FLAT)
    tiny = readable & (prints.sizes.min(axis=1) < TINY)
    grey = readable & ~flat & (prints.colour < COLOURLESS)
    faults: list[tuple[str, Severity, str, NDArray[np.bool_], str]] = [
        (
            "unreadable",
            "invalidates",
            "that cannot be read",
            ~readable,
            "fix or remove them; training would stop there",
        ),
        ("constant", "warning", "without content: all pixels are equal", flat, "remove them"),
        ("tiny", "warning", f"with a side of less than {TINY} pixels", tiny, "find the originals, or remove them"),
        ("grey", "note", "without colour", grey, "check that they are not concentrated in one class"),
    ]
    return [
        AuditFinding(kind, severity, f"{_count(int(which.sum()), 'image')} {fault}", _each(table, which), advice)
        for kind, severity, fault, which, advice in faults
        if which.any()
    ]


def of_parts(table: Table, split: Split, pairs: Pairs) -> list[AuditFinding]:
    """Find lesions or patients, and copies, that are in two parts of a split."""
    parts = split.parts
    crossing = {
        group: rows for group, rows in rows_of(table.groups).items() if len({str(parts[row]) for row in rows}) > 1
    }
    groups = [rows for group, rows in crossing.items() if is_named(group)]
    apart = parts[pairs.first] != parts[pairs.second]
    by_content = {*pairs.first[apart].tolist(), *pairs.second[apart].tolist()}
    by_name = [rows for group, rows in crossing.items() if not is_named(group) and by_content.isdisjoint(rows)]
    findings = []
    if groups:
        text = f"{_count(len(groups), 'lesion or patient', 'lesions or patients')} in more than one part of the split"
        findings.append(AuditFinding("groups_cross_parts", "invalidates", text, _ids(table, groups), "split by group"))
    if apart.any():
        text = f"{_count(int(apart.sum()), 'pair')} of copies in two parts of the split"
        advice = "merge groups with --merge, then make a new split"
        cases = paired(table, pairs.take(apart))
        findings.append(AuditFinding("copies_cross_parts", "invalidates", text, cases, advice))
    if by_name:
        text = f"{_count(len(by_name), 'set')} of copies, by their names, in more than one part of the split"
        advice = "write a table with groups, with --merge, then make a new split"
        findings.append(AuditFinding("named_copies_cross_parts", "invalidates", text, _ids(table, by_name), advice))
    return findings


def of_copies(table: Table, prints: Fingerprints, pairs: Pairs, *, split: bool) -> list[AuditFinding]:
    """Find copies: equal files, equal pixels, near copies within a lesion or patient, across them, and without ids."""
    findings = []
    files = [rows for name, rows in rows_of(prints.of_bytes).items() if name and len(rows) > 1]
    for kind, what, sets in (
        ("identical_files", "equal byte for byte", files),
        ("identical_pixels", "of equal pixels in different files", _equal_in_different_files(prints)),
    ):
        if sets:
            text = f"{_count(len(sets), 'set')} of images {what}"
            findings.append(AuditFinding(kind, "warning", text, _ids(table, sets), "keep one of each"))
    groups = np.array(table.groups)
    same = groups[pairs.first] == groups[pairs.second]
    named = np.array([is_named(group) for group in table.groups])
    known = named[pairs.first] & named[pairs.second]
    if (unknown := ~same & ~known).any():
        text = f"{_count(int(unknown.sum()), 'pair')} of copies without lesion or patient ids"
        advice = "training puts them into one group; the ids would say which other images belong together"
        findings.append(AuditFinding("copies_without_ids", "warning", text, paired(table, pairs.take(unknown)), advice))
    same |= unknown
    if not same.all():
        text = f"{_count(int((~same).sum()), 'pair')} of copies under different lesion or patient ids"
        advice = "merge these groups with --merge before splitting"
        severity: Severity = "warning" if split else "invalidates"
        findings.append(AuditFinding("copies_across_groups", severity, text, paired(table, pairs.take(~same)), advice))
    same &= ~unknown
    if (together := same & ~known).any():
        text = f"{_count(int(together.sum()), 'pair')} of copies without lesion or patient ids, kept in one part"
        findings.append(AuditFinding("copies_together", "note", text, paired(table, pairs.take(together))))
    if (same := same & known).any():
        text = f"{_count(int(same.sum()), 'pair')} of copies within one lesion or patient"
        findings.append(AuditFinding("copies_within_group", "note", text, paired(table, pairs.take(same))))
    return findings + _twins(table)


def of_labels(table: Table, pairs: Pairs) -> list[AuditFinding]:
    """Find contradictions: one lesion or patient, or copies, with two classes, ages or sexes."""
    members = [rows for group, rows in rows_of(table.groups).items() if is_named(group) and len(rows) > 1]
    labels = [table.classes[label] for label in table.labels.tolist()]
    columns: Mapping[str, Sequence[str]] = {
        "class": labels,
        **{name: table.attributes[name] for name in PERSONAL if name in table.attributes},
    }
    findings = []
    for column, cells in columns.items():
        mixed = [rows for rows in members if len({cells[row] for row in rows} - {""}) > 1]
        differs = [
            bool(cells[a] and cells[b] and cells[a] != cells[b])
            for a, b in zip(pairs.first.tolist(), pairs.second.tolist(), strict=True)
        ]
        name = "label" if column == "class" else column
        if mixed:
            text = f"{_count(len(mixed), 'lesion or patient', 'lesions or patients')} with more than one {column}"
            advice = "right for a patient with several lesions, wrong for one lesion" if name == "label" else ""
            findings.append(AuditFinding(f"group_differs_in_{name}", "warning", text, _ids(table, mixed), advice))
        if any(differs):
            text = f"{_count(sum(differs), 'pair')} of copies with different {column}"
            cases = paired(table, pairs.take(np.array(differs)))
            advice = "one of the two is wrong, or they are no copies"
            findings.append(AuditFinding(f"copies_differ_in_{name}", "warning", text, cases, advice))
    return findings


def of_table(table: Table) -> list[AuditFinding]:
    """Find faults by counting: images of unknown group, classes with too few lesions or patients."""
    findings = []
    unknown = np.array([not is_named(group) for group in table.groups])
    if unknown.any():
        text = f"{_count(int(unknown.sum()), 'image')} of {len(table):,} without a lesion or patient id"
        advice = (
            "images of one person may be in both training and test set: name the column of ids, by data.group in a "
            "recipe or --group; without one, each image counts as a group of its own, and only copies are kept together"
        )
        findings.append(AuditFinding("group_unknown", "note", text, _each(table, unknown), advice))
    if table.origin.unread:
        unread = table.origin.unread
        names = tuple((file.relative_to(table.root).as_posix(),) for file in unread)
        findings.append(
            AuditFinding("unread", "warning", unread_note(unread, table.root), names, "convert or remove them")
        )
    few = tuple((name, str(groups)) for name, groups in table.units().items() if groups < 3)
    if few:
        text = f"{_count(len(few), 'class', 'classes')} of fewer than three {unit_of(table.groups)}"
        advice = "it cannot be in training, validation and test at once"
        findings.append(AuditFinding("class_too_small", "warning", text, few, advice))
    return findings


def _twins(table: Table) -> list[AuditFinding]:
    """Find images of ISIC 2019 that are named as reduced copies, and their originals."""
    id_of = {bare(name): name for name in table.ids}
    small = {name: own.removesuffix(_TWIN) for own, name in id_of.items() if own.endswith(_TWIN)}
    both = tuple((id_of[other], name) for name, other in small.items() if other in id_of)
    if not small:
        return []
    text = f"{_count(len(small), 'image')} named *{_TWIN}; the original of {len(both):,} is in the data set too"
    return [
        AuditFinding("downsampled_twins", "warning" if both else "note", text, both or tuple((name,) for name in small))
    ]


def _equal_in_different_files(prints: Fingerprints) -> list[list[int]]:
    """Return sets of rows with equal pixels, one row for each different file."""
    sets = []
    for name, rows in rows_of(prints.of_pixels).items():
        files = {prints.of_bytes[row]: row for row in reversed(rows)}
        if name and len(files) > 1:
            sets.append(sorted(files.values()))
    return sets


def _each(table: Table, which: NDArray[np.bool_]) -> tuple[tuple[str, ...], ...]:
    return tuple((table.ids[row],) for row in np.flatnonzero(which))


def _ids(table: Table, sets: list[list[int]]) -> tuple[tuple[str, ...], ...]:
    return tuple(tuple(table.ids[row] for row in rows) for rows in sets)


def paired(table: Table, pairs: Pairs) -> tuple[tuple[str, ...], ...]:
    """Return the ids of each pair."""
    return tuple((table.ids[a], table.ids[b]) for a, b in zip(pairs.first.tolist(), pairs.second.tolist(), strict=True))


def _count(count: int, one: str, many: str = "") -> str:
    return f"{count:,} {one if count == 1 else many or one + 's'}"
