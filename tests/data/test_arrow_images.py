"""Parquet files that hold images: which column they are in, labels that are missing or beyond the names, locks."""

import importlib
import io
import json
import threading
from collections import defaultdict

import numpy as np
import pytest
from PIL import Image

from dspkd import data
from dspkd.data import answer_files
from dspkd.data.readers import _unpacked
from dspkd.errors import DataError


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


def image_bytes(shade):
    buffer = io.BytesIO()
    Image.new("RGB", (8, 8), (shade, shade, shade)).save(buffer, "PNG")
    return buffer.getvalue()


def parquet(file, *, names=(), kinds=None, **columns):
    pyarrow = pytest.importorskip("pyarrow", reason="needs pyarrow: pip install 'dspkd[parquet]'")
    arrays = {name: pyarrow.array(cells, type=(kinds or {}).get(name)) for name, cells in columns.items()}
    table = pyarrow.table(arrays)
    if names:
        described = {"info": {"features": {"label": {"names": names}}}}
        table = table.replace_schema_metadata({"huggingface": json.dumps(described)})
    file.parent.mkdir(exist_ok=True)
    importlib.import_module("pyarrow.parquet").write_table(table, file)


def stored(shades):
    return [{"bytes": image_bytes(shade), "path": "x.png"} for shade in shades]


def read_shades(table):
    return [int(np.asarray(Image.open(path))[0, 0, 0]) for path in table.paths]


@pytest.mark.parametrize("other", [{"mask": stored([9, 9])}, {"a_thumbnail": stored([9, 9])}, {"hash": [b"x", b"y"]}])
@pytest.mark.parametrize("image", ["image", "img"])
def test_the_column_called_image_is_used(image, other, tmp_path):
    parquet(tmp_path / "d/train.parquet", **other, **{image: stored([10, 200])}, label=[0, 1])
    assert read_shades(data.read("auto", tmp_path / "d")) == [10, 200]


def test_names_of_images_beside_the_images_are_not_taken_for_them(tmp_path):
    parquet(tmp_path / "d/train.parquet", img=stored([10, 200]), image=["x.jpg", "y.jpg"], label=[0, 1])
    assert read_shades(data.read("auto", tmp_path / "d")) == [10, 200]


def test_bytes_as_polars_writes_them_are_images(tmp_path):
    pyarrow = pytest.importorskip("pyarrow", reason="needs pyarrow: pip install 'dspkd[parquet]'")
    parquet(tmp_path / "d/train.parquet", image=list(map(image_bytes, [10, 200])), label=["a", "b"],
            crops=[[b"\xff"], [b"\xfe"]],
            kinds={"image": pyarrow.large_binary(), "crops": pyarrow.large_list(pyarrow.binary())})  # fmt: skip
    table = data.read("auto", tmp_path / "d")
    assert (read_shades(table), table.classes, "crops" in table.attributes) == ([10, 200], ("a", "b"), False)


def test_several_columns_of_images_are_refused(tmp_path):
    parquet(tmp_path / "d/train.parquet", left=stored([1, 2]), right=stored([3, 4]), label=[0, 1])
    with pytest.raises(DataError, match=r"train\.parquet: .*left, right .*rename"):
        data.read("auto", tmp_path / "d")


@pytest.mark.parametrize("missing", [-1, None])
@pytest.mark.parametrize("names", [["nv", "mel"], []])
def test_images_without_label_are_left_out_and_said_to_be(missing, names, tmp_path):
    parquet(tmp_path / "d/test-0.parquet", names=names, image=stored([50, 60]), label=[missing, missing])
    parquet(tmp_path / "d/train-0.parquet", names=names, image=stored([10, 200]), label=[0, 1])
    table = data.read("auto", tmp_path / "d")
    assert [table.classes[k] for k in table.labels] == (names or ["0", "1"])
    assert read_shades(table) == [10, 200]
    notes = " ".join(table.origin.notes)
    assert "2 rows" in notes
    assert "without label" in notes
    assert "not used" not in notes


def test_a_label_beyond_the_names_is_one_line(tmp_path):
    parquet(tmp_path / "d/train.parquet", names=["nv", "mel"], image=stored([1, 2]), label=[0, 2])
    with pytest.raises(DataError, match=r"train\.parquet: column 'label' .*class number 2, .*nv, mel"):
        data.read("auto", tmp_path / "d")


