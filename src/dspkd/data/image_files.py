"""Image files on disk: which files are images, and where they lie."""

from __future__ import annotations

from pathlib import Path, PurePath

SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".bmp", ".tif", ".tiff", ".webp", ".dcm"})
"""Suffixes of image files, in lower case."""


def folders_in(path: Path) -> list[Path]:
    """Return the folders in a folder, sorted by name, without hidden ones."""
    return sorted(inner for inner in path.iterdir() if inner.is_dir() and not inner.name.startswith("."))


def images_in(path: Path) -> list[Path]:
    """Return the image files in a folder, sorted by name, without hidden ones."""
    return sorted(f for f in path.iterdir() if f.suffix.lower() in SUFFIXES and not f.name.startswith("."))


def images_below(path: Path) -> list[Path]:
    """Return the image files in a folder and the folders below it, sorted by path, without hidden ones."""
    return sorted(f for f in path.rglob("*") if f.suffix.lower() in SUFFIXES and not hidden(f, path))


def hidden(file: Path, root: Path) -> bool:
    """Return whether the file, or a folder between it and `root`, has a name that starts with a dot."""
    return any(part.startswith(".") for part in file.relative_to(root).parts)


def bare(name: str) -> str:
    """Return the name of an image without folders and without the suffix of an image file.

    >>> bare("NV/ISIC_0000001.jpg"), bare("ISIC_0000001")
    ('ISIC_0000001', 'ISIC_0000001')
    """
    file = PurePath(name)
    return file.stem if file.suffix.lower() in SUFFIXES else file.name
