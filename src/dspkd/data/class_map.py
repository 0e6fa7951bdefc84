"""A file that says which classes to learn: old ones renamed, merged and dropped."""

from __future__ import annotations

import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from dspkd.data.table import Table, repeated
from dspkd.errors import DataError, first_few, suggest

_WANTED = 'want drop = ["OLD", ...] and then [classes] with lines such as NEW = ["OLD", "OLD"]'


@dataclass(frozen=True)
class ClassMap:
    """New classes, in the order in which a network numbers them, and what becomes of the old ones.

    Attributes
    ----------
    path
        The file, for messages.
    classes
        ``{new class: the old classes that it is made of}``.
    drop
        Old classes whose images are left out.
    """

    path: Path
    classes: dict[str, tuple[str, ...]]
    drop: tuple[str, ...] = ()

    def apply(self, table: Table) -> Table:
        """Return the table of the new classes, without the images that are dropped.

        Every class of the table must be mentioned, so that none is lost by a slip of the pen; a dropped one need not
        be there.

        Raises
        ------
        DataError
            A class is mentioned and not there, or there and not mentioned.
        """
        unknown = [old for olds in self.classes.values() for old in olds if old not in table.classes]
        if unknown:
            raise DataError(
                f"{self.path}: {table.root} has no class {unknown[0]!r}; {suggest(unknown[0], table.classes)}"
            )
        new_of = {old: number for number, olds in enumerate(self.classes.values()) for old in olds}
        left = [name for name in table.classes if name not in new_of and name not in self.drop]
        if left:
            raise DataError(
                f"{self.path}: says nothing of {first_few(left)}, which {table.root} has; "
                "give each a new class, or name it in drop"
            )
        number_K = np.array([new_of.get(name, -1) for name in table.classes], dtype=np.int64)
        new_N = number_K[table.labels]
        kept = table.take(new_N >= 0)
        return Table(
            classes=tuple(self.classes),
            ids=kept.ids,
            paths=kept.paths,
            labels=new_N[new_N >= 0],
            groups=kept.groups,
            attributes=kept.attributes,
            root=kept.root,
        )


def load(path: Path) -> ClassMap:
    """Read a class map from a TOML file.

    ::

        drop = ["UNK"]              # images of these are left out

        [classes]                   # in this order
        melanoma = ["MEL"]
        carcinoma = ["BCC", "SCC"]  # merged
        other = ["NV", "AK", "BKL", "DF", "VASC"]

    Raises
    ------
    DataError
        The file cannot be read or is no class map; an old class is mentioned twice.
    """
    try:
        said = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as e:
        raise DataError(f"{path}: cannot be read: {e.strerror}") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as e:
        raise DataError(f"{path}: not TOML: {e}") from None
    odd = [key for key in said if key not in ("classes", "drop")]
    if odd:
        raise DataError(f"{path}: there is no key {odd[0]!r}; {suggest(odd[0], ('classes', 'drop'))}; {_WANTED}")
    classes, drop = said.get("classes", {}), said.get("drop", [])
    if not isinstance(classes, dict) or not classes:
        raise DataError(f"{path}: names no class; {_WANTED}")
    if "drop" in classes:
        # A line below [classes] belongs to it, in TOML: it would quietly make a class called drop.
        raise DataError(f"{path}: drop stands below [classes]; write it above")
    for new, olds in classes.items():
        _refuse_unless_names(path, f"classes.{new}", olds)
    _refuse_unless_names(path, "drop", drop or ["none"])
    twice = repeated([old for olds in [*classes.values(), drop] for old in olds])
    if twice:
        raise DataError(f"{path}: {first_few(twice)}: mentioned twice; a class has one fate")
    return ClassMap(path, {new: tuple(olds) for new, olds in classes.items()}, tuple(drop))


def _refuse_unless_names(path: Path, place: str, found: Any) -> None:
    if not isinstance(found, list) or not found or not all(isinstance(name, str) for name in found):
        raise DataError(f'{path}: {place}: want names of classes, ["OLD", "OLD"], got {found!r}')
