"""Drawing instructions for six common skin diseases under a dermatoscope; see `dspkd.data.synthetic.lesions`.

Source: Errichetti et al., *Standardization of dermoscopic terminology and basic dermoscopic parameters to evaluate in
general dermatology*, Br. J. Dermatol. 2020, for the structures; all amounts are inferred.
"""

from __future__ import annotations

import numpy as np

from dspkd.data.synthetic.canvas import BLOOD, DEEP_MELANIN, MELANIN, Canvas, ramp, scatter
from dspkd.data.synthetic.lesions import WHITE, vessels


def acne(canvas: Canvas, rng: np.random.Generator) -> None:
    """ACNE: several red papules, some with a pale pustule, open comedones, a faint flush between them."""
    papules = int(rng.integers(3, 9))
    papule_N2, size_N = scatter(rng, papules, 0.0, 0.8), rng.uniform(0.1, 0.24, papules)
    papules_HW = canvas.dots(papule_N2, size_N, blur=0.05)
    flush_HW = ramp(canvas.outline(rng, radius=0.8, irregular=0.15, ragged=0.3), 1.2)
    canvas.absorb(BLOOD, flush_HW * rng.uniform(0.0, 0.35))
    canvas.absorb(BLOOD, papules_HW * rng.uniform(0.35, 1.0))
    canvas.absorb(MELANIN, papules_HW * rng.uniform(0.0, 0.4))
    ripe = int(rng.integers(1, papules))
    canvas.cover((0.94, 0.88, 0.66), 0.85 * canvas.dots(papule_N2[:ripe], 0.42 * size_N[:ripe], blur=0.018))
    comedones_HW = canvas.dots(scatter(rng, 14, 0.0, 0.95), rng.uniform(0.012, 0.035, 14), blur=0.006)
    canvas.absorb(MELANIN, comedones_HW * rng.uniform(0.5, 1.6))


def melasma(canvas: Canvas, rng: np.random.Generator) -> None:
    """ME: tan network with ragged edges in two similar patches on both sides of a midline; follicles are spared."""
    aside, size = rng.uniform(0.35, 0.6), rng.uniform(0.3, 0.5)
    pair_N2 = np.array([[-aside, 0.0], [aside, 0.0]]) @ _turn(rng)
    patches_HW = canvas.dots(pair_N2, np.full(2, size), blur=0.12)
    inside_HW = ramp(patches_HW - 0.45 + 0.22 * canvas.noise(rng, scale=0.5), 0.5)
    net_HW = canvas.network(rng, spacing=rng.uniform(0.12, 0.17), warp=0.2)
    canvas.absorb(BLOOD, inside_HW * rng.uniform(0.0, 0.3))
    canvas.absorb(MELANIN, inside_HW * rng.uniform(0.3, 0.9) * (0.5 + 0.6 * net_HW))
    follicles_HW = canvas.dots(scatter(rng, 40, 0.0, 1.0), rng.uniform(0.02, 0.035), blur=0.012)
    canvas.cover((0.85, 0.70, 0.60), inside_HW * follicles_HW * rng.uniform(0.3, 0.6))


def rosacea(canvas: Canvas, rng: np.random.Generator) -> None:
    """ROS: diffuse redness, polygonal mesh of fine vessels, follicular plugs, few papules."""
    inside_HW = ramp(canvas.outline(rng, radius=rng.uniform(0.7, 1.1), irregular=0.15, ragged=0.35), 1.2)
    canvas.absorb(BLOOD, inside_HW * rng.uniform(0.1, 0.7) * (1 + 0.2 * canvas.noise(rng, scale=0.6)))
    count = int(rng.integers(14, 30))
    mesh_HW = vessels(canvas, rng, count=count, reach=0.85, length=0.55, width=0.02, bend=1.6)
    canvas.absorb(BLOOD, mesh_HW * rng.uniform(0.6, 1.2))
    papules = int(rng.integers(0, 4))
    papules_HW = canvas.dots(scatter(rng, papules, 0.0, 0.7), rng.uniform(0.08, 0.16), blur=0.04)
    canvas.absorb(BLOOD, papules_HW * rng.uniform(0.3, 0.8))
    plugs_HW = canvas.dots(scatter(rng, 18, 0.0, 0.9), rng.uniform(0.012, 0.022), blur=0.006)
    canvas.cover((0.93, 0.84, 0.66), plugs_HW * rng.uniform(0.2, 0.6))


