"""Images are decoded in a process with limits, which is killed beyond them and replaced."""

import os
import signal
import subprocess
import sys

import numpy as np
import pytest
from fastapi import HTTPException
from PIL import Image

from dspkd.deploy.bundle import preprocess
from dspkd.deploy.bundle.spec import Preprocessing
from dspkd.deploy.serve import decoding, image_checks
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


COMMENT = b"\xff\xfe\x00\x06\xff\xd9\xff\xd9"
"""A comment that has the end of an image in it."""


@pytest.mark.parametrize("before", [b"", COMMENT])
def test_scans_are_those_up_to_the_end_of_the_image(before):
    image = encoded(lesion(), progressive=True)
    image_checks.check(image[:2] + before + image[2:] + b"film \xff\xda" * 300, Limits())
    many = of_scans(201)
    with pytest.raises(RefusedImageError, match="scans"):
        image_checks.check(many[:2] + before + many[2:], Limits())


def test_an_image_that_takes_too_long_ends_its_process_and_the_next_one_has_another(decoder, jpeg):
    of = decoder(scans=10**9, decoding_seconds=0.3)
    for _ in range(2):
        with pytest.raises(DataError, match=r"takes more than 0\.3 s"):
            of.pixels(of_scans(30_000, size=256))
        assert of.pixels(jpeg)[0].shape == (3, 32, 32)


@pytest.mark.skipif(sys.platform != "linux", reason="memory is limited on Linux alone")
def test_an_image_that_takes_too_much_memory_is_refused(decoder, jpeg):
    of = decoder(decoding_bytes=30_000_000)
    with pytest.raises(DataError, match=r"more than 30,000,000 bytes|more memory than"):
        of.pixels(encoded(Image.new("RGB", (5000, 5000)), "PNG"))
    assert of.pixels(jpeg)[0].shape == (3, 32, 32)


def test_a_process_that_was_killed_is_replaced(decoder, jpeg):
    of = decoder()
    of.pixels(jpeg)
    of._process.kill()
    of._process.join()
    assert of.pixels(jpeg)[0].shape == (3, 32, 32)


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no signals that a process may ignore")
@pytest.mark.parametrize("stop", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_to_all_processes_does_not_end_the_one_that_decodes(decoder, jpeg, stop):
    of = decoder()
    of.pixels(jpeg)
    process = of._process
    os.kill(process.pid, stop)
    assert of.pixels(jpeg)[0].shape == (3, 32, 32)
    assert of._process is process


def test_a_program_ends_that_does_not_close_its_decoder():
    program = """
from dspkd.deploy.bundle.spec import Preprocessing
from dspkd.deploy.serve.decoding import Decoder
from dspkd.deploy.serve.limits import Limits
from dspkd.errors import DataError

if __name__ == "__main__":
    try:
        Decoder(Preprocessing(37, 32, ()), Limits()).pixels(b"text")
    except DataError:
        print("refused")
"""
    done = subprocess.run([sys.executable, "-c", program], check=True, timeout=100, capture_output=True, text=True)
    assert done.stdout == "refused\n"


def test_a_process_that_ends_for_another_reason_is_the_servers_fault(decoder, jpeg, monkeypatch):
    of = decoder()
    of.pixels(jpeg)
    of._process.kill()
    of._process.join()
    monkeypatch.setattr(of, "start", lambda: None)
    with pytest.raises(HTTPException, match="ended unexpectedly") as failed:
        of.pixels(jpeg)
    assert (failed.value.status_code, failed.value.headers) == (503, {"Retry-After": "1"})


def test_a_process_that_does_not_start_in_time_is_the_servers_fault(decoder, jpeg, monkeypatch):
    monkeypatch.setattr(decoding, "_START_SECONDS", 0)
    with pytest.raises(HTTPException, match="did not respond in time") as failed:
        decoder().pixels(jpeg)
    assert failed.value.status_code == 503


@pytest.mark.parametrize("mode", ["I;16", "RGBA", "CMYK"])
def test_the_largest_images_of_every_depth_fit_into_the_memory(decoder, mode):
    form = "JPEG" if mode == "CMYK" else "PNG"
    painted = lesion(size=64)
    deep = Image.fromarray(np.asarray(painted.convert("L")).astype(np.uint16) * 257)
    small = deep if mode == "I;16" else painted.convert(mode)
    assert decoder().pixels(encoded(small, form))[0].shape == (3, 32, 32)
