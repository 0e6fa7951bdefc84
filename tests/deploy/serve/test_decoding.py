"""Images are decoded in a process with limits, which is killed beyond them and replaced."""

import sys

import numpy as np
import pytest
from PIL import Image

from dspkd.deploy.bundle import preprocess
from dspkd.deploy.bundle.spec import Preprocessing
from dspkd.deploy.serve.decoding import Decoder
from dspkd.deploy.serve.image_checks import RefusedImageError
from dspkd.deploy.serve.limits import Limits
from dspkd.errors import DataError
from serving import encoded, lesion, post

STEPS = Preprocessing(37, 32, ())


def of_scans(count, size=64):
    """Return a progressive JPEG whose last scan is there so many times more."""
    data = encoded(lesion(size=size), progressive=True)
    last = data[data.rindex(b"\xff\xda") : -2]
    return data[:-2] + last * count + data[-2:]


@pytest.fixture
def decoder():
    opened = []

    def make(**limits):
        opened.append(Decoder(STEPS, Limits(**limits)))
        return opened[-1]

    yield make
    for each in opened:
        each.close()


def test_pixels_are_those_of_the_bundles_preprocessing(decoder, jpeg):
    of = decoder()
    for data in (jpeg, encoded(lesion(1), "PNG")):
        image_3SS, seconds = of.pixels(data)
        assert np.array_equal(image_3SS, preprocess.apply(preprocess.decode(data), STEPS))
        assert set(seconds) == {"decode", "resize"}
    with pytest.raises(DataError, match="truncated"):
        of.pixels(jpeg[:-500])
    with pytest.raises(RefusedImageError, match="not a JPEG") as refused:
        of.pixels(b"text")
    assert refused.value.status == 415


def test_a_jpeg_of_thousands_of_scans_is_refused_before_it_is_decoded(bundle_file):
    response = post(bundle_file, ("a.jpg", of_scans(8000)))
    assert (response.status_code, "scans; 200 is the limit" in response.json()["detail"]) == (413, True)


def test_an_image_that_takes_too_long_ends_its_process_and_the_next_one_has_another(decoder, jpeg):
    of = decoder(scans=10**9, decoding_seconds=0.3)
    for _ in range(2):
        with pytest.raises(DataError, match=r"takes more than 0\.3 s"):
            of.pixels(of_scans(30_000, size=256))
        assert of.pixels(jpeg)[0].shape == (3, 32, 32)


@pytest.mark.skipif(sys.platform != "linux", reason="memory is limited on Linux alone")
def test_an_image_that_takes_too_much_memory_is_refused(decoder, jpeg):
    of = decoder(decoding_bytes=30_000_000)
    with pytest.raises(DataError, match="more memory than there is"):
        of.pixels(encoded(Image.new("RGB", (5000, 5000)), "PNG"))
    assert of.pixels(jpeg)[0].shape == (3, 32, 32)


def test_a_process_that_was_killed_is_replaced(decoder, jpeg):
    of = decoder()
    of.pixels(jpeg)
    of._process.kill()
    of._process.join()
    assert of.pixels(jpeg)[0].shape == (3, 32, 32)


@pytest.mark.parametrize("mode", ["I;16", "RGBA", "CMYK"])
def test_the_largest_images_of_every_depth_fit_into_the_memory(decoder, mode):
    form = "JPEG" if mode == "CMYK" else "PNG"
    small = Image.new(mode, (64, 64))
    assert decoder().pixels(encoded(small, form))[0].shape == (3, 32, 32)
