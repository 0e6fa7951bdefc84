"""Archives and arrays that are damaged or made to harm: refused in one line, and nothing is left behind."""

import io
import struct
import warnings
import zipfile
from contextlib import suppress

import numpy as np
import pytest

from dspkd.data import answer_files
from dspkd.data.download import medmnist
from dspkd.data.download import unpack as archive
from dspkd.errors import DataError


def zipped(files, compression=zipfile.ZIP_DEFLATED):
    buffer = io.BytesIO()
    with warnings.catch_warnings(), zipfile.ZipFile(buffer, "w", compression) as file:
        warnings.simplefilter("ignore")  # of names that occur twice
        for name, content in files:
            file.writestr(name, content)
    return buffer.getvalue()


def refused(tmp_path, content):
    (tmp_path / "z.zip").write_bytes(content)
    with pytest.raises(DataError, match=r"z\.zip: ") as error:
        archive.unpack(tmp_path / "z.zip", tmp_path / "in", lambda *_: None)
    assert "\n" not in str(error.value)
    assert not (tmp_path / "in").exists()
    return str(error.value)


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (["."], "no name of a file"),
        (["./"], "no file in it"),
        (["a\x1b[2J.jpg"], "no name of a file"),
        (["a" * 256], "no name of a file"),
        (["d/" * 3000 + "a.jpg"], "cannot be unpacked"),
        (["x/a", "x/a/b"], "a file and a folder"),
        (["x/a/b", "x/a"], "a file and a folder"),
        (["a.jpg", "a.jpg"], "is in it twice"),
        (["a.jpg", "./a.jpg"], "is in it twice"),
    ],
)
def test_names_that_cannot_be_unpacked_are_refused(tmp_path, names, message):
    assert message in refused(tmp_path, zipped([(name, "x") for name in names]))


@pytest.mark.parametrize("compression", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_a_damaged_archive_of_any_compression_raises_no_other_error(tmp_path, compression):
    noise = np.random.default_rng(0).bytes(3000)
    content = zipped([("a.jpg", noise), ("b.jpg", noise)], compression)
    for start in range(0, len(content) - 8, 97):
        damaged = content[:start] + bytes(255 - each for each in content[start : start + 8]) + content[start + 8 :]
        (tmp_path / "z.zip").write_bytes(damaged)
        assert "\n" not in archive.damage(tmp_path / "z.zip", lambda *_: None)
        with suppress(DataError):
            archive.unpack(tmp_path / "z.zip", tmp_path / f"in-{start}", lambda *_: None)


def test_a_small_archive_that_unpacks_to_a_large_one_is_refused_at_once(tmp_path):
    content = bytearray(zipped([("a.jpg", bytes(100_000))]))
    place = content.rindex(b"PK\x01\x02") + 24
    content[place : place + 4] = struct.pack("<I", 800_000_000)  # as if there were so many zeros
    (tmp_path / "z.zip").write_bytes(content)
    assert "would unpack to 800 MB" in archive.damage(tmp_path / "z.zip", lambda *_: None)
    assert "would unpack to 800 MB" in refused(tmp_path, content)


def npy(shape, content=b"", dtype="|u1"):
    buffer = io.BytesIO()
    np.lib.format.write_array_header_1_0(buffer, {"descr": dtype, "fortran_order": False, "shape": shape})
    return buffer.getvalue() + content


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"train_labels.npy": npy((200 * 10**12,))}, "has 200,000,000,000,000 bytes"),
        ({"train_labels.npy": npy((-1,))}, "not an .npz file"),
        ({"train_labels.npy": b"\x93NUMPY\x01\x00"}, "not an .npz file"),
        ({"train_labels.npy": npy((1,), struct.pack("<i", 3 * 10**8), "<i4")}, "class number 300000000; expected less"),
        ({"test_images.npy": npy((1, 10**6, 10**6))}, "has 1,000,000,000,000 bytes"),
    ],
)
def test_arrays_that_promise_more_than_there_is_are_refused(tmp_path, changed, message):
    parts = {f"{part}_{what}.npy": npy((1,) if what == "labels" else (1, 2, 2), bytes(1 if what == "labels" else 4))
             for part in ("train", "val", "test") for what in ("labels", "images")}  # fmt: skip
    (tmp_path / "x.npz").write_bytes(zipped((parts | changed).items(), zipfile.ZIP_STORED))
    with pytest.raises(DataError, match=message) as error:
        medmnist.unpack(tmp_path / "x.npz", tmp_path / "d", lambda *_: None)
    assert "\n" not in str(error.value)


def test_a_damaged_file_of_answers_raises_no_other_error(tmp_path):
    pytest.importorskip("pyarrow")
    ids, values = [f"image {n}" for n in range(50)], np.random.default_rng(0).normal(size=(50, 2)).astype(np.float32)
    for name in ("a.parquet", "a.csv"):
        path = tmp_path / name
        answer_files.write(path, "logits", ids, ("A", "B"), values)
        content = path.read_bytes()
        for start in range(0, len(content) - 6, 131):
            path.write_bytes(content[:start] + b"\xff\x80\x00\xff\x13\x37" + content[start + 6 :])
            with suppress(DataError):
                answer_files.read(path, ("A", "B"))
