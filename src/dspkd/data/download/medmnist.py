"""MedMNIST files (DermaMNIST and its corrected editions among them), unpacked to image files."""

from __future__ import annotations

import math
import shutil
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import IO

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from dspkd.errors import DataError, suggest
from dspkd.runtime import csv_text

DERMAMNIST = ("akiec", "bcc", "bkl", "df", "mel", "nv", "vasc")
"""The classes of DermaMNIST in the order of their numbers; editions C and E have the same."""

LEAKING = {"train": 7007, "val": 1003, "test": 2005}
"""Images in each part of DermaMNIST as first published, whose official split has lesions in more than one part."""

_PARTS = ("train", "val", "test")
_MOST = 10_000
"""Number of classes from which on a label is taken for damage."""


def unpack(file: Path, to: Path, progress: Callable[[str, int, int], None]) -> dict[str, int]:
    """Write the images of a MedMNIST ``.npz`` file as PNG files, and a table of layout "csv".

    The file holds ``{train,val,test}_images``, ``[N, H, W]`` or ``[N, H, W, 3]`` of 0..255, and ``..._labels``,
    ``[N]`` or ``[N, 1]`` class numbers. The table, ``images.csv``, has the columns ``path``, ``label`` and ``split``:
    the official split, which a recipe keeps with ``split.column = "split"``. The file does not name lesions, so there
    is no group. The classes of a file called ``dermamnist*`` with 7 classes are `DERMAMNIST`; those of any other are
    numbers, which a class map can rename.

    Parameters
    ----------
    file
        The ``.npz`` file.
    to
        The folder to create; it appears only when complete.
    progress
        See `dspkd.runtime.progress.Progress`.

    Returns
    -------
    dict[str, int]
        Images in each part.

    Raises
    ------
    DataError
        The folder exists, or the file does not hold such arrays: several labels per image, volumes, other types.

    Notes
    -----
    Source: Yang et al., *MedMNIST v2*, Sci. Data 2023; Abhishek, Jain and Hamarneh, *Investigating the Quality of
    DermaMNIST and Fitzpatrick17k Dermatological Image Datasets*, Sci. Data 2025.
    """
    if to.exists():
        raise DataError(f"{to}: exists already; name a new folder")
    labels = {part: _labels(file, part) for part in _PARTS}
    classes, images = int(max(numbers.max() for numbers in labels.values())) + 1, sum(map(len, labels.values()))
    if classes > images:
        raise DataError(f"{file}: a label is {classes - 1:,}, and there are {images:,} images; labels count from 0")
    names = _names(file, classes)
    beside = to.with_name(f".{to.name}.unpacking")
    shutil.rmtree(beside, ignore_errors=True)  # left by an interrupted run
    (beside / "images").mkdir(parents=True)
    done, total = 0, sum(map(len, labels.values()))
    with (beside / "images.csv").open("w", newline="", encoding="utf-8") as table:
        writer = csv_text.Writer(table)
        writer.writerow(("path", "label", "split"))
        for part, numbers in labels.items():
            for row, (pixels, number) in enumerate(zip(_images(file, part, len(numbers)), numbers, strict=True)):
                path = f"images/{part}_{row:06d}.png"
                Image.fromarray(pixels).save(beside / path)
                writer.writerow((path, names[number], part))
                done += 1
                progress("images", done, total)
    beside.replace(to)
    return {part: len(numbers) for part, numbers in labels.items()}


def _array(file: Path, name: str) -> NDArray[np.generic]:
    """Return one array of the file, once its header and its size agree."""
    try:
        with zipfile.ZipFile(file) as archive:
            arrays = [each.removesuffix(".npy") for each in archive.namelist()]
            if name not in arrays:
                raise DataError(f"{file}: no array {name!r}; {suggest(name, arrays)}")
            with archive.open(f"{name}.npy") as member:
                _check_header(member, archive.getinfo(f"{name}.npy").file_size)
            with archive.open(f"{name}.npy") as member:
                array: NDArray[np.generic] = np.lib.format.read_array(member, allow_pickle=False)
                return array
    except DataError:
        raise
    except Exception as e:  # a damaged file fails in many ways
        raise DataError(f"{file}: not an .npz file of MedMNIST: {' '.join(str(e).split())[:200]}") from None


def _check_header(member: IO[bytes], size: int) -> None:
    """Raise ValueError unless an array's header promises as many bytes as there are."""
    version = np.lib.format.read_magic(member)
    read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
    shape, _, dtype = read(member)
    if (promised := math.prod(shape) * dtype.itemsize) != size - member.tell():
        raise ValueError(f"an array of shape {shape} has {promised:,} bytes, and the file {size - member.tell():,}")


def _labels(file: Path, part: str) -> NDArray[np.int64]:
    """Return ``[N]`` class numbers."""
    labels = _array(file, f"{part}_labels")
    numbers = labels[:, 0] if labels.ndim == 2 and labels.shape[1] == 1 else labels
    if numbers.ndim != 1 or not np.issubdtype(numbers.dtype, np.integer) or not len(numbers) or numbers.min() < 0:
        raise DataError(
            f"{file}: {part}_labels is {labels.dtype} of shape {labels.shape}; expected one class number per image, "
            "[N] or [N, 1]"
        )
    if numbers.max() >= _MOST:
        raise DataError(f"{file}: {part}_labels holds the class number {numbers.max()}; expected less than {_MOST}")
    return numbers.astype(np.int64)


def _images(file: Path, part: str, count: int) -> NDArray[np.uint8]:
    """Return ``[N, H, W]`` or ``[N, H, W, 3]``."""
    images = _array(file, f"{part}_images")
    flat = images.ndim == 3 or (images.ndim == 4 and images.shape[3] == 3)
    if not flat or images.dtype != np.uint8 or len(images) != count:
        raise DataError(
            f"{file}: {part}_images is {images.dtype} of shape {images.shape}; expected uint8 [{count}, H, W] or "
            f"[{count}, H, W, 3], for its {count} labels"
        )
    return images.astype(np.uint8, copy=False)


def _names(file: Path, classes: int) -> tuple[str, ...]:
    if file.name.lower().startswith("dermamnist") and classes == len(DERMAMNIST):
        return DERMAMNIST
    return tuple(f"{number:0{len(str(classes - 1))}d}" for number in range(classes))
