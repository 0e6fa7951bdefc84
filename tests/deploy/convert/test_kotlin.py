"""The Kotlin reference of the preprocessing gives what Python gives, bit for bit."""

import shutil
import struct
import subprocess
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from dspkd.deploy.bundle import preprocess
from dspkd.deploy.bundle.spec import Preprocessing
from dspkd.deploy.export import golden

pytestmark = pytest.mark.skipif(
    not shutil.which("kotlinc") or not shutil.which("java"), reason="needs kotlinc and java"
)

SOURCES = (Path(__file__).parent / "Main.kt", Path(__file__).parents[3] / "docs/how-to/examples/Preprocess.kt")
SIZES = ((1, 1), (1, 31), (31, 1), (64, 64), (63, 65), (37, 411), (411, 37), (640, 427), (33, 34), (200, 150))


@pytest.fixture(scope="module")
def program(tmp_path_factory):
    jar = tmp_path_factory.mktemp("kotlin") / "preprocess.jar"
    subprocess.run(["kotlinc", *SOURCES, "-include-runtime", "-d", jar], check=True, capture_output=True)
    return jar


@pytest.mark.parametrize(("short_side", "size"), [(73, 64), (32, 32)])
def test_kotlin_gives_the_same_pixels(program, tmp_path, short_side, size):
    rng = np.random.default_rng(0)
    images = [Image.fromarray(rng.integers(0, 256, (height, width, 3), dtype=np.uint8)) for width, height in SIZES]
    images += [preprocess.decode(image) for image in golden.paint(short_side).values()]
    files = []
    for number, image in enumerate(images):
        files.append(tmp_path / str(number))
        files[-1].write_bytes(struct.pack("<ii", *image.size) + np.asarray(image).tobytes())
    subprocess.run(["java", "-jar", program, str(short_side), str(size), *files], check=True, capture_output=True)
    for image, file in zip(images, files, strict=True):
        expected = preprocess.apply(image, Preprocessing(short_side, size, ()))
        given = np.fromfile(f"{file}.f32", "<f4").reshape(expected.shape)
        assert np.array_equal(given, expected), image.size
