"""Whether the cells of a column are ids of lesions or patients, whatever the column is called."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence

from dspkd.data.csv_header import names_an_image
from dspkd.data.part_names import names_no_one

WHOLE = re.compile(r"([0-9]+)(?:\.0*)?")
"""A whole number, perhaps as a spreadsheet writes it."""

FEWEST = 5
"""Different cells of a column below which it looks like classes rather than ids. Inferred."""

_MANY = 20
"""Different codes from which on a column of any name looks like ids, however many rows each has. Inferred."""

_SMALL = 30
"""Number below which whole numbers alone may count visits or lesions. Inferred."""

_STAGE = re.compile(r"[cpyra]{0,3}T(?:is|x|[0-4][a-d]?)\b.*", re.IGNORECASE)
_DATE = re.compile(r"\d{1,4}[-./]\d{1,2}[-./]\d{1,4}.*|(?:19|20)\d\d(?:\.0*)?")
_CODE = re.compile(r"(?=\S*\d)(?:[^\W\d_]\S*|0\d\S*|\S{6,}|\d{4,}(?:\.0*)?)")
"""An id rather than a number or an amount: it begins with a letter or a zero, or is long."""

_OF_PEOPLE = re.compile(
    "patient|pacient|pazient|pacjent|potilas|hasta|subject|sujet|proband|volunteer|donor|participant|lesion|laesion"
    "|lasion|lesao|пациент|患者|病人|환자"
)
_ID_WORD = re.compile(r"id|n[ºo°ru]|code|key|hash|anon|pseud|#")

_ENDS_IN_ID = re.compile(r"(?:^|[^a-z])(?:id|no|nr|num|number|key|code)\W*$")

_NO_IDS = frozenset(
    [
        "age",
        "date",
        "year",
        "width",
        "height",
        "size",
        "diameter",
        "area",
        "count",
        "score",
        "url",
        "link",
        "comment",
        "note",
        "split",
        "set",
    ]
)


def are_ids(cells: Sequence[str]) -> bool:
    """Return whether cells are ids for certain: many different ones with digits, no stages and no counts.

    Small whole numbers are counts, of visits or of the lesions of a patient, unless they only rise from row to row.
    """
    return _are_no_counts(cells) and len(set(cells)) >= max(FEWEST + 1, len(cells) / 10)


def may_be_ids(cells: Sequence[str]) -> bool:
    """Return whether cells of a column that is called after cases or lesions repeat, and may be ids or kinds of these.

    >>> may_be_ids([str(100 + n // 12) for n in range(3000)]), may_be_ids(["1", "2", "3", "1", "2", "1"])
    (True, False)
    """
    return 2 < len(set(cells)) < len(cells) and _are_no_counts(cells)


def _are_no_counts(cells: Sequence[str]) -> bool:
    """Return whether most cells have digits, and are no stages and no small numbers that fall from row to row."""
    numbers = [int(match[1]) for cell in cells if (match := WHOLE.fullmatch(cell))]
    small = len(numbers) == len(cells) and max(numbers, default=0) < _SMALL
    return (
        2 * sum(any(map(str.isdigit, cell)) for cell in cells) > len(cells)
        and not are_stages(cells)
        and not (small and numbers != sorted(numbers))
    )


def are_stages(cells: Sequence[str]) -> bool:
    """Return whether most cells are stages of tumours, such as pT1a."""
    return 2 * sum(_STAGE.fullmatch(cell) is not None for cell in cells) > len(cells)


def look_like_ids(name: str, cells: Sequence[str]) -> bool:
    """Return whether the cells of a column repeat, and may be ids by their number, or by their kind and the name.

    >>> look_like_ids("patientGUID", ["P1", "P2"] * 30), look_like_ids("ipp", [f"99{n // 20:04}" for n in range(600)])
    (True, True)
    >>> look_like_ids("record_id", [str(n // 12) for n in range(360)])
    True
    >>> look_like_ids("patient_age", ["40", "50"] * 30), look_like_ids("patient_sex", ["m", "f"] * 30)
    (False, False)
    """
    filled = [cell for cell in cells if not names_no_one(cell)]
    distinct, plain = len(set(filled)), unicodedata.normalize("NFKC", name).casefold()
    if set(re.findall("[a-z]+", plain)) & _NO_IDS or any(re.fullmatch(r"[-+]?\d*\.\d+", cell) for cell in filled):
        return False
    if 2 * len(filled) <= len(cells) or not 1 < distinct < 0.98 * len(filled):
        return False
    if distinct >= max(FEWEST, len(filled) // 10):
        return True
    codes = [cell for cell in filled if _CODE.fullmatch(cell) and not _DATE.fullmatch(cell)]
    certain = 2 * len(codes) > len(filled) and not are_stages(filled)
    beside = _OF_PEOPLE.sub(" ", plain)
    if beside != plain and not any(word in beside for word in _NO_IDS):
        numbers = all(map(WHOLE.fullmatch, filled)) and distinct >= FEWEST
        return certain or (numbers and _ID_WORD.search(beside) is not None)
    numbered = _ENDS_IN_ID.search(plain) and not names_an_image([name]) and all(map(WHOLE.fullmatch, filled))
    return distinct >= _MANY and (certain or bool(numbered))


def repeats(cells: Sequence[str]) -> str:
    """Return how often cells repeat, in words."""
    filled = [cell for cell in cells if cell]
    return f"{len(set(filled)):,} different values in {len(filled):,} rows"
