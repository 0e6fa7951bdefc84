"""Paint a photograph of a synthetic lesion: skin, lesion, camera, light, and artefacts.

A lesion's skin, site and structures depend on (seed, label, lesion); a photograph adds camera position, light, hair,
ruler and dark corners, which depend on (seed, label, lesion, photo). Nothing depends on what was painted before.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from dspkd.data.synthetic.canvas import BLOOD, MELANIN, Canvas, Field, curves, ramp
from dspkd.data.synthetic.diseases import acne, discoid_lupus, melasma, nevus_of_ota, rosacea, seborrheic_dermatitis
from dspkd.data.synthetic.lesions import (
    actinic_keratosis,
    basal_cell_carcinoma,
    benign_keratosis,
    dermatofibroma,
    melanoma,
    nevus,
    squamous_cell_carcinoma,
    vascular_lesion,
)
from dspkd.errors import DataError, suggest
from dspkd.runtime.seeds import seed_for

PAINTERS: Mapping[str, Callable[[Canvas, np.random.Generator], None]] = {
    "MEL": melanoma,
    "NV": nevus,
    "BCC": basal_cell_carcinoma,
    "AK": actinic_keratosis,
    "BKL": benign_keratosis,
    "DF": dermatofibroma,
    "VASC": vascular_lesion,
    "SCC": squamous_cell_carcinoma,
    "ACNE": acne,
    "ME": melasma,
    "ROS": rosacea,
    "DLE": discoid_lupus,
    "ON": nevus_of_ota,
    "SD": seborrheic_dermatitis,
}
"""``{label: function that draws its lesions}``."""

SMALLEST_SIDE = 32
"""In pixels; in smaller images the structures that distinguish the classes are lost."""


@dataclass(frozen=True)
class CameraSite:
    """A place where images are taken, with its own camera (all amounts inferred).

    Attributes
    ----------
    name
        The value of `source` in the tables.
    cast
        Gain of red, green and blue.
    contrast
        Exponent of the tone curve; above 1 is harder.
    blur
        Standard deviation of the lens' blur, in half frames.
    dark_corners, ruler
        Share of photographs with this artefact.
    """

    name: str
    cast: tuple[float, float, float]
    contrast: float
    blur: float
    dark_corners: float
    ruler: float


SITES = (
    CameraSite("north-clinic", (1.06, 0.95, 0.94), 1.05, 0.010, 0.04, 0.02),
    CameraSite("harbour-hospital", (0.97, 0.97, 1.04), 0.95, 0.016, 0.30, 0.10),
    CameraSite("valley-practice", (1.05, 0.98, 0.84), 1.15, 0.008, 0.12, 0.30),
    CameraSite("island-campaign", (0.95, 0.92, 0.99), 0.90, 0.022, 0.45, 0.05),
)
"""The four places of synthetic images; half of the lesions are from the first."""

_SITE_SHARES = (0.5, 0.25, 0.15, 0.10)
_HAIR_SHARE = 0.3
_SKINS = (
    (0.93, 0.79, 0.76),
    (0.91, 0.74, 0.68),
    (0.85, 0.67, 0.57),
    (0.72, 0.54, 0.42),
    (0.56, 0.40, 0.30),
    (0.40, 0.28, 0.22),
)
_SKIN_SHARES = (0.25, 0.32, 0.22, 0.11, 0.06, 0.04)


@dataclass(frozen=True)
class Scene:
    """The content of a photograph besides the lesion itself.

    Attributes
    ----------
    site
        Its place; the same for all photographs of a lesion.
    skin_tone
        1 (palest) to 6, after Fitzpatrick; the same for all photographs of a lesion.
    hair, ruler, dark_corners
        Artefacts.
    """

    site: CameraSite
    skin_tone: int
    hair: bool
    ruler: bool
    dark_corners: bool


def scene(label: str, *, lesion: int, photo: int, seed: int = 0) -> Scene:
    """Return the scene that `paint` draws for the same arguments."""
    of_lesion = np.random.default_rng(seed_for(seed, "patient", label, lesion))
    of_photo = np.random.default_rng(seed_for(seed, "scene", label, lesion, photo))
    site = SITES[of_lesion.choice(len(SITES), p=_SITE_SHARES)]
    tone = 1 + int(of_lesion.choice(len(_SKINS), p=_SKIN_SHARES))
    hair, ruler, dark_corners = of_photo.random(3) < (_HAIR_SHARE, site.ruler, site.dark_corners)
    return Scene(site, tone, hair=bool(hair), ruler=bool(ruler), dark_corners=bool(dark_corners))


def paint(label: str, *, lesion: int, photo: int, size: int = 96, seed: int = 0) -> NDArray[np.uint8]:
    """Return a photograph of a synthetic lesion, a pure function of the arguments.

    Parameters
    ----------
    label
        One of `PAINTERS`.
    lesion, photo
        Number of the lesion in its class, and of the photograph of that lesion.
    size
        Side in pixels, at least `SMALLEST_SIDE`. A larger image of the same arguments shows the same scene.
    seed
        Another seed gives other lesions.

    Returns
    -------
    NDArray[np.uint8]
        ``[size, size, 3]`` RGB. Identical on one machine; across machines the last bit may differ.

    Raises
    ------
    DataError
        The label is unknown or the size too small.
    """
    if label not in PAINTERS:
        raise DataError(f"no synthetic class is called {label!r}; {suggest(label.upper(), PAINTERS)}")
    if size < SMALLEST_SIDE:
        raise DataError(f"size of a synthetic image: {size} pixels; at least {SMALLEST_SIDE} are needed")
    setting = scene(label, lesion=lesion, photo=photo, seed=seed)
    camera = np.random.default_rng(seed_for(seed, "camera", label, lesion, photo))
    shift_x, shift_y = camera.normal(0, 0.08, 2)
    angle, zoom = camera.normal(0, 0.45), float(np.exp(camera.normal(0, 0.12)))
    canvas = Canvas(size, angle=angle, zoom=zoom, shift=(shift_x, shift_y))
    _grow_skin(canvas, np.random.default_rng(seed_for(seed, "skin", label, lesion)), setting.skin_tone)
    PAINTERS[label](canvas, np.random.default_rng(seed_for(seed, "lesion", label, lesion)))
    if setting.hair:
        _lay_hair(canvas, np.random.default_rng(seed_for(seed, "hair", label, lesion, photo)))
    return _expose(canvas, camera, setting)


def _grow_skin(canvas: Canvas, rng: np.random.Generator, tone: int) -> None:
    """Fill the canvas with skin: base colour, patches of blood and melanin, fine creases."""
    canvas.rgb_HW3 *= np.array(_SKINS[tone - 1], dtype=np.float32) + rng.normal(0, 0.02, 3).astype(np.float32)
    flush, freckles = rng.uniform(0.0, 0.25), rng.uniform(0.0, 0.06)
    canvas.absorb(BLOOD, np.maximum(flush + 0.035 * canvas.noise(rng, scale=0.8), 0))
    canvas.absorb(MELANIN, np.maximum(0.04 + freckles * canvas.noise(rng, scale=0.35), 0))
    canvas.absorb(BLOOD, 0.025 * canvas.noise(rng, scale=0.15))


def _lay_hair(canvas: Canvas, rng: np.random.Generator) -> None:
    """Draw 3 to 16 hairs of one colour across the frame, roughly in one direction."""
    count = int(rng.integers(3, 17))
    combed = rng.uniform(0, 2 * np.pi)
    paths_NP2 = curves(
        rng.uniform(-1.2, 1.2, (count, 2)),
        combed + rng.normal(0, 0.5, count),
        rng.uniform(0.5, 1.8, count),
        rng.normal(0, 0.7, count),
    )
    hairs_HW = canvas.lines(paths_NP2, rng.uniform(0.012, 0.026, count))
    shades = ((0.10, 0.08, 0.08), (0.30, 0.20, 0.13), (0.85, 0.80, 0.72))
    canvas.cover(shades[rng.choice(3, p=(0.6, 0.3, 0.1))], rng.uniform(0.55, 0.95) * hairs_HW)


def _expose(canvas: Canvas, camera: np.random.Generator, setting: Scene) -> NDArray[np.uint8]:
    """Return the photograph of the canvas by the site's camera, under one photograph's light."""
    site, size = setting.site, canvas.size
    at_W = ((np.arange(size) + 0.5) * 2 / size - 1).astype(np.float32)
    x_HW, y_HW = at_W[None, :], at_W[:, None]
    slope_x, slope_y = camera.normal(0, 0.05, 2)
    fall = camera.uniform(0.0, 0.1)
    light_HW = camera.normal(1.0, 0.06) * (1 + slope_x * x_HW + slope_y * y_HW - fall * (x_HW**2 + y_HW**2))
    balance_3 = np.array(site.cast) * camera.normal(1.0, 0.03, 3)
    rgb_HW3 = canvas.rgb_HW3 * (light_HW[..., None] * balance_3).astype(np.float32)
    if setting.ruler:
        rgb_HW3 *= _ruler(size, camera)[..., None]
    if setting.dark_corners:
        off_x, off_y = camera.normal(0, 0.05, 2)
        hole_HW = camera.uniform(1.0, 1.2) - np.hypot(x_HW - off_x, y_HW - off_y)
        rgb_HW3 *= 0.04 + 0.96 * ramp(hole_HW, camera.uniform(0.03, 0.2))[..., None]
    rgb_HW3 = ndimage.gaussian_filter(rgb_HW3, (site.blur * size / 2, site.blur * size / 2, 0), truncate=3)
    rgb_HW3 = np.clip(rgb_HW3, 0, 1) ** np.float32(site.contrast)
    rgb_HW3 += camera.normal(0, 0.008, rgb_HW3.shape).astype(np.float32)
    pixels_HW3: NDArray[np.uint8] = (np.clip(rgb_HW3, 0, 1) * 255 + 0.5).astype(np.uint8)
    return pixels_HW3


def _ruler(size: int, camera: np.random.Generator) -> Field:
    """Return the light transmitted by a millimetre scale along one side of the glass, ``[size, size]``."""
    spacing, inset = camera.uniform(0.12, 0.2), camera.uniform(0.02, 0.12)
    ticks = np.arange(-1.0, 1.0, spacing)
    ends = -1 + inset + np.where(np.arange(len(ticks)) % 5 == 0, 0.2, 0.1)
    paths = [np.array([[x, -1 + inset], [x, end]]) for x, end in zip(ticks, ends, strict=True)]
    print_HW = Canvas(size).lines([*paths, np.array([[-1, -1 + inset], [1, -1 + inset]])], [0.02] * (len(paths) + 1))
    return np.rot90(1 - 0.85 * print_HW, int(camera.integers(4)))
