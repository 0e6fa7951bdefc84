"""What class names mean: which are malignant, and which is melanoma. `class_table.toml` is the one table of names."""

from __future__ import annotations

import re
import tomllib
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Literal, get_args

from dspkd.errors import DataError, suggest

Malignancy = Literal["malignant", "premalignant", "benign", "unknown"]
"""Of a class: a cancer (in situ included); can become one, or cannot be distinguished from one in an image; neither,
which inflammation and infection are, too; or not known, which counts as needing referral."""

KINDS: tuple[Malignancy, ...] = get_args(Malignancy)
_GRAVEST: tuple[Malignancy, ...] = ("malignant", "premalignant", "unknown", "benign")

_TABLE = Path(__file__).with_name("class_table.toml")

_CANCERS = re.compile(
    r"(?<!\bnon )(?<!\bno )(?<!\bnot )(?<!\bnicht )(?<!\bkein )(?<!\bpre )\b(?!non|pseudo)"
    r"(\w*(carcinom[ae]|karzinom|sarcom[ae]|sarkom|melanom[ae]?|lymphom[ae]?|linfoma|cancer|cancerous|krebs?)"
    r"|\w+ (in situ|maligna)|malignant|malignancy|maligne[rn]?|malign[oa]|basaliom|spinaliom"
    r"|metasta\w+|leukemia|mycosis fungoides|sezary|bowen|paget|merkel|keratoacanthoma)\b"
)
"""Words that make a normalised name malignant where the table does not have it: an error towards referral."""

_DOUBTFUL = re.compile(r"\b(atypical|atypia|dysplas\w+|pre ?(cancer|malignan)\w*)\b")
"""Likewise for premalignant."""

_DOUBTED = re.compile(r"\b(vs|not|no|non|or)\b|^like\b")
"""Words of benign names of the table, after which a class that begins with "benign" is not known to be so."""

_QUESTION = re.compile("[?\u00bf\u061f\u2753\u2754]")
"""A mark, of any script, after which no class is known to be benign."""

_PLAIN = re.compile(
    r"all|any|apocrine|case|category|class|condition|diagnosis|entity|epithelial|fibro|finding|group|growth|histiocytic|in"
    r"|keratinocytic|lipomatous|lump|mass|misc|miscellaneous|neoplasm|neural|nodule|nonmelanocytic|only|patch|pigment"
    r"|plaque|proliferation|remaining|rest|sample|soft|the|type|various|\d+"
)
"""Words that state neither a doubt nor a disease, which a class that begins with "benign" may have besides those of the
benign names of the table (inferred)."""

_ALSO_GRAVER = frozenset({"actinic", "solar", "senile", "spitz", "reed", "spindle"})
"""Words that benign and graver names of the table share, and that mean neither alone (inferred): an actinic lentigo is
benign, an actinic keratosis is not."""

_NOISE = {"photo", "picture", "image"}


@dataclass(frozen=True)
class Diagnosis:
    """A row of the table: whether it is malignant, and its plain name and meaning, "" where it has none."""

    malignancy: Malignancy
    name: str = ""
    meaning: str = ""


def diagnosis(class_name: str) -> Diagnosis | None:
    """Return the row of the table that has this class name, None where none has.

    Case, spelling, plural, punctuation and numbers at either end do not matter.

    >>> diagnosis("02_Naevi").name, diagnosis("naevi of my aunt")
    ('Melanocytic naevus', None)
    """
    return _table().get(_normalised(class_name))


def malignancy(class_name: str) -> Malignancy:
    """Return what the table knows of a class name; a cancer by its words, or several diseases in one, count as well.

    Of several, joined by "and", "or", a comma, a slash or brackets, the gravest counts, and one that is unknown is
    graver than a benign one.

    >>> [malignancy(name) for name in ("bcc", "Nodular-Melanoma-(NM)", "naevus/angioma", "naevus, other")]
    ['malignant', 'malignant', 'benign', 'unknown']
    """
    kind = _stated(class_name)
    questioned = _QUESTION.search(unicodedata.normalize("NFKC", class_name))
    return "unknown" if kind == "benign" and questioned else kind


def _stated(class_name: str) -> Malignancy:
    """Return what the words of a name state, whether or not they are questioned."""
    if row := diagnosis(class_name):
        return row.malignancy
    if _CANCERS.search(_normalised(class_name)):
        return "malignant"
    if _DOUBTFUL.search(_normalised(class_name)):
        return "premalignant"
    if re.match(r"\s*benign[\W_]", class_name, re.IGNORECASE) and len(_parts(class_name)) == 1:
        return _of_benign(class_name)
    rows = [_table().get(part) for part in _parts(class_name)]
    kinds = [row.malignancy if row else "unknown" for row in rows] or ["unknown"]
    return min(kinds, key=_GRAVEST.index)


def _of_benign(class_name: str) -> Malignancy:
    """Return what a name that begins with "benign" states: a graver disease, a doubt or an unknown word counts.

    The words of a disease may be in any order, as in "benign keratosis, actinic".
    """
    words = _normalised(class_name).split()[1:]
    rows = {name: row for name, row in _table().items() if set(name.split()) <= set(words)}
    kinds: list[Malignancy] = [row.malignancy for row in rows.values()]
    plain = all(word in _benign_words() or _PLAIN.fullmatch(word) for word in words)
    whole = _ALSO_GRAVER.isdisjoint(set(words) - set(" ".join(rows).split()))
    known = plain and whole and not _DOUBTED.search(" ".join(words))
    return min([*kinds, "benign" if known else "unknown"], key=_GRAVEST.index)


