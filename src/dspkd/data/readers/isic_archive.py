"""Layout "isic-archive": images and metadata.csv as the ISIC archive and its command isic-cli export them."""

from __future__ import annotations

from pathlib import Path

from dspkd.data.readers._published import PUBLISHED, table_of
from dspkd.data.readers.class_folders import has_class_folders
from dspkd.data.table import Table
from dspkd.data.table_files import header_of, read_table, tables_in
from dspkd.errors import DataError

LAYOUTS = ("isic-archive",)
PRIORITY = 20
EXPECTED = "metadata.csv with isic_id and diagnosis_1 above its images"

PUBLISHED["isic-archive"] = frozenset({"isic_id", "diagnosis_1", "copyright_license"})
LABELS = ("diagnosis_1", "benign_malignant", "diagnosis")
"""Columns of classes, the first that exists is used: of the archive since 2024, and before."""


def fits(path: Path, *, label: str = "label") -> str | None:  # noqa: ARG001
    """Return "isic-archive" for a folder with the archive's table and without folders of classes, else None."""
    return "isic-archive" if _tables(path) and not has_class_folders(path) else None


def read(path: Path, *, layout: str = "isic-archive", group: str | None = None, label: str | None = None) -> Table:
    """Read an export of the ISIC archive.

    The class is ``diagnosis_1``, benign or malignant; `label` names a finer one, ``diagnosis_2`` to ``diagnosis_5``.
    Images without it are left out. Where no patient is named, the lesion is the group. The licence of each image is in
    ``copyright_license``; `dspkd.data.load_table` can choose by it.

    The columns were confirmed in the archive's own tests and in third-party loaders, and not in an export of today.

    Raises
    ------
    DataError
        There is no such table, or an image is missing.
    """
    tables = _tables(path)
    if len(tables) != 1:
        names = ", ".join(each.name for each in tables) or "none"
        raise DataError(f"{path}: layout {layout!r} expects one table, {EXPECTED}; found {names}")
    used = next(name for name in LABELS if name in header_of(tables[0]))
    return table_of(
        path,
        read_table(tables[0]),
        tables,
        image="isic_id",
        label=label or used,
        group=group,
        first=("patient_id", "lesion_id"),
    )


def _tables(path: Path) -> list[Path]:
    headers = {file: set(header_of(file)) for file in tables_in(path)}
    return [file for file, header in headers.items() if "isic_id" in header and header & set(LABELS)]
