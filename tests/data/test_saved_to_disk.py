"""What `save_to_disk` of Hugging Face writes: Arrow files in folders, with a list of them and cached results beside."""

import importlib
import io
import json

import numpy as np
import pytest
from PIL import Image

from dspkd import data
from dspkd.errors import DataError

pyarrow = pytest.importorskip("pyarrow", reason="needs pyarrow: pip install 'dspkd[parquet]'")
NAMES = ["mel", "nv", "bcc"]


def stored(shade):
    buffer = io.BytesIO()
    Image.new("RGB", (8, 8), (shade, shade, shade)).save(buffer, "PNG")
    return {"bytes": buffer.getvalue(), "path": None}


def table(shades, labels, **columns):
    described = {"info": {"features": {"label": {"names": NAMES}}}}
    columns = {"image": list(map(stored, shades)), "label": labels, **columns}
    return pyarrow.table(columns).replace_schema_metadata({"huggingface": json.dumps(described)})


def stream(file, rows, *, each=1000):
    file.parent.mkdir(parents=True, exist_ok=True)
    with pyarrow.OSFile(str(file), "wb") as sink, pyarrow.ipc.new_stream(sink, rows.schema) as writer:
        writer.write_table(rows, max_chunksize=each)


def listed(folder, *files):
    (folder / "state.json").write_text(json.dumps({"_data_files": [{"filename": name} for name in files]}))


def shades_and_classes(found):
    shades = [int(np.asarray(Image.open(path))[0, 0, 0]) for path in found.paths]
    return sorted(zip(shades, (found.classes[label] for label in found.labels), strict=True))


def saved(folder, shades, labels, **columns):
    stream(folder / "data-00000-of-00001.arrow", table(shades, labels, **columns))
    listed(folder, "data-00000-of-00001.arrow")


def test_parts_classes_and_patients_are_read(tmp_path):
    saved(tmp_path / "d/train", range(0, 150), [0, 1] * 75, patient_id=[f"P{k // 2}" for k in range(150)])
    saved(tmp_path / "d/test", [200, 210], [2, 1], patient_id=["Q1", "Q2"])
    (tmp_path / "d/dataset_dict.json").write_text(json.dumps({"splits": ["train", "test"]}))
    found = data.read("auto", tmp_path / "d")
    expected = [(k, NAMES[k % 2]) for k in range(150)] + [(200, "bcc"), (210, "nv")]
    assert shades_and_classes(found) == expected
    assert (found.origin.layout, found.origin.group, len(set(found.groups))) == ("huggingface", "patient_id", 77)
    assert [found.attributes["split"].count(part) for part in ("train", "test")] == [150, 2]


def test_a_part_of_any_name_is_read_where_the_list_names_it(tmp_path):
    saved(tmp_path / "d/train", [1, 2], [0, 1])
    saved(tmp_path / "d/clinic_b", [3, 4], [0, 1])
    saved(tmp_path / "d/old", [5, 6], [0, 1])
    (tmp_path / "d/dataset_dict.json").write_text(json.dumps({"splits": ["train", "clinic_b"]}))
    assert [shade for shade, _ in shades_and_classes(data.read("auto", tmp_path / "d"))] == [1, 2, 3, 4]


@pytest.mark.parametrize("with_list", [True, False])
def test_cached_results_beside_the_files_are_not_read(with_list, tmp_path):
    rows = table([10, 20], [0, 1])
    stream(tmp_path / "d/data-00000-of-00001.arrow", rows)
    stream(tmp_path / "d/cache-489fae8cbf4c7105.arrow", table([90, 91], [2, 2]))
    if with_list:
        listed(tmp_path / "d", "data-00000-of-00001.arrow")
    assert shades_and_classes(data.read("auto", tmp_path / "d")) == [(10, "mel"), (20, "nv")]


def test_files_of_the_download_cache_have_their_part_at_the_end(tmp_path):
    for part, shades in (("train", [10, 20]), ("test", [30, 40])):
        stream(tmp_path / f"d/ham10000-{part}-00000-of-00001.arrow", table(shades, [0, 1]))
    found = data.read("auto", tmp_path / "d")
    parts = dict(zip((path.parent.name for path in found.paths), found.attributes["split"], strict=True))
    assert parts == {f"ham10000-{part}-00000-of-00001": part for part in ("train", "test")}


def test_a_file_that_the_list_names_and_that_is_missing_is_refused(tmp_path):
    stream(tmp_path / "d/data-00000-of-00002.arrow", table([10, 20], [0, 1]))
    listed(tmp_path / "d", "data-00000-of-00002.arrow", "data-00001-of-00002.arrow")
    with pytest.raises(DataError, match=r"state\.json lists data-00001-of-00002\.arrow, and there is no such file"):
        data.read("auto", tmp_path / "d")


def test_a_list_cannot_name_a_file_elsewhere(tmp_path):
    stream(tmp_path / "elsewhere.arrow", table([10, 20], [0, 1]))
    stream(tmp_path / "d/data.arrow", table([10, 20], [0, 1]))
    listed(tmp_path / "d", "../elsewhere.arrow")
    with pytest.raises(DataError, match=r"state\.json lists elsewhere\.arrow"):
        data.read("auto", tmp_path / "d")


def test_more_rows_than_are_read_at_once_keep_their_order(tmp_path):
    shades = [k % 256 for k in range(300)]
    stream(tmp_path / "d/data.arrow", table(shades, [0, 1, 2] * 100), each=130)
    found = data.read("auto", tmp_path / "d")
    pairs = [(int(np.asarray(Image.open(path))[0, 0, 0]), int(label)) for path, label in zip(found.paths, found.labels,
             strict=True)]  # fmt: skip
    order = [found.classes.index(name) for name in NAMES]
    assert pairs == [(shade, order[k % 3]) for k, shade in enumerate(shades)]


@pytest.mark.parametrize("cut", [5, 40, 400, -300])
def test_a_file_that_is_cut_off_is_one_line(cut, tmp_path):
    stream(tmp_path / "d/data.arrow", table([10, 20] * 20, [0, 1] * 20))
    whole = (tmp_path / "d/data.arrow").read_bytes()
    (tmp_path / "d/data.arrow").write_bytes(whole[:cut])
    with pytest.raises(DataError, match=r"^[^\n]+$"):
        data.read("huggingface", tmp_path / "d")


def test_paths_without_images_are_refused_with_what_would_do(tmp_path):
    rows = pyarrow.table({"image": [{"bytes": b"", "path": "a.png"}], "label": ["mel"]})
    stream(tmp_path / "d/data.arrow", rows)
    with pytest.raises(DataError, match=r"row 1: no image; .*write the file with its images inside"):
        data.read("auto", tmp_path / "d")


@pytest.mark.parametrize("kind", ["stream.arrow", "file.arrow", "labels.feather"])
def test_a_table_of_labels_may_be_arrow(kind, tmp_path):
    for shade, name in enumerate(["a", "b", "c", "d"]):
        Image.new("RGB", (8, 8), (shade, 90, 90)).save(tmp_path / f"{name}.png")
    rows = pyarrow.table({"image": ["a", "b", "c", "d"], "label": ["mel", "nv"] * 2, "patient_id": [7, 7, 8, None]})
    if kind == "stream.arrow":
        stream(tmp_path / kind, rows)
    else:
        importlib.import_module("pyarrow.feather").write_feather(rows, tmp_path / kind)
    found = data.read("auto", tmp_path)
    assert (found.classes, found.origin.group, len(set(found.groups))) == (("mel", "nv"), "patient_id", 3)
