"""Names of training, validation and test set, as data sets are published: folders, and cells of a column."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping, Sequence

_SPELLINGS = {
    "train": ("train", "training", "trn", "trainset"),
    "val": ("val", "valid", "validation", "validate", "validating", "dev", "development", "tune", "tuning"),
    "test": ("test", "testing", "tst", "holdout", "heldout", "eval", "evaluation"),
}
"""Those of the Hugging Face hub, and others in use."""

_ADDED = "set|data|dataset|split|part|partition|folder|input|images?|imgs?|photos?|pictures?|samples?"
_NAME = re.compile(
    rf"(?:{_ADDED})*?({'|'.join(sorted(sum(_SPELLINGS.values(), ()), key=len, reverse=True))})(?:{_ADDED})*"
)
_PART_OF = {spelling: part for part, spellings in _SPELLINGS.items() for spelling in spellings}

_COLUMNS = re.compile(
    r"(?:data|dataset|official|original|default)?(?:splits?|set|subset|partition|part|phase|usage|fold(?:name|type))"
    r"(?:name|type|label|set)?|train(?:val)?(?:test)?(?:val)?(?:split)?|traintestval"
)
_ANY_CLASS = re.compile(
    r"(?:images?|imgs?|pictures?|photos?|jpe?gs?|pngs?|data|inputs?|raw|files)[ _-]?\d*"
    r"|.*[ _-]input|(?:.*[ _-])?images?[ _-]part[ _-]?\d+|part[ _-]?\d+"
    r"|(?:isic|isbi|ham|bcn|milk|pad|ddi|derm7pt|fitzpatrick|scin)[\w-]*?[ _-](?:data|images?|photos?|train|test)",
    re.IGNORECASE,
)
"""Names of folders that hold images of any class, as published sets and exports have them."""
_DISTINCT = 12
"""Different cells beyond which a column is no split."""
_MISSING = frozenset({"", "nan", "na", "n/a", "null", "none", "<na>", "#n/a"})
"""Cells that programs write for a missing value, in lower case."""


def squeezed(name: str) -> str:
    """Return a name in lower case without spaces, hyphens and other marks, by which names are compared.

    >>> squeezed("Patient ID"), squeezed("patient_id"), squeezed("Lesion-No.")
    ('patientid', 'patientid', 'lesionno')
    """
    return re.sub(r"[^a-z0-9]", "", name.lower())


def is_missing(cell: str) -> bool:
    """Return whether a cell is empty, or what programs write for a missing value.

    >>> [is_missing(cell) for cell in ("", "NaN", "None", "<NA>", "unknown", "0")]
    [True, True, True, True, False, False]
    """
    return cell.strip().lower() in _MISSING


def is_unknown(cell: str) -> bool:
    """Return whether a cell is missing or says that its value is unknown, which may be a class but is no patient."""
    return is_missing(cell) or cell.strip().lower() in ("unknown", "unk")


def part_of(name: str) -> str | None:
    """Return the part that a folder or cell of this name is, ``train``, ``val`` or ``test``; None for another name.

    >>> [part_of(name) for name in ("Train", "valid", "test_set", "Training Data", "melanoma", "train3")]
    ['train', 'val', 'test', 'train', None, None]
    """
    match = _NAME.fullmatch(squeezed(name))
    return None if match is None else _PART_OF[match[1]]


def holds_any_class(name: str) -> bool:
    """Return whether a folder of this name holds images of any class: a part, or one called after its content.

    >>> [holds_any_class(name) for name in ("HAM10000_images_part_1", "Train", "ISIC_2019_Training_Input", "images")]
    [True, True, True, True]
    >>> [holds_any_class(name) for name in ("melanoma", "Acne and Rosacea Photos", "benign_images", "NV")]
    [False, False, False, False]
    """
    return part_of(name) is not None or _ANY_CLASS.fullmatch(name.strip()) is not None


def parts_of(names: Iterable[str]) -> dict[str, str]:
    """Return ``{name: part}`` of the names that are one; beside a test set, "eval" and the like are for validation."""
    part = {name: each for name in dict.fromkeys(names) if (each := part_of(name)) is not None}
    tests = {name for name in part if part[name] == "test"}
    evals = {name for name in tests if "eval" in squeezed(name)}
    if evals < tests:
        part |= dict.fromkeys(evals, "val")
    return part


def split_column(columns: Mapping[str, Sequence[str]]) -> str | None:
    """Return the column that names the part of each image, or None.

    Such a column holds at least two parts, the training set among them. Any name will do where every cell is a part; a
    column called ``split``, ``set``, ``partition`` and so on may also hold cells that are none: see
    `dspkd.data.official_split.of`, which refuses them.
    """
    named = sorted(columns, key=lambda name: _COLUMNS.fullmatch(squeezed(name)) is None)
    for name in named:
        cells = set(columns[name])
        if len(cells) > _DISTINCT:
            continue
        parts = parts_of(cells)
        if _is_split(parts.values()) and (cells == parts.keys() or _COLUMNS.fullmatch(squeezed(name))):
            return name
    return None


def folders_of(names: Sequence[str]) -> tuple[str, ...]:
    """Return for each image, named by its path, the folder that is a part, "" where none is; empty without parts.

    The training set must be among the folders, and another part.
    """
    folders = [next((each for each in name.split("/")[:-1] if part_of(each)), "") for name in names]
    return tuple(folders) if _is_split(parts_of(folders).values()) else ()


def _is_split(parts: Collection[str]) -> bool:
    return "train" in parts and len(set(parts)) > 1