def test_numbers_of_classes_are_in_their_order(tmp_path):
    parquet(tmp_path / "d/train.parquet", image=stored(range(12)), label=list(range(12)))
    assert data.read("auto", tmp_path / "d").classes == tuple(map(str, range(12)))


def test_a_second_process_waits_for_the_first_to_unpack(tmp_path):
    source = tmp_path / "a.npz"
    source.touch()
    started, go_on, writes, folders = threading.Event(), threading.Event(), [], []

    def write(folder):
        writes.append(folder)
        folder.mkdir()
        started.set()
        go_on.wait(30)

    threads = [threading.Thread(target=lambda: folders.append(_unpacked.unpacked([source], write))) for _ in range(2)]
    threads[0].start()
    assert started.wait(30)
    threads[1].start()
    threads[1].join(0.3)
    go_on.set()
    for thread in threads:
        thread.join(30)
    assert len(writes) == 1
    assert len(set(folders)) == len(folders) - 1 == 1


def test_a_damaged_file_is_one_line_for_everything_that_reads_parquet(tmp_path):
    """Damage of a page is found when it is read, long after the schema was."""
    from dspkd.deploy.batch.listing import ImageList

    path, found = tmp_path / "d" / "train.parquet", defaultdict(list)
    names = [f"{number}.png" for number in range(60)]
    parquet(path, image=stored([10, 200] * 30), label=[0, 1] * 30, id=names, logit_0=[0.5] * 60, logit_1=[0.25] * 60)
    whole = path.read_bytes()
    uses = {
        "images": lambda: data.read("auto", path.parent),
        "names": lambda: list(ImageList(path, "id").names()),
        "answers": lambda: answer_files.read(path, ("0", "1")),
    }
    for start in range(0, len(whole), len(whole) // 15):
        path.write_bytes(whole[:start] + bytes(255 - each for each in whole[start : start + 8]) + whole[start + 8 :])
        for name, use in uses.items():
            try:
                use()
            except DataError as error:
                found[name].append(str(error))
    assert found.keys() == uses.keys()
    for message in (each for messages in found.values() for each in messages):
        assert message.startswith(str(path.parent))
        assert "\n" not in message


@pytest.mark.parametrize("second", [["BCC", "MEL"], ["MEL", "BCC", "AK"]])
def test_numbers_of_classes_have_the_names_of_their_own_file(second, tmp_path):
    parquet(tmp_path / "d/train-0.parquet", image=stored(range(3)), label=[0, 1, 2], names=["AK", "BCC", "MEL"])
    parquet(tmp_path / "d/validation-0.parquet", image=stored(range(3)), label=[0, 1, -1], names=second)
    table = data.read("auto", tmp_path / "d")
    named = [table.classes[label] for label, part in zip(table.labels, table.parts, strict=True) if part == "val"]
    assert (table.classes, named) == (("AK", "BCC", "MEL"), second[:2])


def test_a_file_without_names_has_those_of_the_others_where_these_agree(tmp_path):
    parquet(tmp_path / "d/train-0.parquet", image=stored(range(2)), label=[0, 1], names=["AK", "BCC"])
    parquet(tmp_path / "d/train-1.parquet", image=stored(range(2)), label=[1, 1])
    assert data.read("auto", tmp_path / "d").labels.tolist() == [0, 1, 1, 1]
    parquet(tmp_path / "d/train-2.parquet", image=stored(range(2)), label=[0, 1], names=["BCC", "AK"])
    with pytest.raises(DataError, match=r"train-1\.parquet: lists no names .*train-0.* and train-2.*'label'"):
        data.read("auto", tmp_path / "d")


@pytest.mark.parametrize("above", ["", "default/"])
def test_files_in_folders_of_parts_are_read(above, tmp_path):
    for shade, part in enumerate(("train", "test")):
        (tmp_path / "d" / above / part).mkdir(parents=True)
        parquet(tmp_path / "d" / above / part / "0000.parquet", image=stored([shade, 9]), label=["a", "b"])
    table = data.read("auto", tmp_path / "d")
    assert (read_shades(table), table.parts) == ([1, 9, 0, 9], ("test",) * 2 + ("train",) * 2)
