"""The class map: a file that renames, merges and drops classes."""

from __future__ import annotations

import tomllib
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from dspkd.data import soft_labels
from dspkd.data.class_names import composed
from dspkd.data.table import Table, repeated
from dspkd.errors import DataError, first_few, suggest

_EXPECTED = 'expected drop = ["OLD", ...] and then [classes] with lines such as NEW = ["OLD", "ANOTHER OLD"]'


@dataclass(frozen=True)
class ClassMap:
    """New classes, in the order of the network's outputs, and the old classes that each merges.

    Attributes
    ----------
    path
        The file, for messages.
    classes
        ``{new class: old classes}``.
    drop
        Old classes whose images are left out.
    """

    path: Path
    classes: dict[str, tuple[str, ...]]
    drop: tuple[str, ...] = ()

    def apply(self, table: Table) -> Table:
        """Return the table with the new classes, without the dropped images.

        Soft labels are merged too, and the class is again that of the largest weight.

        Every class of the table must be mapped or dropped, so that none is lost by a slip of the pen; a dropped one
        need not exist.

        Raises
        ------
        DataError
            A mapped class does not exist, or a class of the table is neither mapped nor dropped.
        """
        unknown = [old for olds in self.classes.values() for old in olds if old not in table.classes]
        if unknown:
            raise DataError(
                f"{self.path}: {table.root} has no class {unknown[0]!r}; {suggest(unknown[0], table.classes)}"
            )
        new_of = {old: number for number, olds in enumerate(self.classes.values()) for old in olds}
        unmapped = [name for name in table.classes if name not in new_of and name not in self.drop]
        if unmapped:
            raise DataError(
                f"{self.path}: does not map {first_few(unmapped)} of {table.root}; "
                "give each a new class, or name it in drop"
            )
        number_K = np.array([new_of.get(name, -1) for name in table.classes], dtype=np.int64)
        new_N = number_K[table.labels]
        kept, labels_N, soft_NK = table.take(new_N >= 0), new_N[new_N >= 0], None
        if kept.soft_labels is not None:
            soft_NK = soft_labels.merged(kept.soft_labels, number_K, len(self.classes))
            labels_N = soft_labels.heaviest(soft_NK, labels_N)
        return replace(kept, classes=tuple(self.classes), labels=labels_N, soft_labels=soft_NK)


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
        The file cannot be read or is not a class map, or an old class is in it twice.
    """
    try:
        content = tomllib.loads(path.read_text(encoding="utf-8-sig"))
    except OSError as e:
        raise DataError(f"{path}: cannot be read: {e.strerror}") from None
    except (ValueError, RecursionError) as e:  # also a number of thousands of digits, thousands of levels
        raise DataError(f"{path}: not TOML: {str(e).partition(';')[0]}") from None
    unknown = [key for key in content if key not in ("classes", "drop")]
    if unknown:
        raise DataError(f"{path}: no key {unknown[0]!r}; {suggest(unknown[0], ('classes', 'drop'))}; {_EXPECTED}")
    classes, drop = content.get("classes", {}), content.get("drop", [])
    if not isinstance(classes, dict) or not classes:
        raise DataError(f"{path}: names no class; {_EXPECTED}")
    if "drop" in classes:
        # In TOML, a line below [classes] belongs to it: it would silently define a class called drop.
        raise DataError(f"{path}: drop is below [classes]; write it above")
    for new, olds in classes.items():
        _refuse_unless_names(path, f"classes.{new}", olds)
    _refuse_unless_names(path, "drop", drop or ["none"])
    named = {composed(new): _composed(olds) for new, olds in classes.items()}
    twice = repeated([old for olds in [*classes.values(), drop] for old in olds])
    if twice := twice or repeated([old for olds in [*named.values(), _composed(drop)] for old in olds]):
        raise DataError(f"{path}: {first_few(twice)}: listed twice; map or drop each class once")
    return ClassMap(path, named, _composed(drop))


def _composed(names: list[str]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(map(composed, names)))


def _refuse_unless_names(path: Path, key: str, value: Any) -> None:
    if not isinstance(value, list) or not value or not all(isinstance(name, str) for name in value):
        raise DataError(f'{path}: {key}: expected names of classes, ["OLD", "OLD"], got {value!r}')
