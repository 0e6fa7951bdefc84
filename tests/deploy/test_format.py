"""The reference implementation in docs/bundle-format.md equals Pillow bit for bit."""

import re
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from dspkd.deploy.bundle import preprocess
from dspkd.deploy.bundle.spec import Preprocessing

PAGE = Path(__file__).resolve().parents[2] / "docs" / "bundle-format.md"


@pytest.fixture(scope="module")
def reference():
    """The names that the Python block of the page defines."""
    (block,) = re.findall(r"```python\n(.*?)```", PAGE.read_text(encoding="utf-8"), flags=re.DOTALL)
    names = {}
    exec(compile(block, str(PAGE), "exec"), names)
    return names


@pytest.mark.parametrize(
    ("width", "height", "short_side", "size"),
    [(203, 151, 73, 64), (151, 203, 37, 32), (600, 450, 256, 224), (40, 30, 73, 64), (73, 73, 73, 64), (91, 7, 16, 9),
     (601, 449, 55, 48), (3, 2, 37, 32), (300, 700, 37, 32), (64, 150, 37, 32), (20, 50, 37, 32)],
)  # fmt: skip
def test_the_resize_on_the_page_equals_pillow(reference, width, height, short_side, size):
    image = np.random.default_rng(width).integers(0, 256, (height, width, 3), dtype=np.uint8)
    pixels = preprocess.apply(Image.fromarray(image), Preprocessing(short_side, size, ()))
    assert pixels.dtype == np.float32
    assert pixels.flags.c_contiguous
    assert np.array_equal(pixels, reference["preprocess"](image, short_side, size))
