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
        pydicom is missing or cannot read the file, or the file holds no photograph in 8-bit colour, RGB or YBR.
    """
    try:
        from pydicom import dcmread
        from pydicom.errors import InvalidDicomError
        from pydicom.pixels.utils import pixel_array
        from pydicom.uid import DeflatedExplicitVRLittleEndian
    except ImportError:
        raise ValueError("reading DICOM needs pydicom: pip install 'dspkd[dicom]'") from None
    try:
        header = dcmread(path, stop_before_pixels=True)
    except InvalidDicomError:
        raise ValueError("no DICOM file: its header lacks the letters DICM") from None
    samples, bits = header.get("SamplesPerPixel"), header.get("BitsAllocated")
    if (samples, bits) != (3, 8):
        raise ValueError(f"{samples} samples of {bits} bits a pixel; only photographs in colour, 3 of 8 bits, are read")
    if (stored := header.get("BitsStored", bits)) != bits:
        raise ValueError(f"{stored} bits in {bits}; only photographs whose colours have all 8 bits are read")
    colours = header.get("PhotometricInterpretation") or ""
    if colours != "RGB" and not colours.startswith("YBR_"):  # others would be taken for RGB
        raise ValueError(f"its colours are {colours or 'unknown'}; only RGB and YBR are read")
    try:
        deflated = header.file_meta.get("TransferSyntaxUID") == DeflatedExplicitVRLittleEndian
        image = Image.fromarray(pixel_array(dcmread(path) if deflated else path, index=0))  # converted to RGB
        image.info[FRAMES] = int(header.get("NumberOfFrames") or 1)
        return image
    except (AttributeError, NotImplementedError, RuntimeError) as e:
        raise ValueError(str(e)) from None
