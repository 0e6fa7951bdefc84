"""Image files on disk: which files are images, where they lie, and which cannot be read."""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from importlib.util import find_spec
from operator import attrgetter
from pathlib import Path

from PIL import Image

from dspkd.data.part_names import holds_no_class
from dspkd.errors import DataError, first_few

HEIF = frozenset({".heic", ".heif", ".hif"})
"""Suffixes of the photographs of iPhones, read where `pillow-heif` is installed."""

_ALWAYS = {".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".bmp", ".tif", ".tiff", ".webp", ".gif", ".dcm"}
_WHERE_INSTALLED = {
    **dict.fromkeys(HEIF, ("pillow_heif", "pip install 'dspkd[heic]'")),
    ".avif": ("PIL._avif", "pip install --upgrade pillow"),
}

SUFFIXES = frozenset(_ALWAYS | {suffix for suffix, (module, _) in _WHERE_INSTALLED.items() if find_spec(module)})
"""Suffixes of image files that can be read here, in lower case."""

_KNOWN = SUFFIXES | _WHERE_INSTALLED.keys()

_NO_IMAGES = frozenset(
    {".txt", ".csv", ".tsv", ".tab", ".md", ".rst", ".json", ".jsonl", ".toml", ".yaml", ".yml", ".xml", ".html"}
    | {".htm", ".pdf", ".doc", ".docx", ".xls", ".xlsx", ".ods", ".rtf", ".parquet", ".zip", ".tar", ".gz", ".tgz"}
    | {".7z", ".rar", ".py", ".ipynb", ".r", ".m", ".sh", ".npz", ".npy", ".h5", ".hdf5", ".pkl", ".mat", ".pt"}
    | {".pth", ".safetensors", ".onnx", ".log", ".ini", ".cfg", ".lock", ".bib", ".tex", ".db", ".url", ".lnk"}
    | {".md5", ".sha256", ".partial", ".arrow", ".feather", ".tfrec", ".tfrecord", ".tfrecords", ".mdb"}
    | {".xlsm", ".cls"}
)
_NO_IMAGE_NAMES = frozenset(
    ["readme", "license", "licence", "citation", "changelog", "notice", "authors", "makefile", "md5sums", "sha256sums"]
)
_IGNORED = frozenset(
    {"__macosx", "thumbs.db", "desktop.ini", "@eadir", "$recycle.bin", "system volume information", "lost+found"}
)


def ignored(name: str) -> bool:
    """Return whether a file or folder of this name is skipped: hidden, or left by an operating system or by Excel.

    >>> [ignored(name) for name in ("._IMG_1.JPG", ".DS_Store", "__MACOSX", "Thumbs.db", "~$labels.xlsx", "IMG_1.JPG")]
    [True, True, True, True, True, False]
    """
    return name.startswith((".", "~$")) or name.lower() in _IGNORED


def folders_in(path: Path) -> list[Path]:
    """Return the folders in a folder, sorted by name; links are followed, unless they lead back to it."""
    real = path.resolve()
    above = {real, *real.parents}
    inner = [path / entry.name for entry in _entries(path) if is_folder(entry)]
    return [each for each in inner if not (each.is_symlink() and each.resolve() in above)]


def only_folder_of_images(path: Path) -> Path | None:
    """Return the only folder in a folder, or the only one that holds images other than masks.

    None where there is none, there are several, or images lie beside it.
    """
    folders = folders_in(path)
    if images_in(path):
        return None
    if len(folders) > 1:
        folders = [each for each in folders if not holds_no_class(each.name) and any(map(_is_image, files_below(each)))]
    return folders[0] if len(folders) == 1 else None


def images_in(path: Path) -> list[Path]:
    """Return the image files in a folder, sorted by name."""
    return sorted(file for file in _files_in(path) if _is_image(file))


def images_below(path: Path) -> list[Path]:
    """Return the image files in a folder and the folders below it, sorted by path; links are followed."""
    return [file for file in files_below(path) if _is_image(file)]


def unread_in(path: Path) -> list[Path]:
    """Return the files in a folder that may be images and cannot be read here, sorted by name."""
    return sorted(file for file in _files_in(path) if _is_unread(file))


def unread_below(path: Path) -> list[Path]:
    """Return the files in a folder and below it that may be images and cannot be read here, sorted by path."""
    return [file for file in files_below(path) if _is_unread(file)]


def files_below(path: Path, _above: frozenset[str] = frozenset()) -> Iterator[Path]:
    """Yield the files in a folder and the folders below it, sorted by path.

    Linked folders are followed, except those that lead back to a folder above them; `ignored` names are skipped.
    """
    real = os.path.realpath(path)
    if any(f"{folder}{os.sep}".startswith(f"{real}{os.sep}") for folder in _above):
        return
    for entry in _entries(path):
        if is_folder(entry):
            yield from files_below(path / entry.name, _above | {real})
        else:
            yield path / entry.name


def is_folder(entry: os.DirEntry[str]) -> bool:
    """Return whether an entry is a folder, or a link to one; a link to itself is none."""
    try:
        return entry.is_dir()
    except OSError:
        return False


def unread_note(files: Sequence[Path], root: Path) -> str:
    """Return a line that counts and names files that are not read, by suffix, with what would read them."""
    by_suffix: dict[str, list[str]] = defaultdict(list)
    for file in files:
        by_suffix[file.suffix.lower() or "without suffix"].append(file.relative_to(root).as_posix())
    kinds = []
    for suffix, names in sorted(by_suffix.items(), key=lambda item: (-len(item[1]), item[0])):
        kind = "animated .gif" if suffix == ".gif" else suffix
        hint = f"; to read them: {remedy(suffix)}" if remedy(suffix) else ""
        kinds.append(f"{len(names):,} {kind} ({first_few(names)}{hint})")
    total = "1 file is" if len(files) == 1 else f"{len(files):,} files are"
    return f"{total} not read as images and left out: {', '.join(kinds)}"


def remedy(suffix: str) -> str:
    """Return how to make files of this suffix readable; "" where nothing is known to."""
    return _WHERE_INSTALLED[suffix][1] if suffix in _WHERE_INSTALLED else ""


def refuse_other_encodings(files: Iterable[Path]) -> None:
    """Raise DataError if the names of files are not UTF-8: no table, report or cache could hold them."""
    other = [name for name in map(os.fspath, files) if not name.isascii() and not _is_utf8(name)]
    if other:
        such = first_few([os.fsencode(name).decode("utf-8", "backslashreplace") for name in other])
        raise DataError(f"file names are not UTF-8: {such}; rename these files, or their folders")


def _is_utf8(name: str) -> bool:
    try:
        name.encode()
    except UnicodeEncodeError:
        return False
    return True


def bare(name: str) -> str:
    """Return the name of an image without folders and without the suffix of an image file.

    >>> bare("NV/ISIC_0000001.jpg"), bare("ISIC_0000001"), bare("IMG_7.HEIC")
    ('ISIC_0000001', 'ISIC_0000001', 'IMG_7')
    """
    file = os.path.basename(name)  # noqa: PTH119 - five times as fast, and tables have many
    stem, suffix = os.path.splitext(file)  # noqa: PTH122
    return stem if suffix.lower() in _KNOWN else file


def _files_in(path: Path) -> Iterable[Path]:
    return (path / entry.name for entry in _entries(path) if not is_folder(entry))


def _entries(path: Path) -> list[os.DirEntry[str]]:
    """Return what is in a folder but `ignored` names, sorted by name; DataError where it cannot be listed."""
    try:
        with os.scandir(path) as scanned:
            return sorted((entry for entry in scanned if not ignored(entry.name)), key=attrgetter("name"))
    except OSError as error:
        raise DataError(f"{path}: cannot be listed: {error.strerror}; make it readable, or move it away") from None


def _is_image(file: Path) -> bool:
    suffix = file.suffix.lower()
    return suffix in SUFFIXES and not (suffix == ".gif" and _is_animated(file))


def _is_unread(file: Path) -> bool:
    suffix = file.suffix.lower()
    if suffix in SUFFIXES:
        return suffix == ".gif" and _is_animated(file)
    return suffix not in _NO_IMAGES and (suffix != "" or file.name.lower() not in _NO_IMAGE_NAMES)


def _is_animated(file: Path) -> bool:
    """Return whether a GIF has several frames; a damaged one counts as an image, and decoding reports it."""
    try:
        with Image.open(file, formats=["GIF"]) as image:
            return bool(getattr(image, "is_animated", False))
    except Exception:
        return False
