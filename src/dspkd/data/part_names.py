"""Names of training, validation and test set, as data sets are published: folders, and cells of a column."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Collection, Iterable, Mapping, Sequence

_SPELLINGS = {
    "train": (
        "train", "training", "trn", "trainset", "trainings",
        "apprentissage", "entrainement", "entrenamiento", "treino", "treinamento", "addestramento",
    ),
    "val": (
        "val", "valid", "validation", "validate", "validating", "dev", "development", "tune", "tuning",
        "validierung", "validierungs", "validacion", "validacao", "validazione",
    ),
    "test": (
        "test", "testing", "tst", "holdout", "heldout", "eval", "evaluation",
        "tests", "teste", "prueba", "pruebas", "prova",
    ),
}  # fmt: skip
"""Those of the Hugging Face hub, and others in use; also German, French, Spanish, Portuguese and Italian."""

_ANY_SPELLING = "|".join(sorted(sum(_SPELLINGS.values(), ()), key=len, reverse=True))
_ADDED = (
    "set|data|dataset|split|part|partition|folder|dir|directory|input|images?|imgs?|photos?|pictures?|samples?|files?|"
    "labels?|metadata|groundtruth|annotations?|list"
)
_SETS = "isic|isbi|ham|bcn|milk|pad|ddi|derm7pt|dermnet|fitzpatrick|scin"
_NAME = re.compile(
    rf"\d{{0,2}}(?:(?:{_SETS})[a-z0-9]*?)?(?:{_ADDED}|public|private|internal|external)*?"
    rf"({_ANY_SPELLING})(?:{_ADDED})*(?:(?:19|20)\d\d)?"
)
"""Numbered, after the name of a published set, with words that say what is in it, and with a year."""
_PART_OF = {spelling: part for part, spellings in _SPELLINGS.items() for spelling in spellings}

_COLUMNS = re.compile(
    r"(?:data|dataset|official|original|default)?(?:splits?|set|subset|partition|part|phase|usage|fold(?:name|type))"
    r"(?:name|type|label|set)?|train(?:val)?(?:test)?(?:val)?(?:split)?|traintestval"
)
_UNCLEAR = re.compile(
    r"\w*(?:split|subset|partition)\w*|usage|phase|cohort|(?:cv|kfold|k)?folds?(?:id|no|nr|num|number|index)?"
    rf"|(?:is|in|for|use)?(?:{_ANY_SPELLING})(?:set|data|flag)?"
)
"""Columns that may name a part by a number, a letter or a flag, as `squeezed` writes them."""
_ANY_CLASS = re.compile(
    r"(?:images?|imgs?|pictures?|photos?|jpe?gs?|pngs?|data|inputs?|raw|files)[ _-]?\d*"
    r"|.*[ _-]input|(?:.*[ _-])?images?[ _-]part[ _-]?\d+|part[ _-]?\d+"
    rf"|(?:isic|isbi|dermnet|derm7pt|fitzpatrick|(?:{_SETS}|padufes)(?![a-z]))[\w-]*?[ _-]"
    r"(?:data|images?|photos?|train|test)",
    re.IGNORECASE,
)
"""Names of folders that hold images of any class, as published sets and exports have them; a hamartoma is no HAM."""
_NO_CLASS = re.compile(
    r"(?:image|img|lesion|binary)?(?:masks?|segmentations?(?:masks?|maps?)?|groundtruths?|annotations?)(?:images?|files?)?"
    r"|(?:un|not)labell?ed(?:images?|data|set)?"
)
"""Names of folders, as `squeezed` writes them, whose images have no class."""
_UNSEEN = re.compile("[\u00ad\u200b-\u200f\u202a-\u202e\u2060\u2066-\u2069\ufeff]")
"""Characters of no width, as copied text has them."""
_DASHES = re.compile("[\u2010-\u2015\u2212]")
"""Hyphens and dashes that a word processor puts in place of "-"."""
_DISTINCT = 12
"""Different cells beyond which a column is no split."""
_MISSING = frozenset({"", "nan", "na", "n/a", "null", "none", "<na>", "#n/a"})
"""Cells that programs write for a missing value, in lower case."""
_ERROR = re.compile(r"#(?:div/0|[^\W\d_]+)[!?]|#n/?[adv]")
"""Errors of a spreadsheet in any language, in lower case: #REF!, #DIV/0!, #WERT!, #NV."""

