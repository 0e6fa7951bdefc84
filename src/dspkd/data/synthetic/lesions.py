"""Drawing instructions for the classes of ISIC 2019 under a dermatoscope.

One function per class. Each draws its random numbers from the lesion's generator alone, in an order that does not
depend on the canvas, so every photograph of a lesion shows the same structures. The classes share pigments, sizes and
colours on purpose: they differ in structure, not in mean colour. All amounts are inferred.

Source: the structures are those of the field's consensus, Kittler et al., *Standardization of terminology in
dermoscopy/dermatoscopy*, J. Am. Acad. Dermatol. 2016.
"""

from __future__ import annotations

import numpy as np

from dspkd.data.synthetic.canvas import BLOOD, DEEP_MELANIN, MELANIN, Canvas, Field, curves, ramp, scatter

WHITE = (0.93, 0.88, 0.86)
_KERATIN = (0.90, 0.80, 0.58)
_BLACK = (0.10, 0.08, 0.08)


def vessels(
    canvas: Canvas, rng: np.random.Generator, *, count: int, reach: float, length: float, width: float, bend: float
) -> Field:
    """Return `count` blood vessels that start within `reach` of the middle; each has one thinner branch."""
    start_N2, heading_N = scatter(rng, count, 0.0, reach), rng.uniform(0, 2 * np.pi, count)
    trunk_NP2 = curves(start_N2, heading_N, length * rng.uniform(0.6, 1.4, count), bend * rng.normal(size=count))
    side_N = rng.choice([-1.0, 1.0], count) * rng.uniform(0.4, 1.0, count)
    twig_NP2 = curves(
        trunk_NP2[:, 5], heading_N + side_N, length * rng.uniform(0.3, 0.8, count), bend * rng.normal(size=count)
    )
    return canvas.lines([*trunk_NP2, *twig_NP2], [width] * count + [0.6 * width] * count, blur=0.008)


def nevus(canvas: Canvas, rng: np.random.Generator) -> None:
    """NV: symmetric, one or two browns, regular network, globules or nothing; one in six is atypical."""
    atypical = rng.random() < 0.16
    radius = rng.uniform(0.25, 0.75)
    depth_HW = canvas.outline(rng, radius=radius, irregular=0.16 if atypical else rng.uniform(0.02, 0.07), ragged=0.06)
    inside_HW = ramp(depth_HW, rng.uniform(0.15, 0.6))
    kind = rng.choice(["network", "globules", "plain"], p=[0.5, 0.25, 0.25])
    net_HW = canvas.network(rng, spacing=rng.uniform(0.11, 0.15), warp=0.12)
    globules_HW = canvas.dots(scatter(rng, 70, 0.0, radius), rng.uniform(0.018, 0.03), blur=0.008)
    structure_HW = {"network": 0.45 + 0.85 * net_HW, "globules": 0.7 + 0.9 * globules_HW, "plain": np.ones_like(net_HW)}
    clouds_HW = 1 + (0.3 if atypical else 0.1) * canvas.noise(rng, scale=0.6)
    core_HW = 1 + rng.uniform(-0.3, 0.6) * ramp(depth_HW - 0.5, 0.8)
    canvas.absorb(BLOOD, inside_HW * rng.uniform(0.0, 0.5))
    canvas.absorb(MELANIN, inside_HW * rng.uniform(0.35, 1.5) * structure_HW[kind] * clouds_HW * core_HW)


