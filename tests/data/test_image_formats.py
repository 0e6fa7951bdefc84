"""Images that attack their decoder: each is that image's own error, and none starts another program."""

import io
import re
import struct
import subprocess
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageFile, PngImagePlugin

import dspkd
from dspkd.data import image_formats
from dspkd.data.audit.fingerprint import take
from dspkd.data.decode import decode
from dspkd.deploy.bundle import preprocess
from dspkd.errors import DataError

SOURCE = Path(dspkd.__file__).parent


def saved(kind, image=None, **options):
    file = io.BytesIO()
    (image or Image.linear_gradient("L").resize((48, 40)).convert("RGB")).save(file, kind, **options)
    return file.getvalue()


def damaged_avif():
    content = bytearray(saved("AVIF"))
    for at in (len(content) // 2, len(content) // 2 + 7, len(content) - 9):
        content[at] ^= 0xFF
    return bytes(content)


def odd_exif():
    """EXIF with orientation 6, and with a value of a type that Pillow reads and cannot write again."""
    entries = struct.pack("<HHIHH", 0x112, 3, 1, 6, 0) + struct.pack("<HHIHH", 0x131, 3, 1, 7, 0)
    return b"Exif\0\0II*\0" + struct.pack("<IH", 8, 2) + entries + bytes(4)


def long_text():
    info = PngImagePlugin.PngInfo()
    info.add_text("comment", "x" * 2_000_000, zip=True)
    return saved("PNG", pnginfo=info)


EPS = b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n%%EndComments\nshowpage\n"
OTHERS = {
    "eps": EPS,
    "pdf": b"%PDF-1.4\n",
    "wmf": b"\xd7\xcd\xc6\x9a\0\0" + bytes(40),
    "mpeg": b"\0\0\x01\xb3" + bytes(40),
    "fli": bytes(4) + b"\x11\xaf" + bytes(122),
    "psd": b"8BPS\0\x01" + bytes(40),
    "pcx": saved("PCX"),
    "ppm": saved("PPM"),
    "tga": saved("TGA"),
    "icns or ico": saved("ICO"),
    "jpeg 2000": saved("JPEG2000") if "jpg_2000" in Image.SAVE else b"\0\0\0\x0cjP  \r\n\x87\n",
}


@pytest.fixture
def no_programs(monkeypatch):
    """Fail where another program is started."""

    def start(*arguments, **options):
        raise AssertionError(f"started {arguments}")

    monkeypatch.setattr(subprocess, "Popen", start)


def readers(path):
    """Return what decodes an image for training, and for a bundle by file and by content."""
    yield lambda: decode(path)
    yield lambda: decode(path, short_side=16)
    yield lambda: preprocess.decode(path)
    yield lambda: preprocess.decode(path.read_bytes())


@pytest.mark.parametrize("name", OTHERS)
def test_no_other_format_is_opened_whatever_the_file_is_called(tmp_path, no_programs, name):
    path = tmp_path / "a.jpg"
    path.write_bytes(OTHERS[name])
    for read in readers(path):
        with pytest.raises(DataError, match=r"not a readable image: cannot identify|not an image of a known format"):
            read()
    prints = take((path,))
    assert all(prints.complaints)


def test_no_image_is_opened_but_in_a_list_of_formats():
    """Pillow opens what it recognises unless `formats` says otherwise."""
    opened = [
        (path.relative_to(SOURCE).as_posix(), call)
        for path in SOURCE.rglob("*.py")
        for call in re.findall(r"Image\.open\([^\n]*", path.read_text(encoding="utf-8"))
    ]
    assert len(opened) >= 4
    assert [each for each in opened if "formats=" not in each[1]] == []


@pytest.mark.parametrize("content", [damaged_avif(), long_text(), saved("PNG")[:60], b"\xff\xd8\xff\xe1\xff"])
def test_whatever_a_decoder_raises_is_the_error_of_its_image(tmp_path, content):
    path = tmp_path / "a.jpg"
    path.write_bytes(content)
    for read in readers(path):
        with pytest.raises(DataError, match="not a"):
            read()


@pytest.mark.parametrize(
    "error",
    [RuntimeError, TypeError, MemoryError, IndexError, struct.error, SyntaxError, AssertionError, RecursionError],
)
def test_an_error_of_any_kind_names_the_image(tmp_path, monkeypatch, error):
    path = tmp_path / "a.png"
    path.write_bytes(saved("PNG"))

    def load(image):
        raise error

    monkeypatch.setattr(ImageFile.ImageFile, "load", load)
    for read in list(readers(path))[:3]:
        with pytest.raises(DataError, match=r"a\.png: not a readable image: \S+"):
            read()
    with pytest.raises(DataError, match=r"an image: not a readable image: \S+"):
        preprocess.decode(Image.open(io.BytesIO(path.read_bytes())))


def test_a_stop_by_the_user_is_no_damaged_image(tmp_path, monkeypatch):
    path = tmp_path / "a.png"
    path.write_bytes(saved("PNG"))

    def load(image):
        raise KeyboardInterrupt

    monkeypatch.setattr(ImageFile.ImageFile, "load", load)
    for read in readers(path):
        with pytest.raises(KeyboardInterrupt):
            read()


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP"])
def test_exif_that_cannot_be_written_again_turns_the_image_all_the_same(tmp_path, kind):
    path = tmp_path / "turned.jpg"
    path.write_bytes(saved(kind, exif=odd_exif()))
    assert decode(path).shape == (48, 40, 3)
    assert preprocess.decode(path).size == (40, 48)
    assert preprocess.decode(Image.open(path)).size == (40, 48)


def test_a_turned_tiff_keeps_its_proportions(tmp_path):
    exif = Image.Exif()
    exif[0x112] = 6
    path = tmp_path / "turned.tif"
    path.write_bytes(saved("TIFF", exif=exif))
    assert decode(path, short_side=20).shape == (24, 20, 3)


def test_reasons_are_one_line():
    assert image_formats.reason(ValueError("a\nb\x0bc")) == "a b c"
    assert "memory" in image_formats.reason(MemoryError())
    assert image_formats.reason(AssertionError()) == "AssertionError"


def test_pixels_of_an_allowed_format_are_unchanged(tmp_path):
    image = Image.fromarray(np.random.default_rng(0).integers(0, 256, (9, 7, 3), dtype=np.uint8))
    for kind in ("PNG", "BMP", "TIFF", "WEBP"):
        path = tmp_path / f"a.{kind}"
        path.write_bytes(saved(kind, image, **({"lossless": True} if kind == "WEBP" else {})))
        np.testing.assert_array_equal(decode(path), np.asarray(image))
