"""Sets whose images are inside other files: .npz of MedMNIST, parquet of the Hugging Face hub, HDF5 of ISIC 2024."""

import importlib
import io
import json

import numpy as np
import pytest
from PIL import Image

from dspkd import data
from dspkd.data.decode import decode
from dspkd.errors import DataError

RED, GREEN = (200, 10, 10), (10, 200, 10)


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache/dspkd/unpacked"


def encoded(colour, kind="PNG"):
    file = io.BytesIO()
    Image.new("RGB", (8, 8), colour).save(file, kind)
    return file.getvalue()


def colours(table):
    return [tuple(decode(path)[4, 4].tolist()) for path in table.paths]


def npz(file, **changes):
    arrays = {}
    for part, count in (("train", 4), ("val", 2), ("test", 2)):
        both = [np.full((8, 8, 3), colour, dtype=np.uint8) for colour in (RED, GREEN)]
        arrays[f"{part}_images"] = np.stack(both * (count // 2))
        arrays[f"{part}_labels"] = np.array([[0], [1]] * (count // 2))
    np.savez(file, **arrays | changes)
    return file


@pytest.mark.parametrize("whole", [True, False], ids=["file", "folder"])
def test_a_file_of_medmnist_is_read_with_its_parts(whole, tmp_path, cache):
    file = npz(tmp_path / "dermamnist_corrected_224.npz")
    table = data.read("auto", file if whole else tmp_path)
    assert table.origin.layout == "medmnist"
    assert table.parts == ("train",) * 4 + ("val",) * 2 + ("test",) * 2
    assert colours(table) == [RED, GREEN] * 4
    assert [table.classes[label] for label in table.labels] == ["0", "1"] * 4
    made = {path: path.stat().st_mtime_ns for path in cache.rglob("*.png")}
    assert data.read("auto", file).digest == table.digest
    assert {path: path.stat().st_mtime_ns for path in cache.rglob("*.png")} == made
    assert str(cache) in table.origin.notes[-1]


def test_a_label_that_would_make_millions_of_classes_is_refused(tmp_path):
    file = npz(tmp_path / "a.npz", train_labels=np.array([[0], [1], [0], [300_000_000]]))
    with pytest.raises(DataError, match=r"a\.npz: train_labels .*300000000"):
        data.read("auto", file)


def test_parquet_of_the_hub_is_read_with_parts_and_names_of_classes(tmp_path):
    pyarrow = pytest.importorskip("pyarrow", reason="needs pyarrow: pip install 'dspkd[parquet]'")
    pq = importlib.import_module("pyarrow.parquet")
    described = {"info": {"features": {"label": {"names": ["melanoma", "naevus"], "_type": "ClassLabel"}}}}
    (tmp_path / "data").mkdir()
    for part in ("train", "validation", "test"):
        rows = [
            {"image": {"bytes": encoded(RED), "path": "x.png"}, "label": 0, "patient": f"{part}1", "sex": "M"},
            {"image": {"bytes": encoded(GREEN, "JPEG"), "path": "x.png"}, "label": 1, "patient": "", "sex": "f"},
        ]
        table = pyarrow.Table.from_pylist(rows).replace_schema_metadata({"huggingface": json.dumps(described)})
        pq.write_table(table, tmp_path / f"data/{part}-00000-of-00001.parquet")
    found = data.read("auto", tmp_path)
    assert (found.origin.layout, found.origin.group) == ("huggingface", "patient")
    assert sorted(zip(found.parts, [found.classes[k] for k in found.labels], strict=True)) == sorted(
        (part, name) for part in ("train", "val", "test") for name in ("melanoma", "naevus")
    )
    assert [colour[0] > 100 for colour in colours(found)] == [label == 0 for label in found.labels]
    assert data.read("auto", tmp_path / "data/test-00000-of-00001.parquet").classes == ("melanoma", "naevus")
    (tmp_path / "data/test-00000-of-00001.parquet").write_bytes(b"PAR1 damaged")
    with pytest.raises(DataError, match=r"'huggingface' .*test-00000-of-00001\.parquet"):
        data.read("auto", tmp_path)


def test_hdf5_of_isic_2024_is_read(tmp_path):
    h5py = pytest.importorskip("h5py", reason="needs h5py: pip install 'dspkd[hdf5]'")
    (tmp_path / "train-metadata.csv").write_text("isic_id,target,patient_id,tbp_lv_A\nI1,0,P1,1\nI2,1,P1,2\n")
    with h5py.File(tmp_path / "train-image.hdf5", "w") as arrays:
        for name, colour in (("I1", RED), ("I2", GREEN)):
            arrays[name] = np.void(encoded(colour, "JPEG"))
    table = data.read("auto", tmp_path)
    assert (table.classes, table.labels.tolist(), table.groups) == (("benign", "malignant"), [0, 1], ("P1", "P1"))
    assert [colour[0] > 100 for colour in colours(table)] == [True, False]
    assert dict(table.attributes).keys() == {"licence"}


def test_hdf5_without_its_reader_is_refused_with_the_remedy(tmp_path, monkeypatch):
    monkeypatch.setitem(importlib.import_module("sys").modules, "h5py", None)
    (tmp_path / "train-metadata.csv").write_text("isic_id,target,patient_id\nI1,0,P1\n")
    (tmp_path / "train-image.hdf5").touch()
    with pytest.raises(DataError, match=r"pip install 'dspkd\[hdf5\]'"):
        data.read("auto", tmp_path)
