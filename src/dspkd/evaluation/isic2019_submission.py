"""The submission file of the ISIC 2019 challenge, written with the standard library alone."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path, PurePosixPath

from dspkd.errors import DataError
from dspkd.runtime import csv_text
from dspkd.runtime.files import atomic_open

CATEGORIES = ("MEL", "NV", "BCC", "AK", "BKL", "DF", "VASC", "SCC", "UNK")
"""The columns of a submission, in the challenge's order; the last one is for images of none of the others."""


def write(path: Path, classes: Sequence[str], ids: Sequence[str], probabilities: Iterable[Iterable[float]]) -> None:
    """Write a submission file: columns ``image, MEL, NV, ..., UNK``, an image a row.

    An image is named by its file without folder and ``.jpg``. A class that the network does not have gets 0, and so
    does UNK. Makes the folder of `path`; the file is replaced as a whole.

    Parameters
    ----------
    path
        The file.
    classes, ids
        Names of the K classes and of the N images.
    probabilities
        ``[N, K]``.

    Raises
    ------
    DataError
        Where the network has a class that the challenge lacks, or two images have the same name.
    """
    check(classes)
    images = [PurePosixPath(name).name.removesuffix(".jpg") for name in ids]
    for name, count in Counter(images).items():
        if count > 1:
            raise DataError(f"{count} images have the name {name!r}; names in a submission must differ")
    column = {name: number for number, name in enumerate(classes)}
    path.parent.mkdir(parents=True, exist_ok=True)
    with atomic_open(path) as file:
        rows = csv_text.Writer(file)
        rows.writerow(["image", *CATEGORIES])
        for image, p_K in zip(images, probabilities, strict=True):
            values = [float(p) for p in p_K]
            rows.writerow([image, *(repr(values[column[name]]) if name in column else "0.0" for name in CATEGORIES)])


def check(classes: Sequence[str]) -> None:
    """Raise DataError where a network has a class that the challenge lacks."""
    if unknown := [name for name in classes if name not in CATEGORIES]:
        raise DataError(
            f"the challenge has no class {', '.join(unknown)}, only {', '.join(CATEGORIES)}; "
            "a submission needs a network trained with these names"
        )
