import io
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from dspkd.data.decode import check, decode
from dspkd.data.readers import isic2019
from dspkd.data.table import Table
from dspkd.errors import DamagedImagesError, DataError

# Red, green above blue, white: no rotation or reflection leaves it alone.
CORNERS = np.array([[[255, 0, 0], [0, 255, 0]], [[0, 0, 255], [255, 255, 255]]], dtype=np.uint8)


def smooth(height, width):
    """An image without hard edges, so that lossy and scaled decoding stay near it."""
    y, x = np.mgrid[0 : 1 : height * 1j, 0 : 1 : width * 1j]
    return np.stack([255 * x, 255 * y, 127 * (1 + np.sin(5 * x + 3 * y))], axis=2).astype(np.uint8)


def test_rgb_pixels_are_unchanged_and_writable(tmp_path):
    pixels = smooth(20, 30)
    Image.fromarray(pixels).save(tmp_path / "a.png")
    decoded = decode(tmp_path / "a.png")
    assert decoded.dtype == np.uint8
    assert decoded.flags.writeable
    np.testing.assert_array_equal(decoded, pixels)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_orientations_are_applied(tmp_path, orientation):
    upright = np.kron(CORNERS, np.ones((10, 15, 1), dtype=np.uint8))
    undo = {
        1: lambda a: a,
        2: np.fliplr,
        3: lambda a: np.rot90(a, 2),
        4: np.flipud,
        5: lambda a: a.transpose(1, 0, 2),
        6: lambda a: np.rot90(a, 1),
        7: lambda a: np.rot90(a, 2).transpose(1, 0, 2),
        8: lambda a: np.rot90(a, -1),
    }[orientation]
    exif = Image.Exif()
    exif[0x0112] = orientation
    path = tmp_path / "rotated.png"
    Image.fromarray(np.ascontiguousarray(undo(upright))).save(path, exif=exif)
    np.testing.assert_array_equal(decode(path), upright)
    assert decode(path, short_side=10).shape == (10, 15, 3)


def test_other_modes_become_rgb(tmp_path):
    rgb = Image.fromarray(smooth(12, 16))
    grey = np.asarray(rgb.convert("L"))
    for mode, want in (("L", rgb.convert("L")), ("1", rgb.convert("1")), ("P", rgb.quantize(16))):
        path = tmp_path / f"{mode}.png"
        want.save(path)
        np.testing.assert_array_equal(decode(path), np.asarray(want.convert("RGB")))
    rgb.convert("CMYK").save(tmp_path / "cmyk.tif")
    np.testing.assert_array_equal(decode(tmp_path / "cmyk.tif"), np.asarray(rgb))
    for name in ("deep.png", "deep.tif"):
        Image.fromarray(grey.astype(np.uint16) * 257).save(tmp_path / name)
        np.testing.assert_array_equal(decode(tmp_path / name), np.stack([grey] * 3, axis=2))


def test_sixteen_bits_are_rounded_to_eight():
    levels = np.array([[0, 128, 129, 257, 65406, 65535]], dtype=np.uint16)
    file = io.BytesIO()
    Image.fromarray(levels).save(file, "PNG")
    assert decode(file)[0, :, 0].tolist() == [0, 0, 1, 1, 254, 255]


@pytest.mark.parametrize("suffix", ["png", "tif"])
@pytest.mark.parametrize("short_side", [None, 8])
def test_twelve_bits_in_sixteen_are_refused(tmp_path, suffix, short_side):
    grey = smooth(20, 30)[..., 0].astype(np.uint16)
    Image.fromarray(grey * 16).save(tmp_path / f"a.{suffix}")
    with pytest.raises(DataError, match=rf"a\.{suffix}: .*perhaps 12 bits in 16; scale it"):
        decode(tmp_path / f"a.{suffix}", short_side=short_side)
    Image.fromarray(grey * 257).save(tmp_path / f"a.{suffix}")
    decode(tmp_path / f"a.{suffix}", short_side=short_side)


