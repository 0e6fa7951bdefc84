"""Layout "derm7pt": the seven-point checklist set, a dermoscopic and a clinical image of each case."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from dspkd.data.csv_rows import Rows
from dspkd.data.readers._columns import refuse_label
from dspkd.data.readers._published import PUBLISHED, image_rows, table_of
from dspkd.data.table import Table
from dspkd.data.table_files import header_of, read_table
from dspkd.errors import DataError

KINDS = {"dermoscopic": "derm", "clinical": "clinic"}
LAYOUTS = ("derm7pt", *(f"derm7pt-{kind}" for kind in KINDS))
PRIORITY = 25
EXPECTED = "meta/meta.csv with diagnosis, derm and clinic beside images/"

PUBLISHED["derm7pt"] = frozenset({"case_num", "diagnosis", "derm", "clinic"})


def fits(path: Path, *, label: str = "label") -> str | None:  # noqa: ARG001
    """Return "derm7pt" for the folder ``release_v0``, else None."""
    return "derm7pt" if set(header_of(path / "meta/meta.csv")) >= PUBLISHED["derm7pt"] else None


def read(path: Path, *, layout: str = "derm7pt", group: str | None = None, label: str | None = None) -> Table:
    """Read both images of each case, or one with the layout "derm7pt-dermoscopic" or "derm7pt-clinical".

    The case is the group. The published parts are in ``meta/train_indexes.csv``, ``valid_indexes.csv`` and
    ``test_indexes.csv``: numbers of rows of ``meta.csv``, from 0. Columns and indexes were confirmed in the authors'
    code and third-party loaders.

    Raises
    ------
    DataError
        A table, a column or an image is missing.
    """
    refuse_label(path, layout, label)
    rows = _with_parts(read_table(path / "meta/meta.csv"))
    kinds = {kind: column for kind, column in KINDS.items() if layout in ("derm7pt", f"derm7pt-{kind}")}
    return table_of(
        path, image_rows(rows, kinds), [rows.path], image="image", label="diagnosis", group=group,
        first=("case_num",), licence="research use only",
    )  # fmt: skip


def _with_parts(rows: Rows) -> Rows:
    """Return the rows with a column ``split``, where the tables of the parts are there."""
    parts = [""] * len(rows.lines)
    for part in ("train", "valid", "test"):
        file = rows.path.with_name(f"{part}_indexes.csv")
        if not file.exists():
            return rows
        numbers = read_table(file)
        for row, cell in enumerate(numbers.column("indexes")):
            if not cell.isdecimal() or int(cell) >= len(parts):
                raise DataError(f"{numbers.at(row)}: {cell!r} is no row of meta.csv, which has {len(parts)}")
            parts[int(cell)] = part
    return replace(rows, columns={**rows.columns, "split": tuple(parts)})
