"""Thumbnails and Grad-CAM maps of single images, as the run kept them."""

from __future__ import annotations

import base64
import io
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from matplotlib import colormaps
from numpy.typing import NDArray
from PIL import Image
from pydantic import TypeAdapter, ValidationError
from pydantic.dataclasses import dataclass as checked

from dspkd.data.image_formats import open_image, reason
from dspkd.errors import RunError
from dspkd.runs.files import RunFiles

_HEAT = colormaps["inferno"]
_DEEPEST = 0.62
"""Opacity of the heat map where a map is 1."""


@checked(frozen=True)
class SaliencyRecord:
    """A line of ``artifacts/images.json``; `looks` are Grad-CAM maps, ``{network: rows}``."""

    part: str
    id: str
    file: str
    looks: dict[str, list[list[float]]]


@checked(frozen=True)
class _Index:
    images: tuple[SaliencyRecord, ...]


@dataclass(frozen=True)
class SaliencyImage:
    """An image as the networks get it, and with the Grad-CAM maps of its class laid over it, as data URIs."""

    part: str
    id: str
    image: str
    overlays: dict[str, str]
    cells: dict[str, str]
    """Rows and columns of each map, such as ``"7 x 7"``."""
    nothing: tuple[str, ...]
    """The networks whose map of the class is zero everywhere."""


def read(folder: Path) -> list[SaliencyImage]:
    """Read the thumbnails and maps of a run, in its order; empty for a run without them.

    Raises
    ------
    RunError
        The index is broken, or an image of it is missing or no image.
    """
    path = RunFiles(folder).image_index
    if not path.is_file():
        return []
    try:
        index = TypeAdapter(_Index).validate_json(path.read_bytes())
    except ValidationError as error:
        raise RunError(f"{path}: {error.errors()[0]['msg']}; not a file that training wrote") from None
    return [_with_overlays(path.parent, record) for record in index.images]


def overlay(pixels_HW3: NDArray[np.uint8], map_hw: NDArray[np.float64]) -> NDArray[np.uint8]:
    """Lay a map over an image: enlarged bilinearly, the more opaque the greater its value.

    Parameters
    ----------
    pixels_HW3
        uint8 RGB.
    map_hw
        In [0, 1]; 0 leaves a place as it is.
    """
    height, width = pixels_HW3.shape[:2]
    small = Image.fromarray(map_hw.astype(np.float32))
    heat_HW = np.asarray(small.resize((width, height), Image.Resampling.BILINEAR), dtype=np.float64).clip(0, 1)
    colour_HW3 = 255 * _HEAT(heat_HW)[..., :3]
    cover_HW1 = _DEEPEST * heat_HW[..., None]
    return np.asarray(np.rint((1 - cover_HW1) * pixels_HW3 + cover_HW1 * colour_HW3), dtype=np.uint8)


def _with_overlays(folder: Path, record: SaliencyRecord) -> SaliencyImage:
    path = folder / record.file
    try:
        with open_image(path) as image:
            pixels = np.array(image.convert("RGB"))
    except Exception as error:  # of the decoder
        raise RunError(f"{path}: not a readable image, though listed in images.json: {reason(error)}") from None
    maps = {name: np.array(rows, dtype=np.float64) for name, rows in record.looks.items()}
    return SaliencyImage(
        part=record.part,
        id=record.id,
        image=_uri(path.read_bytes()),
        overlays={name: _uri(_jpeg(overlay(pixels, each))) for name, each in maps.items()},
        cells={name: " x ".join(map(str, each.shape)) for name, each in maps.items()},
        nothing=tuple(name for name, each in maps.items() if not each.any()),
    )


def _jpeg(pixels: NDArray[np.uint8]) -> bytes:
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "JPEG", quality=80)
    return file.getvalue()


def _uri(jpeg: bytes) -> str:
    return "data:image/jpeg;base64," + base64.b64encode(jpeg).decode()