def test_an_image_that_would_fill_the_memory_when_resized_is_refused(tmp_path):
    Image.new("RGB", (65_000, 2)).save(tmp_path / "a.png")
    with pytest.raises(DataError, match=r"a\.png: .*65000 x 2 pixels; an image may be 32 times as long as wide"):
        decode(tmp_path / "a.png", short_side=8)
    Image.new("RGB", (64, 2)).save(tmp_path / "a.png")
    assert decode(tmp_path / "a.png", short_side=8).shape == (8, 256, 3)


def test_transparent_pixels_are_laid_over_black(tmp_path):
    alpha = np.array([[0, 255], [51, 255]], dtype=np.uint8)
    Image.fromarray(np.dstack([CORNERS, alpha])).save(tmp_path / "rgba.png")
    want = np.array([[[0, 0, 0], [0, 255, 0]], [[0, 0, 51], [255, 255, 255]]])
    np.testing.assert_array_equal(decode(tmp_path / "rgba.png"), want)
    palette = Image.fromarray(CORNERS).quantize(4)
    palette.save(tmp_path / "p.png", transparency=palette.getpixel((1, 1)))
    assert decode(tmp_path / "p.png")[1, 1].tolist() == [0, 0, 0]
    assert decode(tmp_path / "p.png")[0, 0].tolist() == [255, 0, 0]


@pytest.mark.parametrize("suffix", ["png", "jpg"])
@pytest.mark.parametrize(("height", "width"), [(450, 600), (600, 451), (150, 200), (30, 50), (64, 64), (2004, 2001)])
def test_the_short_side_is_exact_and_the_aspect_ratio_kept(tmp_path, suffix, height, width):
    path = tmp_path / f"a.{suffix}"
    Image.fromarray(smooth(height, width)).save(path, **({"compress_level": 1} if suffix == "png" else {}))
    got = decode(path, short_side=64)
    assert min(got.shape[:2]) == 64
    assert (got.shape[0], got.shape[1]) == (
        round(64 * height / min(height, width)),
        round(64 * width / min(height, width)),
    )


@pytest.mark.parametrize("suffix", ["png", "jpg"])
def test_resizing_is_antialiased(tmp_path, suffix):
    """Stripes one pixel wide turn grey; without antialiasing they would stay black and white or alias."""
    stripes = np.zeros((512, 512, 3), dtype=np.uint8)
    stripes[:, ::2] = 255
    Image.fromarray(stripes).save(tmp_path / f"a.{suffix}")
    inner = decode(tmp_path / f"a.{suffix}", short_side=60)[5:-5, 5:-5]
    assert np.ptp(inner) <= 8
    assert abs(inner.mean() - 127.5) < 2


@pytest.mark.parametrize("factor", [2, 4, 5, 8, 10, 16, 17])
def test_a_jpeg_decoded_at_a_fraction_keeps_the_detail(tmp_path, factor):
    """Each pixel of the result is one block of the image, as without the fraction.

    The wider filter of two steps costs up to 3.3 of 255 on average; decoded at the size of the result or below, blocks
    would blur into each other.
    """
    pixels = np.random.default_rng(0).integers(0, 2, (48, 64, 1)).repeat(3, axis=2) * 200
    Image.fromarray(np.kron(pixels, np.ones((factor, factor, 1))).astype(np.uint8)).save(tmp_path / "a.jpg", quality=95)
    Image.fromarray(np.kron(pixels, np.ones((factor, factor, 1))).astype(np.uint8)).save(tmp_path / "a.png")
    scaled, full = (decode(tmp_path / name, short_side=48).astype(float) for name in ("a.jpg", "a.png"))
    assert np.abs(scaled - full).mean() < 5


def test_a_large_jpeg_is_decoded_at_a_fraction(tmp_path, monkeypatch):
    """Which makes it about 12 times faster; an image of 1500 x 2000 pixels is decoded to 188 x 250, an eighth."""
    Image.fromarray(smooth(1500, 2000)).save(tmp_path / "a.jpg", quality=95)
    decoded = []
    resize = Image.Image.resize
    monkeypatch.setattr(Image.Image, "resize", lambda self, *rest: decoded.append(self.size) or resize(self, *rest))
    assert decode(tmp_path / "a.jpg", short_side=64).shape == (64, 85, 3)
    assert decoded == [(250, 188)]


