"""Layout "milk10k": MILK10k of the ISIC challenge of 2025, a clinical and a dermoscopic image of each lesion."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from dspkd.data.csv_rows import Rows
from dspkd.data.readers._columns import refuse_label
from dspkd.data.readers._labels import from_one_hot
from dspkd.data.readers._published import PUBLISHED, table_of
from dspkd.data.table import Table
from dspkd.data.table_files import header_of, read_table
from dspkd.errors import DataError, first_few

CLASSES = ("AKIEC", "BCC", "BEN_OTH", "BKL", "DF", "INF", "MAL_OTH", "MEL", "NV", "SCCKA", "VASC")
KINDS = ("dermoscopic", "clinical")
LAYOUTS = ("milk10k", *(f"milk10k-{kind}" for kind in KINDS))
PRIORITY = 12
EXPECTED = "NAME_GroundTruth.csv with lesion_id and NAME_Metadata.csv beside NAME_Input/"

PUBLISHED["milk10k"] = frozenset({"lesion_id", *CLASSES})
_TRUTH = "_GroundTruth.csv"


def fits(path: Path, *, label: str = "label") -> str | None:  # noqa: ARG001
    """Return "milk10k" for a folder with its labels of lesions, else None."""
    return "milk10k" if _truths(path) else None


def read(path: Path, *, layout: str = "milk10k", group: str | None = None, label: str | None = None) -> Table:
    """Read both images of each lesion, or one with the layout "milk10k-dermoscopic" or "milk10k-clinical".

    The lesion is the group. ``skin_tone_class`` is a scale of its own, 0 for very dark to 5 for very light skin, and
    not the Fitzpatrick skin type. Files and columns were confirmed in third-party loaders.

    Raises
    ------
    DataError
        A table, a column or an image is missing, or a lesion has several labels or none.
    """
    refuse_label(path, layout, label)
    truths = _truths(path)
    if len(truths) != 1:
        names = ", ".join(file.name for file in truths) or "none"
        raise DataError(f"{path}: expected exactly one *{_TRUTH} here, found {names}; keep one data set per folder")
    truth = read_table(truths[0])
    row_of = truth.unique("lesion_id")
    labels = from_one_hot(truth, CLASSES)
    metadata = truths[0].with_name(truths[0].name.replace(_TRUTH, "_Metadata.csv"))
    images = _of_kind(read_table(metadata), layout)
    if unknown := sorted(set(images.filled("lesion_id")) - row_of.keys()):
        raise DataError(f"{truth.path}: no row for the lesions {first_few(unknown)} of {images.path.name}")
    classes = tuple(CLASSES[labels.numbers[row_of[lesion]]] for lesion in images.column("lesion_id"))
    rows = replace(images, columns={**images.columns, "label": classes})
    return table_of(
        path, rows, [truth.path, metadata], image="isic_id", label="label", group=group, first=("lesion_id",),
        licence="CC BY-NC 4.0",
    )  # fmt: skip


def _truths(path: Path) -> list[Path]:
    return [file for file in sorted(path.glob(f"*{_TRUTH}")) if set(header_of(file)) >= PUBLISHED["milk10k"]]


def _of_kind(rows: Rows, layout: str) -> Rows:
    """Return the images that the layout chooses; the published kinds are "clinical: close-up" and "dermoscopic"."""
    kind = layout.removeprefix("milk10k").removeprefix("-")
    return rows.take([row for row, cell in enumerate(rows.column("image_type")) if cell.startswith(kind)])
