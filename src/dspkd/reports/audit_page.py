"""The report of a data audit: findings, and pairs of duplicates side by side."""

from __future__ import annotations

import base64
import io
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from dspkd.data.audit import duplicates
from dspkd.data.audit.audit import TURNS, Audit
from dspkd.data.decode import decode
from dspkd.data.split import report as part_counts
from dspkd.data.table import is_named, named
from dspkd.reports import wording
from dspkd.reports.html import render

SHOWN = 60
"""Pairs on the contact sheet, most severe first; all of them are in the JSON."""

_SIDE = 160


@dataclass(frozen=True)
class AuditImage:
    """One image of a pair."""

    name: str
    label: str
    group: str
    part: str
    source: str


@dataclass(frozen=True)
class ImagePair:
    """A pair on the contact sheet: two images, their similarity, and the faults of the pair."""

    images: tuple[AuditImage, AuditImage]
    similarity: float
    turn: str
    faults: tuple[str, ...]


def write(audited: Audit, out: Path) -> Path:
    """Write the report of an audit as one HTML file."""
    table = audited.table
    counts = table.counts()
    return render(
        "audit.html",
        out,
        audit=audited,
        verdict=verdict(audited),
        images=len(table),
        groups=named(table.groups),
        data_warnings=audited.warnings,
        split_how=audited.split_how,
        counts=counts,
        parts=None if audited.split is None else part_counts(table, audited.split),
        couples=_couples(audited),
        threshold=duplicates.SIMILARITY,
        synthetic=(table.root / "SYNTHETIC.md").exists(),
        unlabelled=(),
        disclaimer=wording.DISCLAIMER,
    )


def verdict(audited: Audit) -> str:
    """Summarise the audit in a sentence or two."""
    grave = [finding for finding in audited.findings if finding.severity == "invalidates"]
    warnings = sum(finding.severity == "warning" for finding in audited.findings)
    more = f" {wording.counted(warnings, 'warning')} as well." if warnings else ""
    where = "this data set" if audited.split is None else "this split"
    if not grave:
        return f"Nothing was found that would invalidate a result on {where}.{more}"
    listed = "; ".join(finding.message for finding in grave)
    first = "Fix before splitting" if audited.split is None else "Results on this split are not valid"
    return f"{first}: {listed}.{more}"


def _couples(audited: Audit) -> list[ImagePair]:
    """Return the most severe pairs: across parts, then of two classes, then of two groups, most similar first."""
    table, pairs = audited.table, audited.pairs
    groups, named_N = np.array(table.groups), np.array([is_named(group) for group in table.groups])
    known = named_N[pairs.first] & named_N[pairs.second]
    faults = {
        "two parts of the split": (
            np.zeros(len(pairs), dtype=bool)
            if audited.split is None
            else audited.split.parts[pairs.first] != audited.split.parts[pairs.second]
        ),
        "two classes": table.labels[pairs.first] != table.labels[pairs.second],
        "two lesions or patients": known & (groups[pairs.first] != groups[pairs.second]),
    }
    order = np.lexsort((-pairs.similarity, *(~fault for fault in reversed(faults.values()))))[:SHOWN]
    return [
        ImagePair(
            (_image(audited, int(pairs.first[p])), _image(audited, int(pairs.second[p]))),
            float(pairs.similarity[p]),
            TURNS[pairs.turn[p]],
            tuple(name for name, fault in faults.items() if fault[p]),
        )
        for p in order
    ]


def _image(audited: Audit, row: int) -> AuditImage:
    table = audited.table
    pixels = Image.fromarray(decode(table.paths[row], short_side=_SIDE))
    pixels.thumbnail((_SIDE, _SIDE))
    file = io.BytesIO()
    pixels.save(file, "JPEG", quality=80)
    return AuditImage(
        name=table.ids[row],
        label=table.classes[table.labels[row]],
        group=table.groups[row] if is_named(table.groups[row]) else "no id",
        part="" if audited.split is None else str(audited.split.parts[row]),
        source="data:image/jpeg;base64," + base64.b64encode(file.getvalue()).decode(),
    )
