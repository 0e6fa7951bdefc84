"""Layout "scin": photographs that people took of their own skin, up to three a case."""

from __future__ import annotations

import ast
import math
from dataclasses import replace
from pathlib import Path

from dspkd.data.csv_rows import Rows
from dspkd.data.readers._columns import refuse_label
from dspkd.data.readers._published import PUBLISHED, image_rows, table_of
from dspkd.data.soft_labels import from_weights
from dspkd.data.table import Table
from dspkd.data.table_files import header_of, read_table
from dspkd.errors import DataError, first_few

LAYOUTS = ("scin",)
PRIORITY = 26
EXPECTED = "scin_cases.csv and scin_labels.csv above the images"

PUBLISHED["scin"] = frozenset({"case_id", "image_1_path"})
_WEIGHTED = "weighted_skin_condition_label"
_SKIN_TYPE = "dermatologist_fitzpatrick_skin_type_label_1"
_NOTE = (
    f"classes: the condition of the largest weight in {_WEIGHTED}, which evaluation uses; the term labels learns from "
    "all weights with soft_labels = true"
)
_IMAGES = ("image_1_path", "image_2_path", "image_3_path")


def fits(path: Path, *, label: str = "label") -> str | None:  # noqa: ARG001
    """Return "scin" for a folder with both tables, else None."""
    cases, labels = header_of(path / "scin_cases.csv"), header_of(path / "scin_labels.csv")
    return "scin" if set(cases) >= PUBLISHED["scin"] and {"case_id", _WEIGHTED} <= set(labels) else None


def read(path: Path, *, layout: str = "scin", group: str | None = None, label: str | None = None) -> Table:
    """Read all images of the cases that have a label; the case is the group.

    ``weighted_skin_condition_label`` holds the weights of the conditions that dermatologists named. The class is the
    condition with the largest weight, the first of equal ones; a condition that is never it is no class. The weights
    of the classes, made to sum to 1, are `Table.soft_labels`. Columns were confirmed in the authors' schema and
    third-party loaders.

    Raises
    ------
    DataError
        A table, a column or an image is missing, or a label cannot be read.
    """
    refuse_label(path, layout, label)
    cases, labels = read_table(path / "scin_cases.csv"), read_table(path / "scin_labels.csv")
    row_of = labels.unique("case_id")
    weights = [_weights(labels, row) for row in range(len(labels.lines))]
    heaviest = [max(each, key=each.__getitem__, default="") for each in weights]
    of_case = [row_of.get(case) for case in cases.filled("case_id")]
    columns = {**cases.columns, "label": tuple("" if row is None else heaviest[row] for row in of_case)}
    columns[_WEIGHTED] = tuple("" if row is None else str(row) for row in of_case)
    if _SKIN_TYPE in labels.columns:
        types = labels.column(_SKIN_TYPE)
        columns["fitzpatrick_skin_type"] = tuple("" if row is None else types[row] for row in of_case)
    kinds = {name.removesuffix("_path"): name for name in _IMAGES if name in columns}
    rows = image_rows(replace(cases, columns=columns), kinds)
    table = table_of(
        path, rows, [cases.path, labels.path], image="image", label="label", group=group, first=("case_id",),
        licence="SCIN Data Use License",
    )  # fmt: skip
    others = dict(table.attributes)
    soft_NK = from_weights([weights[int(row)] for row in others.pop(_WEIGHTED)], table.classes)
    never = sorted({name for each in weights for name in each} - set(table.classes))
    dropped = f"{len(never)} conditions that are never the largest weight are no class: {first_few(never)}"
    notes = (
        *table.origin.notes,
        *([dropped] if never else []),
        f"{_NOTE}; {int(((soft_NK > 0).sum(axis=1) > 1).sum()):,} images have several",
    )
    return replace(table, attributes=others, soft_labels=soft_NK, origin=replace(table.origin, notes=notes))


def _weights(rows: Rows, row: int) -> dict[str, float]:
    """Return the conditions of a row with a weight above 0; DataError for a cell that is no such table."""
    cell = rows.column(_WEIGHTED)[row]
    try:
        weights = {str(name): float(weight) for name, weight in ast.literal_eval(cell or "{}").items()}
        if all(0 <= weight < math.inf for weight in weights.values()):
            return {name: weight for name, weight in weights.items() if weight}
    except (ValueError, SyntaxError, TypeError, AttributeError, OverflowError, RecursionError, MemoryError):
        pass
    raise DataError(f"{rows.at(row)}: {_WEIGHTED} is {cell[:60]!r}; expected {{'CONDITION': WEIGHT, ...}}")
