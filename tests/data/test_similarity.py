import numpy as np
import pytest
from scipy.ndimage import gaussian_filter, map_coordinates

from dspkd.data.audit.similarity import agreement

NEAR = {"reach": 3, "scales": (-0.05, 0.0, 0.05)}


def noise(count, seed, side=80):
    draw = np.random.default_rng(seed)
    z = gaussian_filter(draw.normal(size=(count, side, side)), (0, 1, 1))
    return (z / z.std() * 45).clip(-125, 125).astype(np.int8)


def test_an_image_agrees_with_itself_and_not_with_its_negative():
    a = noise(4, 0)[:, 8:72, 8:72]
    np.testing.assert_allclose(agreement(a, a, **NEAR), 1, atol=1e-5)
    assert agreement(a, np.negative(a), **NEAR).max() < 0.3


def test_agreement_is_the_mean_correlation_of_blocks_computed_by_hand():
    a, b = noise(1, 0, 64), noise(1, 1, 64)
    by_hand = []
    for i in range(0, 64, 16):
        for j in range(0, 64, 16):
            x, y = (z[0, i : i + 16, j : j + 16].astype(float).ravel() for z in (a, b))
            by_hand.append(x @ y / np.sqrt(x @ x * (y @ y)))
    still = {"reach": 0, "scales": (0.0,)}
    assert agreement(a, b, **still)[0] == pytest.approx(np.mean(by_hand), abs=1e-6)
    half = agreement(a, b, **still, share=0.5)[0]
    assert half == pytest.approx(np.mean(sorted(by_hand)[8:]), abs=1e-6)
    assert agreement(a, b, **still, share=0.01)[0] == pytest.approx(max(by_hand), abs=1e-6)


def test_small_shifts_do_not_matter_and_large_ones_do():
    whole = noise(4, 1)
    a = whole[:, 8:72, 8:72]
    for y, x in ((3, 3), (-3, 2), (0, -3)):
        moved = whole[:, 8 + y : 72 + y, 8 + x : 72 + x]
        assert agreement(a, moved, **NEAR).min() > 0.85
        assert agreement(a, moved, reach=1, scales=(0.0,)).max() < 0.5
    assert agreement(a, whole[:, 16:, 16:], **NEAR).max() < 0.3


def test_the_given_scales_do_not_matter():
    whole = gaussian_filter(np.random.default_rng(4).normal(size=(134, 134)), 1)
    at = np.linspace(3, 130, 128)  # 127 pixels onto 127 * 0.95
    inner = np.meshgrid(66.5 + 0.95 * (at - 66.5), 66.5 + 0.95 * (at - 66.5), indexing="ij")
    outer = np.meshgrid(at, at, indexing="ij")
    a, b = (map_coordinates(whole / whole.std() * 45, grid, order=1).clip(-125, 125) for grid in (inner, outer))
    a, b = a[None].astype(np.int8), b[None].astype(np.int8)
    with_scales = agreement(a, b, reach=2, scales=(-0.05, 0.0, 0.05))
    assert with_scales > 1.3 * agreement(a, b, reach=2, scales=(0.0,))
    assert with_scales > 0.6
    smaller, larger = (agreement(a, b, reach=2, scales=(scale,)) for scale in (-0.05, 0.05))
    assert smaller == with_scales > 1.3 * larger  # b shows more, so everything in it is smaller


def test_the_better_half_ignores_spoilt_blocks():
    a = noise(1, 0, 64)
    b = a.copy()
    b[:, :, 32:] = noise(1, 1, 64)[:, :, 32:]
    assert agreement(a, b, **NEAR)[0] == pytest.approx(0.5, abs=0.1)
    assert agreement(a, b, **NEAR, share=0.5)[0] == pytest.approx(1, abs=1e-3)


def test_unrelated_images_do_not_agree():
    a, b = noise(30, 2, 64), noise(30, 3, 64)
    assert agreement(a, b, **NEAR).max() < 0.3
    assert agreement(a, b, **NEAR, share=0.5).max() < 0.45


def test_an_image_with_few_filled_blocks_is_not_compared():
    whole, little = noise(1, 0, 64), np.zeros((1, 64, 64), dtype=np.int8)
    little[:, :16, :48] = whole[:, :16, :48]  # three blocks of sixteen
    for a, b in ((little, little), (little, whole), (whole, little)):
        assert np.isnan(agreement(a, b, **NEAR))
    little[:, :16] = whole[:, :16]  # four
    assert agreement(little, little, **NEAR)[0] == pytest.approx(1, abs=1e-5)


def test_pairs_are_independent():
    a, b = noise(5, 5, 64), noise(5, 6, 64)
    together = agreement(a, b, **NEAR)
    np.testing.assert_allclose(
        together, [agreement(a[p : p + 1], b[p : p + 1], **NEAR)[0] for p in range(5)], atol=1e-6
    )
