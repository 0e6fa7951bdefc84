import sys
from pathlib import Path

import pytest
from PIL import Image

from dspkd.deploy.batch import predict

sys.path.insert(0, str(Path(__file__).parent))
from fake import COUNT


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """23 grey images, of which number 5 is truncated, and number 8 is black."""
    folder = tmp_path_factory.mktemp("grey")
    for number in range(COUNT):
        Image.new("RGB", (8, 8), (10 * number,) * 3 if number != 8 else (0, 0, 0)).save(folder / f"{number:02}.png")
    Image.new("RGB", (8, 8), (5, 5, 5)).save(folder / "00.png")
    (folder / "05.png").write_bytes((folder / "04.png").read_bytes()[:30])
    return folder


@pytest.fixture(autouse=True)
def _small_chunks(monkeypatch):
    monkeypatch.setattr(predict, "CHUNK", 5)
