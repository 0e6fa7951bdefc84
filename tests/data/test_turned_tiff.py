"""An uncompressed TIFF that its EXIF turns: opened by its path it has the pixels of the same image as PNG."""

import numpy as np
import pytest
from PIL import Image

from dspkd.data.decode import decode
from dspkd.deploy import Predictor
from dspkd.deploy.bundle import preprocess
from serving import make_bundle

UPRIGHT = {
    1: lambda a: a,
    2: np.fliplr,
    3: lambda a: np.rot90(a, 2),
    4: np.flipud,
    5: lambda a: a.swapaxes(0, 1),
    6: lambda a: np.rot90(a, -1),
    7: lambda a: np.rot90(a, 2).swapaxes(0, 1),
    8: np.rot90,
}
"""How the stored pixels become the image that is meant, by the EXIF standard."""

MODES = ("1", "L", "I;16", "P", "RGB", "RGBA", "CMYK")


def stored(mode):
    """Return an image of 49 x 35 pixels, each of another value where the mode has as many."""
    draw = np.random.default_rng(0)
    if mode == "I;16":
        return Image.fromarray(draw.integers(0, 65536, (35, 49), dtype=np.uint16))
    if mode in ("RGBA", "CMYK"):
        return Image.fromarray(draw.integers(0, 256, (35, 49, 4), dtype=np.uint8), mode)
    return Image.fromarray(draw.integers(0, 256, (35, 49, 3), dtype=np.uint8)).convert(mode)


def exif(orientation):
    block = Image.Exif()
    block[0x112] = orientation
    return block


@pytest.mark.parametrize("orientation", UPRIGHT)
@pytest.mark.parametrize("mode", MODES)
def test_a_turned_tiff_has_the_pixels_that_are_meant(tmp_path, mode, orientation):
    image, path = stored(mode), tmp_path / "a.tif"
    image.save(path, exif=exif(orientation))
    with Image.open(path) as again:
        assert (again.mode, len(again.tile)) == (mode, 1)
    image.save(tmp_path / "stored.tif")
    expected = UPRIGHT[orientation](decode(tmp_path / "stored.tif"))
    np.testing.assert_array_equal(decode(path), expected)
    np.testing.assert_array_equal(preprocess.decode(path), expected)
    np.testing.assert_array_equal(preprocess.decode(path.read_bytes()), expected)
    if mode != "CMYK":
        image.save(tmp_path / "a.png", exif=exif(orientation))
        np.testing.assert_array_equal(decode(tmp_path / "a.png"), expected)


@pytest.mark.parametrize("mode", ["L", "CMYK"])
def test_a_bundle_predicts_a_turned_tiff_by_its_path_as_the_upright_image(tmp_path, mode):
    predictor = Predictor(make_bundle(tmp_path / "m.dspkd"))
    stored(mode).save(tmp_path / "a.tif", exif=exif(6))
    upright = np.rot90(np.asarray(stored(mode).convert("RGB")), -1)
    expected = predictor.predict(np.ascontiguousarray(upright)).logits
    np.testing.assert_array_equal(predictor.predict(tmp_path / "a.tif").logits, expected)