def melanoma(canvas: Canvas, rng: np.random.Generator) -> None:
    """MEL: asymmetric, notched, several colours, broken network, uneven dots, streaks, veil, regression."""
    early = rng.random() < 0.2
    radius = rng.uniform(0.35, 0.85)
    depth_HW = canvas.outline(rng, radius=radius, irregular=0.08 if early else rng.uniform(0.12, 0.26), ragged=0.14)
    inside_HW = ramp(depth_HW, rng.uniform(0.06, 0.3))
    aside = scatter(rng, 1, 0.2 * radius, 0.55 * radius)[0]
    zone_HW = ramp(canvas.noise(rng, scale=0.9) + rng.uniform(-0.5, 0.5), 1.4)
    net_HW = canvas.network(rng, spacing=rng.uniform(0.13, 0.2), warp=0.45)
    density_HW = rng.uniform(0.35, 0.9) * (0.55 + 0.75 * net_HW) + rng.uniform(0.5, 1.3) * zone_HW
    canvas.absorb(BLOOD, inside_HW * rng.uniform(0.0, 0.5) * (1 - 0.6 * zone_HW))
    canvas.absorb(MELANIN, inside_HW * np.maximum(density_HW, 0.1))
    dots_N2 = aside + scatter(rng, 22, 0.0, 0.8 * radius)
    dots_HW = canvas.dots(dots_N2, rng.uniform(0.012, 0.042, 22), blur=0.006)
    canvas.absorb(MELANIN, ramp(depth_HW + 0.1, 0.1) * dots_HW * rng.uniform(0.5, 1.6))
    if rng.random() < 0.35:
        angle_N = rng.uniform(0, 2 * np.pi) + rng.uniform(-0.9, 0.9, 16)
        root_N2 = radius * 0.7 * np.stack([np.cos(angle_N), np.sin(angle_N)], axis=1)
        rays_NP2 = curves(root_N2, angle_N, np.full(16, 0.5 * radius), np.zeros(16))
        rays_HW = canvas.lines(rays_NP2, [0.03] * 16, blur=0.01)
        canvas.absorb(MELANIN, ramp(depth_HW + 0.25, 0.4) * rays_HW)
    veil_HW = canvas.dots(aside[None], np.array([rng.uniform(0.3, 0.55) * radius]), blur=0.09)
    if rng.random() < (0.15 if early else 0.6):
        canvas.cover((0.45, 0.49, 0.60), inside_HW * veil_HW * rng.uniform(0.35, 0.75))
    scar_HW = canvas.dots(-aside[None], np.array([rng.uniform(0.2, 0.45) * radius]), blur=0.05)
    if rng.random() < 0.3:
        canvas.cover(WHITE, inside_HW * scar_HW * rng.uniform(0.3, 0.7))


def basal_cell_carcinoma(canvas: Canvas, rng: np.random.Generator) -> None:
    """BCC: pearly pink, sharp branching vessels, blue-grey ovoid nests, sometimes an ulcer."""
    radius = rng.uniform(0.3, 0.75)
    depth_HW = canvas.outline(rng, radius=radius, irregular=0.1, ragged=0.12)
    inside_HW = ramp(depth_HW, 0.5)
    canvas.absorb(BLOOD, inside_HW * rng.uniform(0.05, 0.45) * (1 + 0.3 * canvas.noise(rng, scale=0.5)))
    canvas.absorb(MELANIN, inside_HW * rng.uniform(0.0, 0.35))
    canvas.cover((0.96, 0.88, 0.88), inside_HW * rng.uniform(0.0, 0.35) * ramp(canvas.noise(rng, scale=0.4), 1.5))
    pigmented = rng.random() < 0.6
    nests = int(rng.integers(5, 12))
    nest_N2, size_N = scatter(rng, nests, 0.1 * radius, 0.9 * radius), rng.uniform(0.03, 0.11, nests)
    nests_HW = canvas.dots(nest_N2, size_N, blur=0.015) * (1 + 0.25 * canvas.noise(rng, scale=0.2))
    if pigmented:
        canvas.absorb(DEEP_MELANIN, nests_HW * rng.uniform(0.5, 1.3))
        canvas.absorb(MELANIN, nests_HW * rng.uniform(0.0, 0.6))
    tree_HW = vessels(canvas, rng, count=int(rng.integers(4, 9)), reach=radius, length=0.7, width=0.028, bend=1.2)
    canvas.absorb(BLOOD, tree_HW * (rng.uniform(0.3, 0.7) if pigmented else rng.uniform(0.7, 1.2)))
    ulcer_HW = canvas.dots(scatter(rng, 1, 0.0, 0.4 * radius), np.array([rng.uniform(0.08, 0.22)]), blur=0.02)
    if rng.random() < 0.3:
        canvas.absorb(BLOOD, 1.2 * ulcer_HW)
        canvas.absorb(MELANIN, 0.5 * ulcer_HW * ramp(canvas.noise(rng, scale=0.15), 1.0))


