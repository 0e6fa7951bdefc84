"""What a folder of images is read as: layout, classes, groups, parts, licences, unread files, and a recipe's lines."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

from dspkd.data import assumptions, licensing, readers
from dspkd.data.class_names import refuse_spellings
from dspkd.data.columns import Columns
from dspkd.data.split import PARTS
from dspkd.data.table import Table, is_named


@dataclass(frozen=True, eq=False)
class Inspection:
    """A table as it was read, and what follows.

    Attributes
    ----------
    path
        What was inspected.
    table
        The images; the files themselves are not opened.
    columns
        Columns that the user named.
    """

    path: Path
    table: Table
    columns: Columns

    @property
    def layout(self) -> str:
        """Return the layout, and what it was recognised by, in a line."""
        layout = self.table.origin.layout
        return f"layout {layout}: {readers.expected(layout)}"

    @property
    def facts(self) -> tuple[str, ...]:
        """Return how the data set was read, in lines."""
        return assumptions.lines(self.table)

    @property
    def warnings(self) -> tuple[str, ...]:
        """Return what a reader of results must know, in lines: missing ids, files that are not read."""
        return assumptions.warnings(self.table)

    @property
    def parts(self) -> dict[str, int]:
        """Return ``{part: images}`` as published; empty where there are none, "" for images in no known part."""
        parts = [part if part in PARTS else "" for part in self.table.parts]
        return {part: parts.count(part) for part in (*PARTS, "") if part in parts}

    @property
    def recipe(self) -> tuple[str, ...]:
        """Return the lines of a recipe that read these images in the same way."""
        group = self.table.origin.group
        named = {name: value for name, value in vars(self.columns).items() if value and name != "group"}
        lines = ["[data]", f"path = {_toml(str(self.path))}", f"layout = {_toml(self.table.origin.layout)}"]
        lines += [f"group = {_toml(group)}"] if group in (self.columns.group, *self.table.attributes) and group else []
        lines += ["", "[data.columns]", *(f"{name} = {_toml(value)}" for name, value in named.items())] if named else []
        lines += ["", "[split]"]
        if self.table.parts:
            lines += ["official = true"]
        else:
            unit = "lesion or patient" if any(map(is_named, self.table.groups)) else "image"
            lines += [f"val = 0.15  # share of the images, by {unit}", "test = 0.2"]
        return tuple(lines)

    @property
    def licences(self) -> dict[str, int]:
        """Return ``{licence: images}``; empty where the data set names none."""
        return licensing.counts(self.table)


def inspect(path: Path, *, group: str | None = None, label: str | None = None, image: str | None = None) -> Inspection:
    """Recognise and read a data set, without opening its images.

    Raises
    ------
    DataError
        It is of no known layout, or does not match it, or two classes differ in spelling alone.
    """
    columns = Columns(group=group, label=label, image=image)
    table = readers.read("auto", path, columns=columns)
    refuse_spellings(table)
    return Inspection(path, table, columns)


def _toml(value: object) -> str:
    """Return a value as TOML writes it: text as in JSON, which is TOML too."""
    return json.dumps(value, ensure_ascii=False)
