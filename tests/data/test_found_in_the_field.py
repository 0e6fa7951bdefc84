"""Folders as people have them: from macOS, spreadsheets, shared disks and mirrors of public sets."""

import io
import json
import os
import pickle
import tarfile
import zipfile

import numpy as np
import pytest
from PIL import Image

from dspkd import data
from dspkd.data import copies, csv_rows, table_files
from dspkd.data.csv_rows import read_rows
from dspkd.data.table import Table
from dspkd.errors import DataError


def touch(root, *names):
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).touch()


HAM = "lesion_id{0}image_id{0}dx{0}dx_type{0}age{0}sex{0}localization\n"


def ham(root, name, mark=","):
    rows = (mark.join((f"HAM_{n // 2}", f"ISIC_{n}", "ab"[n % 2], "histo", "50", "male", "back")) for n in range(6))
    (root / name).write_text(HAM.format(mark) + "\n".join(rows) + "\n")
    touch(root, *(f"HAM10000_images_part_{1 + n // 3}/ISIC_{n}.jpg" for n in range(6)))


@pytest.mark.parametrize(
    ("name", "mark"), [("HAM10000_metadata.tab", "\t"), ("HAM10000_metadata", ","), ("HAM10000_metadata.csv", ";")]
)
def test_ham10000_as_dataverse_has_it(name, mark, tmp_path):
    ham(tmp_path, name, mark)
    test = "ISIC2018_Task3_Test_GroundTruth"
    (tmp_path / f"{test}.csv").write_text(HAM.format(",") + "HT_1,ISIC_90,a,histo,50,male,back\n")
    table = data.read("auto", tmp_path)
    assert (table.origin.layout, len(table), table.origin.group) == ("ham10000", 6, "lesion_id")
    assert len(set(table.groups)) == 3


def test_tables_of_pixels_beside_the_images_are_not_read(tmp_path, monkeypatch):
    ham(tmp_path, "HAM10000_metadata.csv")
    pixels = tmp_path / "hmnist_28_28_RGB.csv"
    pixels.write_text(",".join([*(f"pixel{n:04d}" for n in range(2352)), "label"]) + "\n" + "0," * 2352 + "1\n")
    whole = csv_rows.read_bytes

    def read_bytes(path):
        assert path != pixels, "a table of pixels was read"
        return whole(path)

    monkeypatch.setattr(csv_rows, "read_bytes", read_bytes)
    assert len(data.read("auto", tmp_path)) == 6
    assert len(table_files.header_of(pixels)) == 2353


@pytest.mark.parametrize(
    ("text", "note"),
    [
        ("\ufeffimage;lesion_id\n000.jpg;L0\n001.jpg;L0\n002.jpg;L1\n003.jpg;L1\n\n", "semicolons"),
        ("image\tlesion_id\n000\tL0\n001\tL0\n002\tL1\n003\tL1\n", "tabs"),
        ("image,lesion_id,\n000.jpg,L0,\n001.jpg,L0,\n002.jpg,L1,\n003.jpg,L1,\n,,\n,,\n", "2 empty rows"),
        ("image,lesion_id\n0,L0\n1,L0\n2,L1\n3,L1\n", "leading zeros"),
    ],
)
def test_a_table_that_a_spreadsheet_has_saved_is_read_and_said(text, note, tmp_path):
    touch(tmp_path, *(f"{'ab'[n % 2]}/{n:03d}.jpg" for n in range(4)))
    (tmp_path / "meta.csv").write_text(text, encoding="utf-8")
    table = data.read("auto", tmp_path)
    assert dict(zip(table.ids, table.groups, strict=True))["b/003.jpg"] == "L1"
    assert note in " ".join(table.origin.notes)


def test_u_2028_and_a_byte_order_mark_are_legal_in_json_lines(tmp_path):
    rows = [{"file_name": f"{n}.jpg", "label": "ab"[n % 2], "note": "one\u2028two"} for n in range(4)]
    touch(tmp_path, *(f"{n}.jpg" for n in range(4)))
    text = "\ufeff" + "\n".join(json.dumps(row, ensure_ascii=False) for row in rows)
    (tmp_path / "metadata.jsonl").write_text(text, encoding="utf-8")
    table = data.read("auto", tmp_path)
    assert (len(table), table.attributes["note"][0]) == (4, "one\u2028two")


def test_u_2028_does_not_end_a_row_of_a_csv(tmp_path):
    (tmp_path / "a.csv").write_text("id,note\n1,one\u2028two\n2,\x85three\n", encoding="utf-8")
    assert read_rows(tmp_path / "a.csv").column("note") == ("one\u2028two", "three")


@pytest.mark.parametrize("layout", ["folder", "parts", "table", "ham"])
def test_what_macos_and_windows_leave_is_passed_over_in_every_layout(layout, tmp_path):
    names = {"folder": ("a/0.jpg", "b/1.jpg"), "parts": ("train/a/0.jpg", "train/b/1.jpg", "test/a/2.jpg")}
    touch(tmp_path, *names.get(layout, ("images/0.jpg", "images/1.jpg")))
    if layout == "table":
        (tmp_path / "t.csv").write_text("image,label\n0.jpg,a\n1.jpg,b\n")
    if layout == "ham":
        ham(tmp_path, "HAM10000_metadata.csv")
    before = data.read("auto", tmp_path)
    folder = before.paths[0].parent.relative_to(tmp_path).as_posix()
    touch(tmp_path, f"{folder}/._0.jpg", "__MACOSX/a/._0.jpg", ".DS_Store", f"{folder}/.DS_Store", "._t.csv")
    touch(tmp_path, ".hidden/9.jpg", f"{folder}/Thumbs.db", "__MACOSX/._HAM10000_metadata.csv")
    assert data.read("auto", tmp_path).digest == before.digest


