"""Layout "isic2024": SLICE-3D, crops of total-body photographs, malignant or benign, by patient."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from dspkd.data.image_files import images_below
from dspkd.data.readers._published import PublishedTable
from dspkd.data.readers._unpacked import unpacked
from dspkd.errors import DataError

_HDF5 = "train-image.hdf5"


def _images(path: Path) -> Path:
    """Return the folder of the images: `path`, or the unpacked HDF5 file where no image of the set lies below it."""
    file = path / _HDF5
    if not file.exists() or any(image.name.startswith("ISIC_") for image in images_below(path)):
        return path
    return unpacked([file], _unpack(file))


def _unpack(file: Path) -> Callable[[Path], None]:
    def write(folder: Path) -> None:
        try:
            import h5py
        except ImportError:
            raise DataError(
                f"{file}: HDF5 needs h5py, which is not installed: pip install 'dspkd[hdf5]'; or unpack train-image.zip"
            ) from None
        folder.mkdir()
        try:
            with h5py.File(file, "r") as arrays:
                for name, content in arrays.items():
                    (folder / f"{Path(name).name}.jpg").write_bytes(bytes(content[()]))
        except (OSError, ValueError, TypeError, AttributeError) as e:
            raise DataError(f"{file}: not an HDF5 file of JPEGs: {e}") from None

    return write


_SET = PublishedTable(
    layout="isic2024",
    file="train-metadata",
    columns=("isic_id", "target", "patient_id"),
    image="isic_id",
    label="target",
    names={"0": "benign", "1": "malignant"},
    group=("patient_id",),
    without=lambda name: name.startswith("tbp_lv_"),
    images=_images,
    licence="CC BY-NC 4.0",
)
"""``train-metadata.csv`` beside ``train-image/`` or ``train-image.hdf5``, where each JPEG has its image's name.

Columns were confirmed in third-party data dictionaries. The 35 columns of measurements, ``tbp_lv_*``, are not read."""

LAYOUTS = (_SET.layout,)
PRIORITY = 19
EXPECTED = _SET.expected
fits = _SET.fits
read = _SET.read
