"""Photographs in DICOM files, read with pydicom: ``pip install 'dspkd[dicom]'``."""

from __future__ import annotations

from pathlib import Path

from PIL import Image

FRAMES = (0x0028, 0x0008)
"""DICOM's tag of the number of frames: a key of a photograph's ``info``."""


def photograph(path: Path) -> Image.Image:
    """Return the photograph in a DICOM file, in RGB; of several frames, the first, and their number in ``info``.

    Only pixels are read; names and dates stay in the file.

    Raises
    ------
    ValueError
        pydicom is missing or cannot read the file, or the file holds no photograph in 8-bit colour.
    """
    try:
        from pydicom import dcmread
        from pydicom.errors import InvalidDicomError
        from pydicom.pixels.utils import pixel_array
    except ImportError:
        raise ValueError("reading DICOM needs pydicom: pip install 'dspkd[dicom]'") from None
    try:
        header = dcmread(path, stop_before_pixels=True)
    except InvalidDicomError as e:
        raise ValueError(str(e)) from None
    samples, bits = header.get("SamplesPerPixel"), header.get("BitsAllocated")
    if (samples, bits) != (3, 8):
        raise ValueError(f"{samples} samples of {bits} bits a pixel; only photographs in colour, 3 of 8 bits, are read")
    try:
        image = Image.fromarray(pixel_array(path, index=0))  # converted to RGB
        image.info[FRAMES] = int(header.get("NumberOfFrames") or 1)
        return image
    except (AttributeError, NotImplementedError, RuntimeError) as e:
        raise ValueError(str(e)) from None
