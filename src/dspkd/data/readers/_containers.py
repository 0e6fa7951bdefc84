"""Files that may hold images or labels and are not read here: archives, databases, old spreadsheets."""

from __future__ import annotations

from pathlib import Path

from dspkd.data.image_files import files_below, ignored
from dspkd.errors import first_few

_TABLE = "a labels.csv with the columns 'image' and 'label'"
_WRITE_OUT = f"write the images out as JPEG or PNG, with {_TABLE} unless a table names them already"
_UNPACK = "unpack {them} first"
_CONTAINERS = {
    **dict.fromkeys((".zip", ".7z", ".rar", ".tgz", ".tar.gz", ".tar.bz2", ".tar.xz"), _UNPACK),
    ".tar": f"{_UNPACK}; what is in a WebDataset needs {_TABLE} too",
    **dict.fromkeys((".tfrec", ".tfrecord", ".tfrecords"), f"TFRecord is not read here; {_WRITE_OUT}"),
    **dict.fromkeys((".npz", ".npy", ".h5", ".hdf5"), f"arrays other than MedMNIST's are not read here; {_WRITE_OUT}"),
    ".mdb": f"LMDB is not read here; {_WRITE_OUT}",
}
"""``{ending of a name: what makes its images readable}``."""

_SHEETS = (".xls", ".ods", ".xlsm", ".numbers")
_LABELS = (
    *(".json", ".xml", ".yaml", ".yml", ".txt", ".mat", ".pkl", ".pickle"),
    *(".sqlite", ".sqlite3", ".db", ".accdb", ".sav", ".dta", ".sas7bdat", ".rds", ".rdata"),
    *_SHEETS,
)
"""Suffixes of files that may hold labels, and are no table of ours."""
_ABOUT = ("readme", "licen", "copying", "notice", "attribution", "citation", "changelog")
"""How names of files begin that hold no labels."""


def containers_below(path: Path) -> str:
    """Return, for a message, which files below a folder may hold the images, and what to do; "" where none does."""
    found: dict[str, list[str]] = {}
    for file in files_below(path) if path.is_dir() else ():
        remedy = next((remedy for end, remedy in _CONTAINERS.items() if file.name.lower().endswith(end)), None)
        if remedy is not None:
            found.setdefault(remedy, []).append(file.relative_to(path).as_posix())
    return "".join(
        f"; {first_few(names)} may hold the images: {remedy.format(them='it' if len(names) == 1 else 'them')}"
        for remedy, names in found.items()
    )


def labels_in(path: Path) -> str:
    """Return, for a message, which files in a folder may hold labels and are read as no table; "" where none does."""
    names = sorted(
        file.name
        for file in path.iterdir()
        if file.suffix.lower() in _LABELS
        and file.is_file()
        and not ignored(file.name)
        and not file.name.lower().startswith(_ABOUT)
    )
    if not names:
        return ""
    sheets = all(name.lower().endswith(_SHEETS) for name in names)
    then = (
        "save it as .xlsx or CSV, with the columns 'image' and 'label'"
        if sheets
        else "write a labels.csv with the columns 'image' and 'label', or a list of objects as JSON, such as "
        '[{"image": ..., "label": ...}]'
    )
    no_table = "is not a table that is" if len(names) == 1 else "are not tables that are"
    return f"{first_few(names)}, which may name the classes but {no_table} read here; {then}"
