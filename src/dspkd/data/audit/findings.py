"""What an audit may find wrong with a data set: one function a question, each over all images."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from dspkd.data.audit.duplicates import Pairs
from dspkd.data.audit.fingerprint import Fingerprints
from dspkd.data.image_files import bare
from dspkd.data.split import Split
from dspkd.data.table import Table, rows_of

Severity: TypeAlias = Literal["invalidates", "warning", "note"]
"""`invalidates`: a score on this split, or on any split by these groups, is not to be believed, or nothing can be
trained. `warning`: a person should look. `note`: good to know."""

PERSONAL = ("age_approx", "age", "sex", "gender")
"""Columns that should say the same of every image of a lesion, or of a copy."""

TINY, FLAT, COLOURLESS = 64, 2.0, 2.0
"""Shortest side in pixels below which an image is tiny; contrast below which it is constant; colour below which it is
grey. Inferred."""

_TWIN = "_downsampled"
"""How names of ISIC 2019 end whose image was made smaller by the publisher."""


@dataclass(frozen=True)
class AuditFinding:
    """Something found.

    Attributes
    ----------
    kind
        A name that stays, for programs.
    severity
        See `Severity`.
    says
        One sentence with the number.
    cases
        What was found: for each case the ids of the images concerned, or whatever `says` counts.
    advice
        What would do; "" where nothing needs doing.
    """

    kind: str
    severity: Severity
    says: str
    cases: tuple[tuple[str, ...], ...]
    advice: str = ""


def of_files(table: Table, prints: Fingerprints) -> list[AuditFinding]:
    """Return what is wrong with single images: unreadable, tiny, constant, grey."""
    readable = np.array([not complaint for complaint in prints.complaints])
    flat = readable & (prints.contrast < FLAT)
    tiny = readable & (prints.sizes.min(axis=1) < TINY)
    grey = readable & ~flat & (prints.colour < COLOURLESS)
    said: list[tuple[str, Severity, str, NDArray[np.bool_], str]] = [
        (
            "unreadable",
            "invalidates",
            "that cannot be read",
            ~readable,
            "mend or remove them; training would stop there",
        ),
        ("constant", "warning", "with nothing to see: all pixels alike", flat, "remove them"),
        ("tiny", "warning", f"with a side of less than {TINY} pixels", tiny, "find the originals, or remove them"),
        ("grey", "note", "without colour", grey, "colour tells diseases apart; see whether one class is full of these"),
    ]
    return [
        AuditFinding(kind, severity, f"{_many(int(which.sum()), 'image')} {says}", _each(table, which), advice)
        for kind, severity, says, which, advice in said
        if which.any()
    ]


def of_parts(table: Table, split: Split, pairs: Pairs) -> list[AuditFinding]:
    """Return what a split puts on two sides: lesions or patients, and copies."""
    parts = split.parts
    groups = [rows for rows in rows_of(table.groups).values() if len({str(parts[row]) for row in rows}) > 1]
    apart = parts[pairs.first] != parts[pairs.second]
    found = []
    if groups:
        says = f"{_many(len(groups), 'lesion or patient', 'lesions or patients')} in more than one part of the split"
        found.append(AuditFinding("groups_cross_parts", "invalidates", says, _named(table, groups), "split by group"))
    if apart.any():
        says = f"{_many(int(apart.sum()), 'pair')} of copies in two parts of the split"
        advice = "merge groups with --merge, then split anew"
        found.append(AuditFinding("copies_cross_parts", "invalidates", says, paired(table, pairs.take(apart)), advice))
    return found


def of_copies(table: Table, prints: Fingerprints, pairs: Pairs, *, split: bool) -> list[AuditFinding]:
    """Return the copies: equal files, equal pixels, near copies, and those that the groups do not know of."""
    found = []
    equal = [rows for name, rows in rows_of(prints.of_bytes).items() if name and len(rows) > 1]
    for kind, says, alike in (
        ("identical_files", "byte for byte equal", equal),
        ("identical_pixels", "of equal pixels in different files", _different_files(prints)),
    ):
        if alike:
            sets = f"{_many(len(alike), 'set')} of images {says}"
            found.append(AuditFinding(kind, "warning", sets, _named(table, alike), "keep one of each"))
    groups = np.array(table.groups)
    known = groups[pairs.first] == groups[pairs.second]
    if not known.all():
        says = f"{_many(int((~known).sum()), 'pair')} of copies under different lesion or patient ids"
        advice = "merge these groups with --merge before splitting"
        severity: Severity = "warning" if split else "invalidates"
        found.append(AuditFinding("copies_across_groups", severity, says, paired(table, pairs.take(~known)), advice))
    if known.any():
        says = f"{_many(int(known.sum()), 'pair')} of copies within one lesion or patient"
        found.append(AuditFinding("copies_within_group", "note", says, paired(table, pairs.take(known))))
    return found + _twins(table)


def of_labels(table: Table, pairs: Pairs) -> list[AuditFinding]:
    """Return contradictions: one lesion or patient, or copies, of two classes, ages or sexes."""
    members = [rows for rows in rows_of(table.groups).values() if len(rows) > 1]
    labels = [table.classes[label] for label in table.labels.tolist()]
    columns: Mapping[str, Sequence[str]] = {
        "class": labels,
        **{name: table.attributes[name] for name in PERSONAL if name in table.attributes},
    }
    found = []
    for column, cells in columns.items():
        torn = [rows for rows in members if len({cells[row] for row in rows} - {""}) > 1]
        differs = [
            bool(cells[a] and cells[b] and cells[a] != cells[b])
            for a, b in zip(pairs.first.tolist(), pairs.second.tolist(), strict=True)
        ]
        name = "label" if column == "class" else column
        if torn:
            says = f"{_many(len(torn), 'lesion or patient', 'lesions or patients')} with more than one {column}"
            advice = "right for a patient with several lesions, wrong for one lesion" if name == "label" else ""
            found.append(AuditFinding(f"group_differs_in_{name}", "warning", says, _named(table, torn), advice))
        if any(differs):
            says = f"{_many(sum(differs), 'pair')} of copies with different {column}"
            cases = paired(table, pairs.take(np.array(differs)))
            found.append(
                AuditFinding(
                    f"copies_differ_in_{name}", "warning", says, cases, "one of the two is wrong, or they are no copies"
                )
            )
    return found


def of_table(table: Table) -> list[AuditFinding]:
    """Return what counts alone say: images of unknown group, classes of too few lesions or patients."""
    found = []
    unknown = np.array([group == f"image:{name}" for group, name in zip(table.groups, table.ids, strict=True)])
    if unknown.any():
        says = f"{_many(int(unknown.sum()), 'image')} of {len(table):,} without a lesion or patient id"
        advice = "each counts as a group of its own; only copies among them are found"
        found.append(AuditFinding("group_unknown", "note", says, _each(table, unknown), advice))
    few = tuple((name, str(groups)) for name, (_, groups) in table.counts().items() if groups < 3)
    if few:
        says = f"{_many(len(few), 'class', 'classes')} of fewer than three lesions or patients"
        advice = "it cannot be in training, validation and test at once"
        found.append(AuditFinding("class_too_small", "warning", says, few, advice))
    return found


def _twins(table: Table) -> list[AuditFinding]:
    """Return the images of ISIC 2019 that say of themselves that they were made smaller, with their originals."""
    called = {bare(name): name for name in table.ids}
    small = {name: own.removesuffix(_TWIN) for own, name in called.items() if own.endswith(_TWIN)}
    both = tuple((called[other], name) for name, other in small.items() if other in called)
    if not small:
        return []
    says = f"{_many(len(small), 'image')} named *{_TWIN}; of {len(both):,} the original is here too"
    return [
        AuditFinding("downsampled_twins", "warning" if both else "note", says, both or tuple((name,) for name in small))
    ]


def _different_files(prints: Fingerprints) -> list[list[int]]:
    """Return the rows of equal pixels, one row for each different file."""
    sets = []
    for name, rows in rows_of(prints.of_pixels).items():
        files = {prints.of_bytes[row]: row for row in reversed(rows)}
        if name and len(files) > 1:
            sets.append(sorted(files.values()))
    return sets


def _each(table: Table, which: NDArray[np.bool_]) -> tuple[tuple[str, ...], ...]:
    return tuple((table.ids[row],) for row in np.flatnonzero(which))


def _named(table: Table, sets: list[list[int]]) -> tuple[tuple[str, ...], ...]:
    return tuple(tuple(table.ids[row] for row in rows) for rows in sets)


def paired(table: Table, pairs: Pairs) -> tuple[tuple[str, ...], ...]:
    """Return the ids of each pair."""
    return tuple((table.ids[a], table.ids[b]) for a, b in zip(pairs.first.tolist(), pairs.second.tolist(), strict=True))


def _many(count: int, one: str, many: str = "") -> str:
    return f"{count:,} {one if count == 1 else many or one + 's'}"
