"""The canvas of a synthetic lesion: coordinates fixed to the lesion, and pigments that absorb light.

Everything is placed in lesion coordinates: the frame of a straight photograph spans [-1, 1] in x and y, and the lesion
is near (0, 0). A second photograph of the lesion is another `Canvas` with another angle, zoom and shift on which the
same drawing is repeated, so that structures move, turn and grow together as before a camera.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import cache

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw
from scipy import ndimage

from dspkd.runtime.seeds import seed_for

Field = NDArray[np.floating]
"""``[H, W]``: a value per pixel."""

MELANIN = np.array([0.60, 1.05, 1.45], dtype=np.float32)
BLOOD = np.array([0.20, 1.10, 0.80], dtype=np.float32)
DEEP_MELANIN = np.array([1.15, 0.95, 0.62], dtype=np.float32)
"""Absorbance of red, green and blue at unit density. Melanin under the dermis looks blue-grey (inferred values)."""

_OVERSAMPLE = 3
_TILE = 512


def ramp(value_HW: Field, width: float) -> Field:
    """Return 0 well below zero, 1 well above, with a smooth step of `width` centred on zero."""
    step_HW: Field = np.clip(value_HW / width + 0.5, 0, 1)
    return step_HW * step_HW * (3 - 2 * step_HW)


def scatter(rng: np.random.Generator, count: int, inner: float, outer: float) -> NDArray[np.float64]:
    """Return ``[count, 2]`` points, evenly spread over the ring between the radii `inner` and `outer`."""
    radius_N = np.sqrt(rng.uniform(inner**2, outer**2, count))
    angle_N = rng.uniform(0, 2 * np.pi, count)
    return np.stack([radius_N * np.cos(angle_N), radius_N * np.sin(angle_N)], axis=1)


def curves(
    start_N2: NDArray[np.float64],
    heading_N: NDArray[np.float64],
    length_N: NDArray[np.float64],
    bend_N: NDArray[np.float64],
) -> NDArray[np.float64]:
    """Return ``[N, 13, 2]`` points along curves that leave `start_N2` and turn by `bend_N` radians on their way."""
    way_P = np.linspace(0, 1, 12)
    angle_NP = heading_N[:, None] + bend_N[:, None] * way_P
    steps_NP2 = np.stack([np.cos(angle_NP), np.sin(angle_NP)], axis=2) * (length_N / 12)[:, None, None]
    return np.concatenate([start_N2[:, None], start_N2[:, None] + np.cumsum(steps_NP2, axis=1)], axis=1)


class Canvas:
    """A square photograph in the making.

    Parameters
    ----------
    size
        Side of the image in pixels.
    angle, zoom, shift
        Camera position: rotation in radians, magnification, and shift of the lesion in half frames.

    Attributes
    ----------
    rgb_HW3
        Float32 image, initially white; values may leave [0, 1] until the camera clips them.
    x_HW, y_HW
        Lesion coordinates of the pixel centres.
    """

    def __init__(
        self, size: int, *, angle: float = 0.0, zoom: float = 1.0, shift: tuple[float, float] = (0.0, 0.0)
    ) -> None:
        self.size, self.zoom = size, zoom
        self._shift_2 = np.array(shift)
        self._turn_22 = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
        centre_W = (np.arange(size) + 0.5) * 2 / size - 1
        frame_HW2 = np.stack(np.meshgrid(centre_W, centre_W), axis=2) - self._shift_2
        lesion_HW2 = (frame_HW2 @ self._turn_22 / zoom).astype(np.float32)
        self.x_HW, self.y_HW = lesion_HW2[..., 0], lesion_HW2[..., 1]
        self.rgb_HW3 = np.ones((size, size, 3), dtype=np.float32)

    def absorb(self, pigment_3: NDArray[np.float32], density_HW: Field) -> None:
        """Absorb light by `pigment_3` (Beer-Lambert): ``rgb *= exp(-density * pigment)``."""
        self.rgb_HW3 *= np.exp(-density_HW[..., None] * pigment_3)

    def cover(self, colour_3: tuple[float, float, float], alpha_HW: Field) -> None:
        """Cover with an opaque material of `colour_3`, such as scale, keratin and scars."""
        self.rgb_HW3 += alpha_HW[..., None] * (np.array(colour_3, dtype=np.float32) - self.rgb_HW3)

    def noise(self, rng: np.random.Generator, *, scale: float) -> Field:
        """Return cloudy noise with mean about 0 and standard deviation about 1; the largest clouds measure `scale`."""
        angle, (from_x, from_y) = rng.uniform(0, 2 * np.pi), rng.uniform(0, _TILE, 2)
        gain = _TILE / 8 / scale
        cos, sin = gain * np.cos(angle), gain * np.sin(angle)
        at_2HW = np.stack([cos * self.x_HW - sin * self.y_HW + from_x, sin * self.x_HW + cos * self.y_HW + from_y])
        field_HW: Field = ndimage.map_coordinates(_clouds(), at_2HW, order=1, mode="grid-wrap")
        return field_HW

    def outline(self, rng: np.random.Generator, *, radius: float, irregular: float, ragged: float = 0.0) -> Field:
        """Return the depth of each pixel in a random closed shape: 1 at the centre, 0 on the border, negative outside.

        Parameters
        ----------
        rng
            The lesion's generator.
        radius
            Mean radius in half frames.
        irregular
            Amplitude of lobes and notches, as a share of the radius; 0 is an ellipse.
        ragged
            Amplitude of fine cloudy fraying of the border.
        """
        stretch, axis = rng.uniform(1.0, 1.3), rng.uniform(0, np.pi)
        along_HW = self.x_HW * np.cos(axis) + self.y_HW * np.sin(axis)
        across_HW = self.y_HW * np.cos(axis) - self.x_HW * np.sin(axis)
        angle_HW = np.arctan2(across_HW, along_HW)
        border_HW = np.ones_like(angle_HW)
        for lobes in range(1, 7):
            amplitude, phase = irregular * rng.normal() / lobes**0.5, rng.uniform(0, 2 * np.pi)
            border_HW += amplitude * np.cos(lobes * angle_HW + phase)
        distance_HW = np.hypot(along_HW / stretch, across_HW * stretch)
        depth_HW: Field = 1 - distance_HW / (radius * np.maximum(border_HW, 0.35))
        return depth_HW + ragged * self.noise(rng, scale=0.4)

    def network(self, rng: np.random.Generator, *, spacing: float, warp: float) -> Field:
        """Return a network of pigmented lines around paler holes, in [0, 1]: 1 on a line, 0 in a hole.

        `spacing` is the distance between holes, `warp` the distortion of the network as a share of it.
        """
        turn = rng.uniform(0, np.pi)
        pulled_x_HW = self.x_HW + warp * spacing * self.noise(rng, scale=3 * spacing)
        pulled_y_HW = self.y_HW + warp * spacing * self.noise(rng, scale=3 * spacing)
        holes_HW = np.zeros_like(self.x_HW)
        for direction in turn + np.arange(3) * np.pi / 3:
            wave = 4 * np.pi / (np.sqrt(3) * spacing)
            holes_HW += np.cos(wave * (np.cos(direction) * pulled_x_HW + np.sin(direction) * pulled_y_HW))
        return 1 - ramp(holes_HW, 1.6)

    def dots(
        self, centres_N2: NDArray[np.float64], radii_N: NDArray[np.float64] | float, *, blur: float = 0.0
    ) -> Field:
        """Return discs in [0, 1]; `blur` is the width of their edges in half frames."""
        radii = np.broadcast_to(radii_N * self._pixels, len(centres_N2))
        image, draw = self._sheet()
        for (x, y), r in zip(self._to_sheet(centres_N2), radii, strict=True):
            draw.ellipse((x - r, y - r, x + r, y + r), fill=255)
        return self._mask(image, blur)

    def lines(self, paths: Iterable[NDArray[np.float64]], widths_N: Iterable[float], *, blur: float = 0.0) -> Field:
        """Return polylines in [0, 1]; each path is ``[P, 2]`` and each width in half frames."""
        image, draw = self._sheet()
        for path_P2, width in zip(paths, widths_N, strict=True):
            points = [(float(x), float(y)) for x, y in self._to_sheet(path_P2)]
            draw.line(points, fill=255, width=max(1, round(width * self._pixels)))
        return self._mask(image, blur)

    @property
    def _pixels(self) -> float:
        """Pixels of the oversampled drawing sheet in one lesion unit."""
        return self.zoom * self.size / 2 * _OVERSAMPLE

    def _sheet(self) -> tuple[Image.Image, ImageDraw.ImageDraw]:
        image = Image.new("L", (self.size * _OVERSAMPLE, self.size * _OVERSAMPLE))
        return image, ImageDraw.Draw(image)

    def _to_sheet(self, points_N2: NDArray[np.float64]) -> NDArray[np.float64]:
        frame_N2: NDArray[np.float64] = self.zoom * points_N2 @ self._turn_22.T + self._shift_2
        return (frame_N2 + 1) * (self.size / 2 * _OVERSAMPLE)

    def _mask(self, sheet: Image.Image, blur: float) -> Field:
        mask_HW: Field = np.asarray(sheet.reduce(_OVERSAMPLE), dtype=np.float32) / 255
        if blur:
            mask_HW = ndimage.gaussian_filter(mask_HW, blur * self._pixels / _OVERSAMPLE, truncate=3)
        return mask_HW


@cache
def _clouds() -> Field:
    """Return a periodic ``[512, 512]`` tile of band-limited 1/f noise, mean 0 and standard deviation 1."""
    spectrum = np.fft.fft2(np.random.default_rng(seed_for("clouds")).standard_normal((_TILE, _TILE)))
    cycles_W = np.fft.fftfreq(_TILE) * _TILE
    cycles_HW = np.hypot(cycles_W, cycles_W[:, None])
    passed_HW = (cycles_HW >= 5) & (cycles_HW <= 80)
    tile_HW = np.fft.ifft2(spectrum * passed_HW / np.maximum(cycles_HW, 1) ** 2.1).real
    clouds_HW: Field = (tile_HW / tile_HW.std()).astype(np.float32)
    return clouds_HW