def malignancies(
    classes: Sequence[str], malignant: Sequence[str] = (), benign: Sequence[str] = ()
) -> tuple[Malignancy, ...]:
    """Return what is known of each class, in their order.

    Parameters
    ----------
    classes
        Names of the K classes.
    malignant, benign
        Those of them that the recipe states to be so; the table has the others.

    Raises
    ------
    DataError
        One is no class, is stated to be both, or is stated to be benign against the table.
    """
    for key, names in (("malignant", malignant), ("benign", benign)):
        for name in names:
            if name not in classes:
                raise DataError(f"data.{key}: there is no class {name!r}; {suggest(name, classes)}")
            if name in malignant and name in benign:
                raise DataError(f"data.malignant and data.benign both name {name!r}; keep one of the two")
            if key == "benign" and malignancy(name) == "malignant":
                raise DataError(
                    f"data.benign: {name!r} is the name of a cancer; if it is none here, a class map (data.classes) "
                    "gives it another name"
                )
    return tuple(
        "malignant" if name in malignant else "benign" if name in benign else malignancy(name) for name in classes
    )


def in_words(classes: Sequence[str], kinds: Sequence[Malignancy], recipe: str = "the recipe") -> list[str]:
    """Return a line on which classes count as what, and one that asks about those that are unknown, if any.

    >>> in_words(("MEL", "AK", "BCC", "NV"), ("malignant", "premalignant", "malignant", "benign"))
    ['classes: malignant MEL, BCC; premalignant AK; benign NV']
    """
    of = {kind: [name for name, each in zip(classes, kinds, strict=True) if each == kind] for kind in KINDS}
    lines = ["classes: " + "; ".join(f"{kind} {', '.join(of[kind])}" for kind in KINDS if of[kind])]
    if unknown := of["unknown"]:
        they, are, count, them = ("it", "is", "counts", "it") if len(unknown) == 1 else ("they", "are", "count", "them")
        lines.append(
            f"not known whether {', '.join(unknown)} {are} malignant: {they} {count} as needing referral until "
            f"data.malignant or data.benign in {recipe} names {them}"
        )
    return lines


def melanoma(classes: Sequence[str]) -> int | None:
    """Return the number of the class that the table calls melanoma, such as MEL.

    None where no class is called so. None, too, where several are: melanomas are then spread over these classes, and
    a sensitivity or a referral threshold for one of them would miss the others. A class map merges them.

    >>> melanoma(("NV", " Melanoma ")), melanoma(("NV", "BCC")), melanoma(("MEL", "melanoma"))
    (1, None, None)
    """
    matches = [
        number for number, name in enumerate(classes) if (row := diagnosis(name)) is not None and row.name == "Melanoma"
    ]
    return matches[0] if len(matches) == 1 else None


@cache
def _table() -> dict[str, Diagnosis]:
    rows = tomllib.loads(_TABLE.read_text(encoding="utf-8"))["diagnosis"]
    return {
        _normalised(alias): Diagnosis(row["malignancy"], row.get("name", ""), row.get("meaning", ""))
        for row in rows
        for alias in row["names"]
    }


@cache
def _benign_words() -> frozenset[str]:
    """Return the words of the benign names of the table."""
    return frozenset(word for name, row in _table().items() if row.malignancy == "benign" for word in name.split())


def _parts(class_name: str) -> list[str]:
    """Return the normalised names of the diseases that one class joins."""
    pieces = re.split(r"[()\[\]/,;&+|]", class_name)
    parts = [part for piece in pieces for part in re.split(r"\band\b|\bor\b", _normalised(piece))]
    return [part.strip() for part in parts if part.strip()]


def _normalised(class_name: str) -> str:
    """Return a name in lower-case words, American and singular, without numbers at its ends."""
    text = re.sub(r"(?<=[a-z])(?=[A-Z][a-z])", " ", class_name)  # BlueNaevus
    text = unicodedata.normalize("NFKD", text).casefold()
    text = "".join(letter for letter in text if not unicodedata.combining(letter) and letter not in "'\u2019")
    for variant, usual in (("æ", "ae"), ("œ", "oe"), ("ae", "e"), ("oe", "e"), ("tumour", "tumor"), ("&", " and ")):
        text = text.replace(variant, usual)
    words = [_singular(word) for word in re.findall(r"[^\W_]+", text)]
    words = [word for word in words if word not in _NOISE]
    number = re.compile(r"\d+k?$")
    while words and number.match(words[0]):
        words = words[1:]
    while words and number.match(words[-1]):
        words = words[:-1]
    return " ".join(words)


def _singular(word: str) -> str:
    if word == "nevi":
        return "nevus"
    if word.endswith("oses"):
        return f"{word[:-2]}is"
    if word.endswith("s") and not word.endswith(("ss", "is", "us")) and len(word) > 3:
        return word[:-1]
    return word
