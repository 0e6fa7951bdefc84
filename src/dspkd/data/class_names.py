"""Names of classes that differ in their spelling alone: two classes to a program, one disease to its reader."""

from __future__ import annotations

import re
import unicodedata

from dspkd.data.table import Table
from dspkd.errors import DataError


def refuse_spellings(table: Table) -> None:
    """Raise DataError if two classes differ in case, spaces, hyphens, underscores or leading zeros alone."""
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
    >>> _key("1-2") == _key("12"), _key("-1") == _key("1"), _key("ER+") == _key("ER-")
    (False, False, False)
    """
    plain = unicodedata.normalize("NFKC", name).casefold().strip()
    if re.fullmatch(r"[-+]?\d+", plain):
        return str(int(plain))
    return re.sub(r"(?<=[^\W\d_])[\s_-]+(?=\w)|(?<=\w)[\s_-]+(?=[^\W\d_])", "", plain)