def broken_files(folder):
    """Write files that must not be read as images; return a fragment of the message for each."""
    Image.fromarray(smooth(150, 200)).save(folder / "whole.jpg", quality=95)
    whole = (folder / "whole.jpg").read_bytes()
    (folder / "cut.jpg").write_bytes(whole[: len(whole) // 2])
    (folder / "text.jpg").write_text("not an image")
    (folder / "empty.jpg").touch()
    Image.fromarray(np.ones((4, 4), dtype=np.float32)).save(folder / "float.tif")
    Image.fromarray(np.full((4, 4), 70000, dtype=np.int32)).save(folder / "deep.tif")
    return {
        "cut.jpg": "truncated",
        "text.jpg": "cannot identify",
        "empty.jpg": "cannot identify",
        "missing.jpg": "No such file",
        "float.tif": "floating-point pixels",
        "deep.tif": "70000 are not 16-bit",
    }


@pytest.mark.parametrize("name", ["cut.jpg", "text.jpg", "empty.jpg", "missing.jpg", "float.tif", "deep.tif"])
@pytest.mark.parametrize("short_side", [None, 8])
def test_a_damaged_file_is_refused_with_its_name(tmp_path, name, short_side):
    cause = broken_files(tmp_path)[name]
    with pytest.raises(DataError, match=rf"{name}: not a readable image: .*{cause}"):
        decode(tmp_path / name, short_side=short_side)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("limit", [599, 299])
def test_a_decompression_bomb_is_refused_even_where_warnings_are_ignored(tmp_path, monkeypatch, limit):
    Image.fromarray(smooth(20, 30)).save(tmp_path / "big.png")
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", limit)
    with pytest.raises(
        DataError, match=rf"big\.png: not a readable image: .*(more than {limit};|limit of {2 * limit} pixels)"
    ):
        decode(tmp_path / "big.png")
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 600)
    assert decode(tmp_path / "big.png").shape == (20, 30, 3)


def table_of(folder, names):
    return Table(
        classes=("x",),
        ids=tuple(names),
        paths=tuple(folder / name for name in names),
        labels=np.zeros(len(names), dtype=np.int64),
        groups=tuple(names),
        attributes={},
        root=folder,
    )


def test_check_counts_and_names_damaged_files(tmp_path):
    broken = [*broken_files(tmp_path)]
    lines = []
    check(table_of(tmp_path, ["whole.jpg"]), log=lines.append)
    assert lines == ["1 images decoded, none damaged"]
    with pytest.raises(DamagedImagesError) as caught:
        check(table_of(tmp_path, ["whole.jpg", *broken]))
    assert "6 of 7 images do not decode" in str(caught.value)
    assert all(name in str(caught.value) for name in broken[:3])
    assert not any(name in str(caught.value) for name in ["whole.jpg", *broken[3:]])
    assert sorted(caught.value.problems) == [1, 2, 3, 4, 5, 6]
    check(table_of(tmp_path, [*broken, "whole.jpg"]), rows=[6])
    with pytest.raises(DamagedImagesError) as caught:
        check(table_of(tmp_path, ["whole.jpg", *broken]), rows=[0, 4])
    assert list(caught.value.problems) == [4]
    assert broken[3] in caught.value.problems[4]


def test_one_cut_file_among_hundreds_is_found(shared, tmp_path):
    table = isic2019.read(shared / "data/dermoscopy-224-mini")
    check(table)
    last = table.paths[-1].read_bytes()
    cut = Path(tmp_path / "cut.jpg")
    cut.write_bytes(last[: len(last) * 9 // 10])
    with pytest.raises(DataError, match=r"1 of 622 images do not decode.*\n.*cut\.jpg: .*truncated"):
        check(replace(table, paths=(*table.paths[:-1], cut)))
