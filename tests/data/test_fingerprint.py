import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from dspkd.data.audit.fingerprint import (
    COLOUR_WEIGHT,
    FREQUENCIES,
    SIDE,
    detail_of,
    digest_of,
    layout_of,
    rotated,
    rotated_layout,
    take,
    thumbnail,
)
from dspkd.errors import DataError

TURNS = {
    0: lambda x: x,
    1: np.fliplr,
    2: np.flipud,
    3: lambda x: np.rot90(x, 2),
    4: lambda x: x.swapaxes(0, 1),
    5: lambda x: np.rot90(x, -1),
    6: np.rot90,
    7: lambda x: np.rot90(x, 2).swapaxes(0, 1),
}


def thumbs(count=3, seed=0):
    """Smooth random images, square."""
    draw = np.random.default_rng(seed)
    small = draw.integers(60, 200, (count, 8, 8, 3), dtype=np.uint8)
    return np.stack([thumbnail(image) for image in small])


def waves_by_hand(thumb):
    """The cosine waves of one thumbnail, written out as sums, in float64."""
    side = SIDE // 2
    half = thumb.astype(float).reshape(side, 2, side, 2, 3).mean(axis=(1, 3)) + 8
    red, green, blue = half[..., 0], half[..., 1], half[..., 2]
    at = (np.arange(side) + 0.5) * np.pi / side
    waves = np.zeros((3, FREQUENCIES, FREQUENCIES))
    for c, (channel, floor, weight) in enumerate(
        [
            (0.299 * red + 0.587 * green + 0.114 * blue, 4, 1),
            (np.log(red / green), 0.02, COLOUR_WEIGHT),
            (np.log(blue / green), 0.02, COLOUR_WEIGHT),
        ]
    ):
        z = weight * (channel - channel.mean()) / (channel.std() + floor)
        for u in range(FREQUENCIES):
            for v in range(FREQUENCIES):
                norm = (1 if u else 0.5**0.5) * (1 if v else 0.5**0.5) * 2 / side
                waves[c, u, v] = norm * (z * np.outer(np.cos(u * at), np.cos(v * at))).sum() / side
    waves[:, 0, 0] = 0
    return waves


def test_layout_is_the_cosine_transform_computed_by_hand():
    images = thumbs()
    np.testing.assert_allclose(layout_of(images), [waves_by_hand(p) for p in images], atol=2e-5)


@pytest.mark.parametrize("turn", range(8))
def test_rotating_an_image_rotates_its_layout_and_detail(turn):
    images = thumbs()
    moved = np.stack([TURNS[turn](image) for image in images])
    np.testing.assert_allclose(layout_of(moved), rotated_layout(layout_of(images), turn), atol=1e-5)
    there = detail_of(images)
    np.testing.assert_array_equal(rotated(there, turn), [TURNS[turn](image) for image in there])
    # A step of 1 where rounding falls the other way.
    assert np.abs(detail_of(moved).astype(int) - rotated(there, turn)).max() <= 1


@given(gain=st.floats(0.6, 1.2), tint=st.tuples(*[st.floats(0.85, 1.15)] * 3))
def test_brightness_and_tint_hardly_change_the_layout(gain, tint):
    images = thumbs()
    changed = np.clip(images * gain * np.array(tint), 0, 255).astype(np.uint8)
    apart = np.linalg.norm((layout_of(images)[0] - layout_of(images)[1]).ravel())
    assert np.linalg.norm((layout_of(changed) - layout_of(images)).reshape(3, -1), axis=1).max() < 0.2 * apart


def test_the_black_surround_of_a_dermatoscope_has_no_detail_and_a_dark_lesion_has():
    yy, xx = np.mgrid[:SIDE, :SIDE] - (SIDE - 1) / 2
    image = thumbs(1)[0].copy()
    image[np.hypot(yy, xx) > 30] = 2
    lesion = np.hypot(yy, xx) < 6
    image[lesion] = np.random.default_rng(0).integers(10, 50, (int(lesion.sum()), 3))
    detail = detail_of(image[None])[0]
    assert not detail[np.hypot(yy, xx) > 27].any()
    assert np.abs(detail[lesion].astype(int)).mean() > 20


def test_fingerprints_are_in_order_and_damaged_files_reported(tmp_path):
    draw = np.random.default_rng(0)
    paths = []
    for number in range(300):  # more than are read at once
        paths.append(tmp_path / f"{number}.png")
        Image.new("RGB", (20 + number, 30), tuple(draw.integers(0, 255, 3).tolist())).save(paths[-1])
    paths[7].write_bytes(b"no image")
    counted = []
    prints = take(tuple(paths), lambda what, done, total: counted.append((what, done, total)))
    assert len(prints) == 300
    assert prints.sizes[:, 1].tolist() == [0 if n == 7 else 20 + n for n in range(300)]
    assert [n for n, complaint in enumerate(prints.complaints) if complaint] == [7]
    assert "7.png: not a readable image" in prints.complaints[7]
    assert prints.of_pixels[7] == ""
    assert counted == [("images read", 256, 300), ("images read", 300, 300)]


def test_equal_pixels_in_two_files_have_one_pixel_digest_and_two_file_digests(tmp_path):
    image = Image.fromarray(thumbs(1)[0])
    image.save(tmp_path / "a.png")
    image.save(tmp_path / "b.png", compress_level=0)
    image.rotate(90).save(tmp_path / "c.png")
    prints = take((tmp_path / "a.png", tmp_path / "b.png", tmp_path / "c.png"))
    assert prints.of_pixels[0] == prints.of_pixels[1] != prints.of_pixels[2]
    assert len(set(prints.of_bytes)) == 3


def test_equal_bytes_of_another_shape_are_not_equal_pixels(tmp_path):
    for name, size in (("a", (10, 20)), ("b", (20, 10))):
        Image.new("RGB", size, "red").save(tmp_path / f"{name}.png")
    prints = take((tmp_path / "a.png", tmp_path / "b.png"))
    assert prints.of_pixels[0] != prints.of_pixels[1]


def test_contrast_and_colour_are_those_of_the_pixels(tmp_path):
    halves = np.zeros((64, 64, 3), dtype=np.uint8)
    halves[:32] = 100
    Image.fromarray(halves).save(tmp_path / "grey.png")
    Image.new("RGB", (64, 64), (200, 150, 100)).save(tmp_path / "flat.png")
    prints = take((tmp_path / "grey.png", tmp_path / "flat.png"))
    np.testing.assert_allclose(prints.contrast, [50, 0], atol=0.5)
    np.testing.assert_allclose(prints.colour, [0, 100], atol=0.5)


def test_a_missing_file_has_no_digest(tmp_path):
    with pytest.raises(DataError, match=r"gone\.jpg: cannot be read"):
        digest_of(tmp_path / "gone.jpg")
