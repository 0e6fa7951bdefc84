"""Columns that several readers treat in the same way."""

from __future__ import annotations

from pathlib import Path

from dspkd.errors import DataError

GROUPING = ("patient_id", "lesion_id")
"""Columns that group images when none is named, the first that exists. Lesions of one patient look similar too, and
keeping a patient together keeps the lesions together."""


def refuse_label(path: Path, layout: str, label: str | None) -> None:
    """Raise DataError if a label column is named for a layout that fixes it."""
    if label is not None:
        raise DataError(f"{path}: layout {layout!r} has a fixed place for labels; leave out label = {label!r}")
