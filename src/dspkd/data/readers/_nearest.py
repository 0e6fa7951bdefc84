"""What a folder that no reader recognises looks like, and labels that contradict each other."""

from __future__ import annotations

from pathlib import Path

from dspkd.data.image_files import folders_in, images_in
from dspkd.data.part_names import holds_any_class
from dspkd.data.readers._columns import LABEL, matching
from dspkd.data.readers._published import PUBLISHED
from dspkd.data.table import Table
from dspkd.data.table_files import header_of, tables_in
from dspkd.errors import DataError, first_few

_ALIKE = 0.5
"""Share of a published table's columns from which on another is called similar."""


def difference(path: Path) -> str:
    """Return, for a message, the published layout that the folder comes nearest to, and what differs; "" if none."""
    if not path.is_dir():
        return ""
    tables = {file: set(header_of(file)) for file in tables_in(path)}
    near = [
        (len(header & columns) / len(columns), layout, file, columns - header)
        for file, header in tables.items()
        for layout, columns in PUBLISHED.items()
    ]
    share, layout, file, missing = max(near, key=lambda each: each[0], default=(0.0, "", path, set()))
    if share >= _ALIKE:
        lacks = f"lacks the column {first_few(sorted(missing))}" if missing else "has the columns, and another name"
        return f"; the nearest is {layout!r}, but {file.name} {lacks}"
    if tables:
        file, header = next(iter(tables.items()))
        return (
            f"; {file.name} has the columns {', '.join(sorted(header)) or '(none that can be read)'}: if it names "
            "images and classes, set data.columns.image and data.columns.label"
        )
    bare = [each.name for each in folders_in(path) if holds_any_class(each.name)]
    images = images_in(path)
    if images or bare:
        where = first_few(bare) if bare else f"{len(images)} images"
        return f"; {where} but no table beside them that names their classes, and no folder for each class"
    return ""


def refuse_other_labels(table: Table, layout: str) -> None:
    """Raise DataError if classes are folders, and a column of labels beside them divides the images otherwise.

    A column that divides a class further, such as a diagnosis in folders of benign and malignant images, is metadata.
    """
    if layout not in ("folder", "imagefolder"):
        return
    for name in matching(table.attributes, LABEL):
        cells = table.attributes[name]
        pairs = {(cell, label) for cell, label in zip(cells, table.labels.tolist(), strict=True) if cell}
        crossing = len(pairs) - len({cell for cell, _ in pairs})
        if crossing and len({cell for cell, _ in pairs}) > 1:
            raise DataError(
                f"{table.root}: the folders ({first_few(table.classes)}) and the column {name!r} "
                f"({first_few(sorted({cell for cell, _ in pairs}))}) divide the images differently; choose one: "
                f"data.columns.label = {name!r}, or data.layout = {layout!r} for the folders"
            )
