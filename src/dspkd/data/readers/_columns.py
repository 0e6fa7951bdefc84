"""Which columns of a table name the image, its class, and its lesion or patient."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from dspkd.data.metadata import COLUMNS
from dspkd.data.part_names import names_no_one, split_column, squeezed
from dspkd.data.readers._id_cells import FEWEST, are_ids, are_stages, look_like_ids, may_be_ids, repeats
from dspkd.errors import DataError, first_few, suggest

IMAGE = (
    "path", "file", "filename", "filepath", "imagepath", "imagefile", "imagefilename", "image", "imagename", "imageid",
    "isicid", "imgid", "imgname", "img", "imgpath", "imgfile", "photo", "photoid", "photoname", "picture",
    "relpath", "relativepath", "fullpath", "fname", "md5hash",
    "bild", "bildname", "bilddatei", "bildid", "bildnr", "datei", "dateiname", "dateipfad", "foto", "fotoname",
    "nomfichier", "nomdufichier", "fichier", "nomimage", "archivo", "nombrearchivo", "nombredelarchivo", "imagen",
    "nombreimagen", "arquivo", "nomearquivo", "nomedoarquivo", "imagem", "nomeimagem", "immagine", "nomeimmagine",
    "nomefile", "bestandsnaam", "afbeelding", "id",
)  # fmt: skip
"""Columns that may name the image, as `squeezed` writes them, also in German, French, Spanish, Portuguese, Italian and
Dutch; the first that exists is used."""

LABEL = (
    "label", "class", "classname", "labelname", "diagnosis", "dx", "diagnostic", "disease", "category", "target",
    "diagnosis1", "benignmalignant", "finding", "findings", "findinglabel", "findinglabels", "outcome", "condition",
    "labels", "classes", "classlabel", "finaldiagnosis", "groundtruth", "lesiontype", "skincondition",
)  # fmt: skip
"""Columns that may name the class, as `squeezed` writes them; the first that exists is used."""

_ID = "(?:id|ids|no|nr|num|nummer|number|key|code|identifier|uid|uuid|hash|idx|index|ref|pseudonym|name)?"
_BEFORE = "(?:id|no|nr|num|number|numero|codigo|code|anon[a-z]*|deidentified|pseudo[a-z]*|study|unique)?(?:de|du|del)?"
_PATIENT = re.compile(
    f"{_BEFORE}(?:patient|subject|person|participant|individual|pat|subj|paciente|patienten|patiente|paziente|pac|pt"
    f"|nhs|medicalrecord|healthrecord|chart|dossier)s?{_ID}|pid|mrn|hospital(?:no|nr|number)"
)
_CASE = re.compile(f"{_BEFORE}(?:case|encounter|visit|fall){_ID}")
_LESION = re.compile(f"{_BEFORE}(?:lesion|mole|naevus|nevus|lesionen|laesion|lasion|lesione|lesao)s?{_ID}")
_KINDS = (_PATIENT, _CASE, _LESION)
_IN_ORDER = (_PATIENT, re.compile("group"), _CASE, _LESION)
_ORDER = "a patient comes before a case, and a case before a lesion, as lesions of one patient look similar too"
_WEAK = re.compile(
    f"pt|{_BEFORE}(?:encounter|visit|fall){_ID}|(?:(?:no|nr|num|number|numero|codigo|code)(?:de|du|del)?)?"
    "(?:case|lesion|mole|naevus|nevus|lesionen|laesion|lasion|lesione|lesao)s?"
    "(?:no|nr|num|nummer|number|key|code|idx|index|ref|name)?"
)
"""Columns of ids, or of stages, kinds of lesions or numbers of visits: their cells decide."""
_COUNT = re.compile("(?:no|nr|num|number|numero)(?:de|du|del)?[a-z]+s")
_KNOWN = frozenset(squeezed(column) for columns in COLUMNS.values() for column in columns)
_CODE = re.compile(r"(?:p|pt|s|sub|subj|il|ip)?(\d+)")
"""A patient or lesion, as folders are called in short."""
_FEW = 100
"""Number below which folders called by numbers alone may be classes. Inferred."""


@dataclass(frozen=True)
class Grouping:
    """The column of lesion or patient ids, None without one; lines about the choice; and `Origin.doubts`.

    `others` are columns of ids that say which images belong together where the chosen one is empty.
    """

    column: str | None
    notes: tuple[str, ...] = ()
    doubts: tuple[str, ...] = ()
    others: tuple[str, ...] = ()


def refuse_label(path: Path, layout: str, label: str | None) -> None:
    """Raise DataError if a label column is named for a layout that fixes it."""
    if label is not None:
        raise DataError(f"{path}: layout {layout!r} has a fixed place for labels; leave out label = {label!r}")


def find(names: Iterable[str], known: Sequence[str]) -> str | None:
    """Return the first of `names` that is one of the `known`, in the order of these, whatever its case and spaces."""
    by_name = {squeezed(name): name for name in reversed(list(names))}
    return next((by_name[each] for each in known if each in by_name), None)


def matching(names: Iterable[str], known: Sequence[str]) -> list[str]:
    """Return those of `names` that are among the `known`, in the order of these, whatever their case and spaces."""
    place = {each: number for number, each in enumerate(known)}
    return sorted((name for name in names if squeezed(name) in place), key=lambda name: place[squeezed(name)])


def is_attribute(name: str) -> bool:
    """Return whether a column is called as one of sex, age and so on: `dspkd.data.metadata.COLUMNS`."""
    return squeezed(name) in _KNOWN


def same(names: Collection[str], wanted: str, table: Path) -> str:
    """Return the column called `wanted`, in any case and spacing; DataError where there is none."""
    column = wanted if wanted in names else find(names, [squeezed(wanted)])
    if column is None:
        raise DataError(f"{table}: no column {wanted!r}; {suggest(wanted, names)}")
    return column


def grouping(
    columns: Mapping[str, Sequence[str]], wanted: str | None, table: Path, *, first: Sequence[str] = ()
) -> Grouping:
    """Choose the column of lesion or patient ids.

    Parameters
    ----------
    columns
        The columns that may be it: not those of images and classes.
    wanted
        The column that the user names; None to choose one by its name.
    table
        The file, for messages.
    first
        Columns that the layout itself names; the first that is filled is taken before any other, unless it names
        lesions or cases and another one patients.

    Raises
    ------
    DataError
        There is no column `wanted`.
    """
    if wanted is not None:
        return Grouping(same(columns, wanted, table))
    named = [name for kind in _IN_ORDER for name in columns if kind.fullmatch(squeezed(name))]
    own = matching(columns, [squeezed(name) for name in first])
    filled = {name: [cell for cell in columns[name] if not names_no_one(cell)] for name in (*own, *named)}
    own = [name for name in own if filled[name]]
    counts = [name for name in named if _COUNT.fullmatch(squeezed(name))]
    stages = [name for name in named if are_stages(columns[name])]
    candidates = [name for name in named if name not in counts]
    flags = [name for name in candidates if len(set(filled[name])) <= 2 < len(filled[name]) / 10]
    arms = [name for name in candidates if squeezed(name) == "group" and _are_few(filled[name]) and name not in flags]
    weak = [name for name in candidates if _WEAK.fullmatch(squeezed(name)) and not are_ids(filled[name])]
    candidates = [name for name in candidates if name not in {*weak, *arms, *own, *flags} and filled[name]]
    people = [name for name in candidates if own and not is_of_people(own[0]) and is_of_people(name)]
    used = [*people, *own, *(name for name in candidates if name not in people)]
    if own:
        return Grouping(used[0], others=tuple(used[1:]))
    notes = [f"column {name!r} has 2 values or fewer: not used as lesion or patient ids" for name in flags]
    if len(used) > 1:
        others = first_few([repr(name) for name in used[1:]])
        order = _ORDER + "; 'group' comes between patient and case" * any(squeezed(name) == "group" for name in used)
        notes.append(
            f"of several columns of ids, {used[0]!r} is used and not {others}: {order}; data.group = {used[1]!r} "
            "or --group changes it"
        )
    of_patients = bool(used) and is_of_people(used[0])
    left_out = {*used, *flags, *counts, *stages, split_column(columns)}
    doubts = [
        f"column {name!r} looks like a lesion or patient id ({repeats(columns[name])}) and is not used: if it is one, "
        f"set data.group = {name!r} in the recipe, or --group {name!r}"
        for name in columns
        if name in arms
        or (name in weak and not (of_patients or name in left_out) and may_be_ids(filled[name]))
        or (not (of_patients or name in left_out or is_attribute(name)) and look_like_ids(name, columns[name]))
    ]
    return Grouping(used[0] if used else None, tuple(notes), tuple(doubts), tuple(used[1:]))


def is_of_people(name: str) -> bool:
    """Return whether a column is called as one of patients is."""
    return _PATIENT.fullmatch(squeezed(name)) is not None


def _are_few(cells: Sequence[str]) -> bool:
    """Return whether cells are so few different ones, each in many rows, that they may be the arms of a study."""
    return len(set(cells)) <= FEWEST < 10 < len(cells) / len(set(cells) or {""})


def is_id(column: str) -> bool:
    """Return whether a column is called as one of patients, cases or lesions is."""
    return any(kind.fullmatch(squeezed(column)) for kind in _KINDS)


def is_person(folder: str) -> bool:
    """Return whether a folder is called after a patient, case or lesion, with a number.

    >>> [is_person(name) for name in ("patient_007", "Lesion 12", "Subject-3", "melanoma", "stage 2", "P1", "1001")]
    [True, True, True, False, False, False, False]
    """
    name = squeezed(folder)
    bare = name.rstrip("0123456789")
    return bare != name and any(kind.fullmatch(bare) for kind in _KINDS)


def is_weak(folder: str) -> bool:
    """Return whether a name such as "case 3" or "visit 3" may also be a kind of case or a visit, and no patient."""
    return _WEAK.fullmatch(squeezed(folder).rstrip("0123456789")) is not None


def may_be_people(folders: Collection[str]) -> bool:
    """Return whether folders are called after patients, cases or lesions, or perhaps by their numbers alone.

    Numbers from 0 or 1 on may be classes, and so may few that are small.

    >>> may_be_people(["patient_1", "patient_2"]), may_be_people(["P1", "P2", "P3"]), may_be_people(["1007", "1044"])
    (True, True, True)
    >>> may_be_people(["0", "1", "2"]), may_be_people(["12", "34", "56"]), may_be_people(["mel", "patient_2"])
    (False, False, False)
    """
    if not folders:
        return False
    codes = [_CODE.fullmatch(squeezed(name)) for name in folders]
    numbers = sorted(int(code[1]) for code in codes if code)
    consecutive = bool(numbers) and numbers in [list(range(start, start + len(numbers))) for start in (0, 1)]
    bare = all(map(str.isdigit, folders))
    coded = len(numbers) == len(folders) and not (bare and (consecutive or numbers[-1] < _FEW))
    return all(map(is_person, folders)) or coded
