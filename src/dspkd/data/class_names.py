"""Names of classes that differ in their spelling alone: two classes to a program, one disease to its reader."""

from __future__ import annotations

import re
import unicodedata
from dataclasses import replace

import numpy as np

from dspkd.data import soft_labels
from dspkd.data.part_names import visible
from dspkd.data.table import Table
from dspkd.errors import DataError


def composed(name: str) -> str:
    """Return a name with each accent in one character with its letter; macOS writes folders with two characters.

    >>> composed("Na\u0308vus") == "N\u00e4vus"
    True
    """
    return name if name.isascii() else unicodedata.normalize("NFC", name)


def with_composed_names(table: Table) -> Table:
    """Return the table with `composed` names of classes, of which those that become equal are one."""
    names = [composed(name) for name in table.classes]
    if tuple(names) == table.classes:
        return table
    every = list(dict.fromkeys(names))
    classes = tuple(sorted(every) if list(table.classes) == sorted(table.classes) else every)
    number_K = np.array([classes.index(name) for name in names], dtype=np.int64)
    soft_NK = None if table.soft_labels is None else soft_labels.merged(table.soft_labels, number_K, len(classes))
    return replace(table, classes=classes, labels=number_K[table.labels], soft_labels=soft_NK)


def refuse_spellings(table: Table) -> None:
    """Raise DataError if two classes differ in case, accents, spaces, hyphens, underscores or leading zeros alone."""
    first: dict[str, str] = {}
    for name in table.classes:
        other = first.setdefault(_key(name), name)
        if other != name:
            counts = table.counts()
            raise DataError(
                f"{table.root}: the classes {other!r} ({counts[other][0]:,} images) and {name!r} "
                f"({counts[name][0]:,}) differ in spelling alone; correct one of them, or give both one name: "
                'in a table with data.columns.names = {CELL = "NAME", ...}, elsewhere with a class map, data.classes'
            )


def _key(name: str) -> str:
    """Return what names of one class share.

    >>> _key("Basal_cell-carcinoma") == _key("basal  cell carcinoma"), _key("01") == _key("1")
    (True, True)
    >>> _key("M\u00e9lanome.") == _key("melanome"), _key("nv") == _key("nv\u200b")
    (True, True)
    >>> _key("1-2") == _key("12"), _key("-1") == _key("1"), _key("ER+") == _key("ER-")
    (False, False, False)
    """
    letters = unicodedata.normalize("NFKD", visible(name)).casefold()
    plain = unicodedata.normalize("NFC", re.sub("(?<=[a-z])[\\u0300-\\u036f]+", "", letters)).strip(" .,;:")
    if re.fullmatch(r"[-+]?\d+", plain):
        return str(int(plain))
    return re.sub(r"(?<=[^\W\d_])[\s_-]+(?=\w)|(?<=\w)[\s_-]+(?=[^\W\d_])", "", plain)
