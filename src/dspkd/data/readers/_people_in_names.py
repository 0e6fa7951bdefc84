"""Patients and lesions by the names of their images, where nothing else tells them: ``PAT_12_3.png``."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace

from dspkd.data.readers._columns import is_person, is_weak, may_be_people
from dspkd.data.readers._file_names import path_of
from dspkd.data.readers._id_cells import are_ids
from dspkd.data.table import Table, group_or_own, is_named

_BEGINNING = re.compile(r"[^\W\d_]+[\s_-]*\d+")
_CODE = re.compile(r"([^\W\d_]+\d+)[\s_-]")


def with_people_in_names(table: Table) -> Table:
    """Return a table without groups with those that the names of its images begin with, and a line on them.

    A name such as ``P12_3.png`` may begin with anything else: it is a doubt.
    """
    if any(map(is_named, table.groups)):
        return table
    origin = table.origin
    if people := people_in_names(table.ids, len(table.classes)):
        note = f"lesion or patient ids: the beginnings of the images' names, such as {people[0]}"
        groups = group_or_own(people, table.ids)
        return replace(table, groups=groups, origin=replace(origin, notes=(*origin.notes, note)))
    codes = _beginnings(table.ids, _CODE)
    if len(table.classes) < len(set(codes)) < len(codes) and may_be_people(set(codes)):
        doubt = (
            f"the names of the images begin with the same codes, such as {codes[0]} ({codes.count(codes[0]):,} images):"
            " if these are patients or lesions, put a table beside the images, with the columns 'image', 'label' and "
            "'patient'"
        )
        return replace(table, origin=replace(origin, doubts=(*origin.doubts, doubt)))
    return table


def people_in_names(names: Sequence[str], classes: int) -> tuple[str, ...]:
    """Return the patient or lesion that each name begins with; empty unless each does, and some several times.

    As many or fewer different ones than `classes` may be these.

    >>> people_in_names(["a/PAT_7_1.png", "a/PAT_7_2.png", "b/patient8.png"], 1)
    ('PAT_7', 'PAT_7', 'patient8')
    >>> people_in_names(["PAT_7_1.png", "IMG_7_2.png"], 1), people_in_names(["mel_1_1.png", "mel_1_2.png"], 0)
    ((), ())
    """
    people = _beginnings(names, _BEGINNING)
    known = set(people)
    certain = all(map(is_person, known)) and (not any(map(is_weak, known)) or are_ids(people))
    return people if certain and classes < len(known) < len(people) else ()


def _beginnings(names: Sequence[str], pattern: re.Pattern[str]) -> tuple[str, ...]:
    found = [pattern.match(path_of(name).rpartition("/")[2]) for name in names]
    return tuple(match[pattern.groups] for match in found if match) if all(found) else ()