_UNKNOWN = """
    unknown unkn unk unidentified undefined undetermined indeterminate unspecified unassigned unavailable unrecorded
    unstated unreported missing notavailable notprovided notrecorded notknown notspecified notstated notgiven
    notapplicable notassigned notdefined notdetermined notreported nodata novalue
    unbekannt unbek nichtbekannt nichtangegeben nichtvorhanden nichtverfügbar nichterfasst nichtzutreffend keineangabe
    keineangaben keinedaten ohneangabe fehlt fehlend
    inconnu inconnue nonconnu nonrenseigné nonrenseignée nonprécisé nonspécifié nondisponible nondéterminé manquant
    manquante indéterminé desconocido desconocida nodisponible noconocido noespecificado sinespecificar sindatos
    faltante noconsta desconhecido desconhecida nãodisponível nãoinformado nãoespecificado semdados ignorado
    sconosciuto sconosciuta nondisponibile nonnoto nonnota nonspecificato mancante ignoto
    onbekend nietbekend nietbeschikbaar ontbreekt okänd okänt ukendt ukjent tuntematon nieznany nieznana nieznane brak
    brakdanych neznámý neznámá neuvedeno neznano nepoznato ismeretlen necunoscut bilinmiyor bilinmeyen
    άγνωστο άγνωστος неизвестно неизвестен неизвестный нетданных невідомо غيرمعروف
    不明 未知 不详 未記入 未记录 无 無 미상 불명 알수없음
"""
_NO_ONE = """
    anonymous anonym anonymus anonymised anonymized anonymisiert anonyme anonymisé anonimo anónimo anonimizado
    anonimizzato anoniem anonimowy аноним 匿名 익명 deidentified pseudonymised pseudonymized withheld hidden redacted
    confidential removed noid nopatient nolesion noname withoutid ohneid keineid sansid sinid semid senzaid xxx
"""
_OF_WHAT = (
    "(?:patient(?:en|in|s)?|pat|paciente|paziente|person|subject|lesion|case|fall|identifier|ids?|names?|number|no|nr)"
)
"""Words beside these: "unknown patient", "patient id not recorded"."""


def _letters(text: str) -> str:
    return re.sub(r"[\W_]", "", unicodedata.normalize("NFKD", text).casefold())


_UNKNOWN_WORDS, _NO_ONE_WORDS = (
    re.compile(f"{_OF_WHAT}*(?:{'|'.join(map(_letters, words.split()))}){_OF_WHAT}*|na|nan|nat|nil|null|none|void")
    for words in (_UNKNOWN, f"{_UNKNOWN} {_NO_ONE}")
)


def squeezed(name: str) -> str:
    """Return a name in lower case without accents, spaces, hyphens and other marks, by which names are compared.

    >>> squeezed("Patient ID"), squeezed("patient_id"), squeezed("Lesion-No."), squeezed("Läsion")
    ('patientid', 'patientid', 'lesionno', 'lasion')
    """
    return re.sub(r"[^a-z0-9]", "", unicodedata.normalize("NFKD", name).lower())


def visible(text: str) -> str:
    r"""Return a text without marks that nobody sees, such as a zero-width space, and with one kind of hyphen.

    >>> visible("P\u20137\u200b"), visible("\ufeffnv")
    ('P-7', 'nv')
    """
    return text if text.isascii() else _DASHES.sub("-", _UNSEEN.sub("", text))


