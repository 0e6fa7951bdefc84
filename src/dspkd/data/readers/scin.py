"""Layout "scin": photographs that people took of their own skin, up to three a case."""

from __future__ import annotations

import ast
from dataclasses import replace
from pathlib import Path

from dspkd.data.csv_rows import Rows
from dspkd.data.readers._columns import refuse_label
from dspkd.data.readers._published import PUBLISHED, image_rows, table_of
from dspkd.data.table import Table
from dspkd.data.table_files import header_of, read_table
from dspkd.errors import DataError

LAYOUTS = ("scin",)
PRIORITY = 26
EXPECTED = "scin_cases.csv and scin_labels.csv above the images"

PUBLISHED["scin"] = frozenset({"case_id", "image_1_path"})
_WEIGHTED = "weighted_skin_condition_label"
_SKIN_TYPE = "dermatologist_fitzpatrick_skin_type_label_1"
_IMAGES = ("image_1_path", "image_2_path", "image_3_path")


def fits(path: Path, *, label: str = "label") -> str | None:  # noqa: ARG001
    """Return "scin" for a folder with both tables, else None."""
    cases, labels = header_of(path / "scin_cases.csv"), header_of(path / "scin_labels.csv")
    return "scin" if set(cases) >= PUBLISHED["scin"] and {"case_id", _WEIGHTED} <= set(labels) else None


def read(path: Path, *, layout: str = "scin", group: str | None = None, label: str | None = None) -> Table:
    """Read all images of the cases that have a label; the case is the group.

    ``weighted_skin_condition_label`` holds the weights of the conditions that dermatologists named. The class is the
    condition with the largest weight, the first of equal ones: the weights themselves are not used. Columns were
    confirmed in the authors' schema and third-party loaders.

    Raises
    ------
    DataError
        A table, a column or an image is missing, or a label cannot be read.
    """
    refuse_label(path, layout, label)
    cases, labels = read_table(path / "scin_cases.csv"), read_table(path / "scin_labels.csv")
    row_of = labels.unique("case_id")
    heaviest = [_heaviest(labels, row) for row in range(len(labels.lines))]
    of_case = [row_of.get(case) for case in cases.filled("case_id")]
    columns = {**cases.columns, "label": tuple("" if row is None else heaviest[row] for row in of_case)}
    if _SKIN_TYPE in labels.columns:
        types = labels.column(_SKIN_TYPE)
        columns["fitzpatrick_skin_type"] = tuple("" if row is None else types[row] for row in of_case)
    kinds = {name.removesuffix("_path"): name for name in _IMAGES if name in columns}
    rows = image_rows(replace(cases, columns=columns), kinds)
    table = table_of(
        path, rows, image="image", label="label", group=group, first=("case_id",), licence="SCIN Data Use License"
    )
    note = f"classes: the condition of the largest weight in {_WEIGHTED}; the other weights are not used"
    return replace(table, origin=replace(table.origin, notes=(*table.origin.notes, note)))


def _heaviest(rows: Rows, row: int) -> str:
    """Return the condition with the largest weight in a row; "" where there is none."""
    cell = rows.column(_WEIGHTED)[row]
    try:
        weights = ast.literal_eval(cell or "{}")
        return str(max(weights, key=weights.__getitem__, default=""))
    except (ValueError, SyntaxError, TypeError, AttributeError, RecursionError, MemoryError):
        raise DataError(
            f"{rows.path}, line {rows.lines[row]}: {_WEIGHTED} is {cell[:60]!r}; expected {{'CONDITION': WEIGHT, ...}}"
        ) from None
