"""Layout "medmnist": an .npz file of MedMNIST, such as DermaMNIST and its corrected editions."""

from __future__ import annotations

import zipfile
from dataclasses import replace
from pathlib import Path

from dspkd.data.download import medmnist
from dspkd.data.readers import _unpacked, csv_file
from dspkd.data.readers._columns import refuse_label
from dspkd.data.table import Table
from dspkd.errors import DataError
from dspkd.runtime.zip_files import DAMAGED

LAYOUTS = ("medmnist",)
PRIORITY = 5
EXPECTED = "an .npz file with train_images, train_labels, ..."

_LEAKING = (
    "this is DermaMNIST as first published: lesions of its test set are in its training set, too; DermaMNIST-C and -E "
    "fix that: doi:10.5281/zenodo.11101337"
)


def fits(path: Path, *, label: str = "label") -> str | None:  # noqa: ARG001
    """Return "medmnist" for such a file, or a folder that holds one, else None."""
    return "medmnist" if _files(path) else None


def read(path: Path, *, layout: str = "medmnist", group: str | None = None, label: str | None = None) -> Table:
    """Read the images with their official parts; they are unpacked once, into the user's cache.

    No lesions are named. For the classes see `dspkd.data.download.medmnist.unpack`, which was written for the published
    arrays of MedMNIST 2 and 3.

    Raises
    ------
    DataError
        There is no such file, or it does not hold such arrays.
    """
    refuse_label(path, layout, label)
    files = _files(path)
    if len(files) != 1:
        names = ", ".join(file.name for file in files) or "none"
        raise DataError(f"{path}: expected exactly one .npz file of MedMNIST, found {names}; give the path of one")
    folder = _unpacked.unpacked(files, lambda partial: _write(files[0], partial))
    table = csv_file.read(folder, group=group)
    sizes = {part: table.attributes["split"].count(part) for part in medmnist.LEAKING}
    notes = (*((_LEAKING,) if sizes == medmnist.LEAKING else ()), _unpacked.note(folder))
    return replace(table, root=files[0].parent, origin=replace(table.origin, notes=(*table.origin.notes, *notes)))


def _write(file: Path, folder: Path) -> None:
    medmnist.unpack(file, folder, lambda *_: None)


def _files(path: Path) -> list[Path]:
    files = [path] if path.is_file() else sorted(path.glob("*.npz")) if path.is_dir() else []
    return [file for file in files if file.suffix.lower() == ".npz" and _holds_images(file)]


def _holds_images(file: Path) -> bool:
    """Return whether an archive lists the arrays of a training set; its directory is all that is read."""
    try:
        with zipfile.ZipFile(file) as archive:
            return {"train_images.npy", "train_labels.npy"} <= set(archive.namelist())
    except (OSError, *DAMAGED):
        return False