def is_missing(cell: str) -> bool:
    """Return whether a cell is empty, or what programs write for a missing value.

    >>> [is_missing(cell) for cell in ("", "NaN", "None", "<NA>", "unknown", "0")]
    [True, True, True, True, False, False]
    >>> [is_missing(cell) for cell in ("#REF!", "#DIV/0!", "#NAME?", "#NV", "#12")]
    [True, True, True, True, False]
    """
    plain = cell.strip().lower()
    return plain in _MISSING or (plain.startswith("#") and _ERROR.fullmatch(plain) is not None)


def is_unknown(cell: str) -> bool:
    """Return whether a cell is missing, or says in one of many languages that its value is unknown.

    >>> [is_unknown(cell) for cell in ("N.A.", "Unknown patient", "nicht bekannt", "--", "unknown 2", "0", "nv")]
    [True, True, True, True, False, False, False]
    """
    return _says(cell, _UNKNOWN_WORDS)


def names_no_one(cell: str) -> bool:
    """Return whether a cell of lesion or patient ids is unknown, or says that the id is withheld.

    >>> [names_no_one(cell) for cell in ("anonymous", "No ID", "XXX", "anonymous_12", "P1")]
    [True, True, True, False, False]
    """
    return _says(cell, _NO_ONE_WORDS)


def _says(cell: str, words: re.Pattern[str]) -> bool:
    if is_missing(cell):
        return True
    if re.search(r"\d", cell):
        return False
    return not (letters := _letters(cell)) or words.fullmatch(letters) is not None


def part_of(name: str) -> str | None:
    """Return the part that a folder or cell of this name is, ``train``, ``val`` or ``test``; None for another name.

    >>> [part_of(name) for name in ("Train", "valid", "test_set", "01_Training Data", "PublicTest", "train3")]
    ['train', 'val', 'test', 'train', 'test', None]
    >>> [part_of(name) for name in ("1_train", "val_dir", "ham_test_labels", "train2017", "Patch test", "hamster test")]
    ['train', 'val', 'test', 'train', None, 'test']
    """
    match = _NAME.fullmatch(squeezed(name))
    if match is None:
        return None
    part = _PART_OF[match[1]]
    return "test" if part == "val" and "external" in squeezed(name) else part


def holds_any_class(name: str) -> bool:
    """Return whether a folder of this name holds images of any class: a part, or one called after its content.

    >>> [holds_any_class(name) for name in ("HAM10000_images_part_1", "Train", "ISIC_2019_Training_Input", "images")]
    [True, True, True, True]
    >>> [holds_any_class(name) for name in ("melanoma", "Acne and Rosacea Photos", "hamartoma_images", "NV")]
    [False, False, False, False]
    """
    return part_of(name) is not None or _ANY_CLASS.fullmatch(name.strip()) is not None


def holds_no_class(name: str) -> bool:
    """Return whether a folder of this name holds what has no class: masks, or unlabelled images.

    >>> [holds_no_class(name) for name in ("masks", "Ground_Truth", "unlabeled", "lesion masks", "NV", "mask of acne")]
    [True, True, True, True, False, False]
    """
    return _NO_CLASS.fullmatch(squeezed(name)) is not None


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


def unclear_column(columns: Mapping[str, Sequence[str]]) -> str | None:
    """Return a column that may name the part of each image, though `split_column` does not understand it, or None.

    It has a name such as ``fold``, ``is_test`` or ``Usage``, or a cell that is a part; and two to `_DISTINCT` different
    cells.
    """
    for name, column in columns.items():
        cells = {cell for cell in column if not is_missing(cell)}
        if 2 <= len(cells) <= _DISTINCT and (_UNCLEAR.fullmatch(squeezed(name)) or any(map(part_of, cells))):
            return name
    return None


def unclear_folders(names: Sequence[str]) -> tuple[str, ...]:
    """Return the folders that are parts where `folders_of` finds no split, and not all images are in one of them."""
    folders = {next((each for each in name.split("/")[:-1] if part_of(each)), "") for name in names}
    return tuple(sorted(folders - {""})) if len(folders) > 1 and not folders_of(names) else ()


def _is_split(parts: Collection[str]) -> bool:
    return "train" in parts and len(set(parts)) > 1