def discoid_lupus(canvas: Canvas, rng: np.random.Generator) -> None:
    """DLE: red disc, adherent white scale, follicular plugs with a halo, pale sunken centre, dark rim."""
    radius = rng.uniform(0.4, 0.75)
    depth_HW = canvas.outline(rng, radius=radius, irregular=0.1, ragged=0.12)
    inside_HW = ramp(depth_HW, 0.3)
    canvas.absorb(BLOOD, inside_HW * rng.uniform(0.3, 0.9) * (1 + 0.25 * canvas.noise(rng, scale=0.4)))
    canvas.absorb(MELANIN, np.exp(-((depth_HW / 0.14) ** 2)) * rng.uniform(0.2, 0.9))
    canvas.cover((0.93, 0.83, 0.80), ramp(depth_HW - rng.uniform(0.45, 0.75), 0.4) * rng.uniform(0.3, 0.8))
    scale_HW = inside_HW * ramp(canvas.noise(rng, scale=0.3) - rng.uniform(0.1, 0.9), 0.8)
    canvas.cover(WHITE, scale_HW * rng.uniform(0.5, 0.9))
    plug_N2, size_N = scatter(rng, 24, 0.0, 0.9 * radius), rng.uniform(0.02, 0.035, 24)
    canvas.cover((0.95, 0.88, 0.84), 0.5 * inside_HW * canvas.dots(plug_N2, 2.0 * size_N, blur=0.01))
    canvas.absorb(MELANIN, inside_HW * canvas.dots(plug_N2, size_N, blur=0.006) * rng.uniform(0.4, 1.4))


def nevus_of_ota(canvas: Canvas, rng: np.random.Generator) -> None:
    """ON: ill-defined, speckled blue-grey to slate-brown without network, scale or vessels."""
    inside_HW = ramp(canvas.outline(rng, radius=rng.uniform(0.6, 1.1), irregular=0.18, ragged=0.4), 1.1)
    clouds_HW = np.maximum(1 + 0.4 * canvas.noise(rng, scale=0.5), 0)
    canvas.absorb(DEEP_MELANIN, inside_HW * clouds_HW * rng.uniform(0.15, 0.75))
    canvas.absorb(MELANIN, inside_HW * ramp(canvas.noise(rng, scale=0.3), 1.5) * rng.uniform(0.1, 0.7))
    speckles_HW = canvas.dots(scatter(rng, 60, 0.0, 0.95), rng.uniform(0.015, 0.05, 60), blur=0.014)
    canvas.absorb(DEEP_MELANIN, inside_HW * speckles_HW * rng.uniform(0.3, 0.9))


def seborrheic_dermatitis(canvas: Canvas, rng: np.random.Generator) -> None:
    """SD: patchy redness, greasy yellow scale in flakes, blurred dotted vessels."""
    redness_HW = ramp(canvas.noise(rng, scale=0.7) + rng.uniform(-0.2, 0.7), 1.4)
    inside_HW = ramp(canvas.outline(rng, radius=rng.uniform(0.6, 1.0), irregular=0.15, ragged=0.3), 1.0)
    canvas.absorb(BLOOD, inside_HW * redness_HW * rng.uniform(0.3, 0.9))
    dotted_HW = canvas.dots(scatter(rng, 60, 0.0, 0.9), rng.uniform(0.012, 0.025), blur=0.008)
    canvas.absorb(BLOOD, inside_HW * dotted_HW * rng.uniform(0.3, 0.9))
    flakes_HW = inside_HW * ramp(canvas.noise(rng, scale=rng.uniform(0.2, 0.4)) - rng.uniform(0.2, 0.9), 0.7)
    canvas.cover((0.93, 0.84, 0.58), flakes_HW * rng.uniform(0.5, 0.9))
    canvas.absorb(MELANIN, 0.25 * flakes_HW * np.maximum(canvas.noise(rng, scale=0.12), 0))


def _turn(rng: np.random.Generator) -> np.ndarray[tuple[int, int], np.dtype[np.float64]]:
    """Return a random rotation by up to 30 degrees in either direction."""
    angle = rng.uniform(-np.pi / 6, np.pi / 6)
    return np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