def actinic_keratosis(canvas: Canvas, rng: np.random.Generator) -> None:
    """AK: no clear border, red network around pale follicles (strawberry), white scale; a third is pigmented."""
    radius = rng.uniform(0.4, 0.9)
    inside_HW = ramp(canvas.outline(rng, radius=radius, irregular=0.15, ragged=0.3), 1.3)
    follicle_N2 = scatter(rng, 55, 0.0, radius)
    follicles_HW = canvas.dots(follicle_N2, rng.uniform(0.02, 0.045, 55), blur=0.01)
    net_HW = canvas.network(rng, spacing=0.17, warp=0.35)
    canvas.absorb(BLOOD, inside_HW * rng.uniform(0.3, 0.9) * (0.45 + 0.55 * net_HW))
    if rng.random() < 0.35:
        canvas.absorb(MELANIN, inside_HW * rng.uniform(0.3, 0.8) * (0.5 + 0.6 * net_HW))
    canvas.cover((0.93, 0.84, 0.72), inside_HW * follicles_HW * rng.uniform(0.4, 0.8))
    plugs_HW = canvas.dots(follicle_N2, rng.uniform(0.006, 0.014), blur=0.004)
    canvas.absorb(MELANIN, inside_HW * plugs_HW * rng.uniform(0.1, 0.8))
    scale_HW = ramp(canvas.noise(rng, scale=0.3) - rng.uniform(0.6, 1.8), 0.9)
    canvas.cover(WHITE, inside_HW * scale_HW * rng.uniform(0.4, 0.8))


def benign_keratosis(canvas: Canvas, rng: np.random.Generator) -> None:
    """BKL: pasted-on sharp moth-eaten border, tan to dark, white cysts, dark openings, ridges or fingerprints."""
    radius = rng.uniform(0.3, 0.8)
    depth_HW = canvas.outline(rng, radius=radius, irregular=rng.uniform(0.05, 0.16), ragged=rng.uniform(0.05, 0.2))
    inside_HW = ramp(depth_HW, 0.1)
    clouds_HW = 1 + 0.3 * canvas.noise(rng, scale=0.45)
    canvas.absorb(MELANIN, inside_HW * rng.uniform(0.25, 1.3) * np.maximum(clouds_HW, 0.2))
    canvas.absorb(DEEP_MELANIN, inside_HW * rng.choice([0.0, 0.25, 0.6], p=[0.5, 0.3, 0.2]))
    ridges_HW = ramp(0.35 - np.abs(canvas.noise(rng, scale=rng.uniform(0.18, 0.3))), 0.4)
    canvas.absorb(MELANIN, inside_HW * ridges_HW * rng.choice([0.0, 0.5, 0.9]))
    plugs, cysts = int(rng.integers(6, 26)), int(rng.integers(6, 24))
    plugs_HW = canvas.dots(scatter(rng, plugs, 0.0, 0.9 * radius), rng.uniform(0.018, 0.04, plugs), blur=0.004)
    canvas.absorb(MELANIN, inside_HW * plugs_HW * rng.uniform(0.6, 1.5))
    cysts_HW = canvas.dots(scatter(rng, cysts, 0.0, 0.9 * radius), rng.uniform(0.02, 0.045, cysts), blur=0.008)
    canvas.cover((0.97, 0.90, 0.78), inside_HW * cysts_HW * rng.uniform(0.4, 0.85))


def dermatofibroma(canvas: Canvas, rng: np.random.Generator) -> None:
    """DF: round, a white scar-like centre, a delicate network fading outwards."""
    radius = rng.uniform(0.4, 0.75)
    depth_HW = canvas.outline(rng, radius=radius, irregular=0.05, ragged=0.06)
    inside_HW = ramp(depth_HW, 0.8)
    net_HW = canvas.network(rng, spacing=rng.uniform(0.09, 0.13), warp=0.15)
    canvas.absorb(BLOOD, inside_HW * rng.uniform(0.05, 0.6))
    canvas.absorb(MELANIN, inside_HW * rng.uniform(0.35, 1.1) * (0.5 + 0.7 * net_HW))
    patch_HW = ramp(canvas.outline(rng, radius=rng.uniform(0.35, 0.55) * radius, irregular=0.15, ragged=0.15), 0.5)
    canvas.cover((0.92, 0.84, 0.83), patch_HW * rng.uniform(0.45, 0.9))
    strands_NP2 = curves(
        scatter(rng, 9, 0.0, 0.3 * radius), rng.uniform(0, 6.3, 9), np.full(9, 0.8 * radius), rng.normal(size=9) * 0.4
    )
    canvas.cover(WHITE, 0.5 * canvas.lines(strands_NP2, [0.025] * 9, blur=0.012))


