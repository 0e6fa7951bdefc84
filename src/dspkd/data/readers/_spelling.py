"""Lesion and patient ids in several spellings, as tables of one data set from several programs have them."""

from __future__ import annotations

import re
import unicodedata
from collections import defaultdict
from dataclasses import replace

from dspkd.data.part_names import visible
from dspkd.data.table import Table, is_named
from dspkd.errors import first_few


def with_one_spelling(table: Table) -> Table:
    """Return the table with ids as one where they differ only in what `spelled` leaves out.

    If they are different people after all, no split suffers; taken as different, one person could be in two parts. An
    id that has no other spelling stays as it is.
    """
    spellings: dict[str, list[str]] = defaultdict(list)
    for group in dict.fromkeys(filter(is_named, table.groups)):
        spellings[spelled(group)].append(group)
    several = [names for names in spellings.values() if len(names) > 1]
    if not several:
        return table
    first = {name: names[0] for names in several for name in names}
    such = first_few([" and ".join(map(repr, names)) for names in several])
    note = (
        "lesion or patient ids that differ only in case, spaces, hyphens, underscores, accents of another encoding, "
        f"unseen characters, a final .0 or leading zeros are taken as one: {such}"
    )
    return replace(
        table,
        groups=tuple(first.get(group, group) for group in table.groups),
        origin=replace(table.origin, notes=(*table.origin.notes, note)),
    )


def spelled(group: str) -> str:
    """Return an id without what spreadsheets, systems and people change.

    >>> [spelled(group) for group in ("007", "7.0", "P07", "p 7", "PAT_7", "pat-07", "1.10", "1-2", "0")]
    ['7', '7', 'p7', 'p7', 'pat7', 'pat7', '1.10', '1-2', '0']
    >>> spelled("PAT\u20137\u200b")
    'pat7'
    """
    plain = re.sub(r"^(\d+)\.0+$", r"\1", unicodedata.normalize("NFKC", visible(group)).casefold())
    joined = re.sub(r"(?<=[^\W\d_])[\s_-]+(?=\w)|(?<=\w)[\s_-]+(?=[^\W\d_])", "", plain)
    return re.sub(r"(?<![\d.])0+(?=\d)", "", joined)