@pytest.mark.parametrize("layout", ["ham", "folder", "parts"])
def test_linked_folders_are_followed_in_every_layout_and_loops_are_not(layout, tmp_path):
    store, root = tmp_path / "store", tmp_path / "data"
    root.mkdir()
    touch(store, *(f"part_{1 + n // 3}/ISIC_{n}.jpg" for n in range(6)), "a/1.jpg", "b/2.jpg")
    links = {
        "ham": {"HAM10000_images_part_1": "part_1", "HAM10000_images_part_2": "part_2"},
        "folder": {"a": "a", "b": "b"},
        "parts": {"train/a": "a", "train/b": "b", "test/a": "a"},
    }[layout]
    if layout == "ham":
        rows = "".join(f"HAM_{n},ISIC_{n},{'ab'[n % 2]},h,1,m,x\n" for n in range(6))
        (root / "HAM10000_metadata.csv").write_text(HAM.format(",") + rows)
    for name, target in links.items():
        (root / name).parent.mkdir(exist_ok=True)
        (root / name).symlink_to(store / target)
    (store / "a/up").symlink_to(store)
    assert len(data.read("auto", root)) == {"ham": 6, "folder": 2, "parts": 3}[layout]


@pytest.mark.parametrize(
    ("folders", "parts"),
    [
        (("Train", "Test"), {"train", "test"}),
        (("training", "dev", "testing"), {"train", "val", "test"}),
        (("TRAIN", "valid", "Test"), {"train", "val", "test"}),
        (("Training", "Validation"), {"train", "val"}),
    ],
)
def test_folders_of_parts_are_official_in_any_spelling(folders, parts, tmp_path):
    touch(tmp_path, *(f"{folder}/{name}/{folder}{n}.jpg" for folder in folders for name in "ab" for n in range(3)))
    table = data.read("auto", tmp_path)
    assert (table.classes, set(table.parts)) == (("a", "b"), parts)


def test_a_table_with_columns_of_no_use_is_refused_where_it_names_no_image(tmp_path):
    touch(tmp_path, "images/0.jpg", "images/1.jpg")
    (tmp_path / "t.csv").write_text("number,label\n0,a\n1,b\n")
    with pytest.raises(DataError, match="'images', is no class"):
        data.read("auto", tmp_path)


def packed(kind):
    buffer = io.BytesIO()
    if kind == "zip":
        with zipfile.ZipFile(buffer, "w") as file:
            file.writestr("images/0.png", b"")
    elif kind == "npz":
        np.savez(buffer, x_train=np.zeros(3))
    elif kind == "tar.gz":
        with tarfile.open(fileobj=buffer, mode="w:gz") as file:
            file.addfile(tarfile.TarInfo("images/0.png"))
    elif kind == "png":
        Image.new("RGB", (4, 4)).save(buffer, "PNG")
    return buffer.getvalue()


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("d.zip", "zip", "a ZIP archive; unpack it and give the folder"),
        ("d.tar.gz", "tar.gz", "a tar archive; unpack it"),
        ("x.npz", "npz", "arrays of NumPy"),
        ("one.png", "png", "an image, not a data set; give the folder"),
        ("a.h5", b"\x89HDF\r\n\x1a\n", "an HDF5 file"),
        ("old.xls", b"\xd0\xcf\x11\xe0\xa1\xb1", r"save the sheet as \.xlsx or \.csv"),
        ("x.pkl", pickle.dumps([1]), "a pickle of Python, which is never opened"),
    ],
)
def test_a_file_that_is_no_table_is_named_with_what_would_do(name, content, message, tmp_path):
    (tmp_path / name).write_bytes(packed(content) if isinstance(content, str) else content)
    with pytest.raises(DataError, match=rf"{name}: .*{message}"):
        data.read("auto", tmp_path / name)


@pytest.mark.parametrize(
    ("file", "header"),
    [
        ("labels.csv", "file_name,label"),
        ("metadata.csv", "file_name,diagnosis"),
        ("train/metadata.csv", "file_name,diagnosis"),
    ],
)
@pytest.mark.parametrize("folder", ["", "images/"])
def test_tables_with_names_of_the_hugging_face_hub_are_read(file, header, folder, tmp_path):
    names = [f"{folder}{n}.jpg" for n in range(4)]
    for place in [file, file.replace("train", "test")] if "train" in file else [file]:
        touch(tmp_path, *(f"{place.rpartition('/')[0]}/{name}".lstrip("/") for name in names))
        (tmp_path / place).write_text(
            f"{header}\n" + "".join(f"{name},{'ab'[n % 2]}\n" for n, name in enumerate(names))
        )
    assert data.read("auto", tmp_path).classes == ("a", "b")


@pytest.mark.parametrize("place", [b"n\xe4vus/0.jpg", b"nv/\xe4.jpg"])
def test_file_names_that_are_not_utf_8_are_refused_in_one_line(tmp_path, place):
    touch(tmp_path, "mel/0.jpg", os.fsdecode(place))
    with pytest.raises(DataError, match=r"file names are not UTF-8: .*\\xe4.*; rename these files") as refused:
        data.read("auto", tmp_path)
    str(refused.value).encode()


def test_copies_are_searched_in_folders_of_any_name(tmp_path):
    root = tmp_path / os.fsdecode(b"\xe4")
    touch(root, "0.jpg")
    table = Table(("a",), ("0",), (root / "0.jpg",), np.zeros(1, dtype=np.int64), ("image:0",), {}, root)
    assert copies._key(table) == copies._key(table)