def vascular_lesion(canvas: Canvas, rng: np.random.Generator) -> None:
    """VASC: clustered red, purple or black lagoons parted by pale septa, on a red ground."""
    radius = rng.uniform(0.22, 0.6)
    depth_HW = canvas.outline(rng, radius=radius, irregular=0.07)
    lagoons = int(rng.integers(5, 18))
    lagoon_N2, size_N = scatter(rng, lagoons, 0.0, 0.85 * radius), rng.uniform(0.18, 0.4, lagoons) * radius
    lagoons_HW = canvas.dots(lagoon_N2, size_N, blur=0.008)
    ground_HW = ramp(depth_HW, 0.4)
    canvas.absorb(BLOOD, ground_HW * rng.uniform(0.1, 0.8))
    canvas.absorb(BLOOD, lagoons_HW * rng.uniform(0.3, 1.3) * (1 + 0.2 * canvas.noise(rng, scale=0.3)))
    canvas.absorb(DEEP_MELANIN, lagoons_HW * rng.choice([0.0, 0.35, 0.9], p=[0.4, 0.4, 0.2]))
    clotted_HW = canvas.dots(lagoon_N2[:2], size_N[:2], blur=0.01)
    if rng.random() < 0.3:
        canvas.cover(_BLACK, clotted_HW * rng.uniform(0.4, 0.8))
    rims_HW = canvas.dots(lagoon_N2, size_N * 1.25, blur=0.008) - lagoons_HW
    canvas.cover((0.90, 0.78, 0.80), np.clip(rims_HW, 0, 1) * rng.uniform(0.0, 0.4))


def squamous_cell_carcinoma(canvas: Canvas, rng: np.random.Generator) -> None:
    """SCC: keratin mass, white structureless areas and circles, looped vessels at the edge, blood spots."""
    radius = rng.uniform(0.4, 0.85)
    depth_HW = canvas.outline(rng, radius=radius, irregular=0.13, ragged=0.2)
    inside_HW = ramp(depth_HW, 0.5)
    canvas.absorb(BLOOD, inside_HW * rng.uniform(0.2, 0.9) * (1 + 0.3 * canvas.noise(rng, scale=0.4)))
    canvas.absorb(MELANIN, inside_HW * rng.uniform(0.0, 0.7) * ramp(canvas.noise(rng, scale=0.5), 1.2))
    white_HW = ramp(canvas.noise(rng, scale=0.5) + rng.uniform(-0.6, 0.4), 0.7)
    canvas.cover(WHITE, inside_HW * white_HW * rng.uniform(0.3, 0.7))
    ring_N2, ring_N = scatter(rng, 14, 0.0, 0.8 * radius), rng.uniform(0.035, 0.06, 14)
    rings_HW = canvas.dots(ring_N2, ring_N) - canvas.dots(ring_N2, 0.55 * ring_N)
    canvas.cover(WHITE, inside_HW * np.clip(rings_HW, 0, 1) * rng.uniform(0.3, 0.8))
    loops_NP2 = curves(
        scatter(rng, 20, 0.6 * radius, radius), rng.uniform(0, 6.3, 20), np.full(20, 0.14), np.full(20, 4.2)
    )
    canvas.absorb(BLOOD, canvas.lines(loops_NP2, [0.022] * 20, blur=0.004) * rng.uniform(0.6, 1.4))
    mass_HW = ramp(canvas.outline(rng, radius=rng.uniform(0.15, 0.5) * radius, irregular=0.2, ragged=0.5), 0.25)
    canvas.cover(_KERATIN, mass_HW * rng.uniform(0.4, 0.9) * (1 + 0.1 * canvas.noise(rng, scale=0.1)))
    spots_HW = canvas.dots(scatter(rng, 8, 0.0, 0.5 * radius), rng.uniform(0.012, 0.035, 8), blur=0.006)
    canvas.absorb(BLOOD, spots_HW * rng.uniform(0.4, 1.8))
