"""Columns of a table by name: image, label, group, part and attributes, in any format."""

import importlib
import json

import pytest

from dspkd import data
from dspkd.data import Columns
from dspkd.data.metadata import attributes_of
from dspkd.data.readers import csv_file
from dspkd.errors import DataError

ROWS = [
    {"Bild": "001", "Befund": "MEL", "Kunde": "K1", "Satz": "Train", "Geschlecht": "M", "Alter": "41", "Typ": "-1"},
    {"Bild": "002", "Befund": "NV", "Kunde": "K1", "Satz": "Train", "Geschlecht": "male", "Alter": "", "Typ": "3"},
    {"Bild": "003", "Befund": "NV", "Kunde": "K2", "Satz": "valid", "Geschlecht": "Female", "Alter": "7", "Typ": "IV"},
    {"Bild": "004", "Befund": "MEL", "Kunde": "", "Satz": "TEST", "Geschlecht": "", "Alter": "90", "Typ": ""},
]
NAMED = Columns(
    image="bild", label="Befund", group="kunde", part="SATZ", sex="Geschlecht", age="Alter", skin_type="Typ"
)


def delimited(mark):
    def write(path):
        lines = [mark.join(ROWS[0]), *(mark.join(row.values()) for row in ROWS)]
        path.write_text("\ufeff" + "\r\n".join(lines) + "\r\n", encoding="utf-8")

    return write


def json_lines(path):
    path.write_text("\n".join(json.dumps(row | {"note": "a\u2028b"}, ensure_ascii=False) for row in ROWS))


def parquet(path):
    pyarrow = pytest.importorskip("pyarrow", reason="needs pyarrow: pip install 'dspkd[parquet]'")
    pq = importlib.import_module("pyarrow.parquet")
    pq.write_table(pyarrow.Table.from_pylist(ROWS), path)


def spreadsheet(path):
    openpyxl = pytest.importorskip("openpyxl", reason="needs openpyxl: pip install 'dspkd[xlsx]'")
    book = openpyxl.Workbook()
    for row in (list(ROWS[0]), *(list(row.values()) for row in ROWS), [None] * 7):
        book.active.append(row)
    book.save(path)


FORMATS = {
    "a.csv": delimited(","),
    "a.CSV": delimited(";"),
    "a.tsv": delimited("\t"),
    "a.tab": delimited("\t"),
    "a.jsonl": json_lines,
    "a.parquet": parquet,
    "a.xlsx": spreadsheet,
}


@pytest.mark.parametrize("name", FORMATS)
@pytest.mark.parametrize("whole", [True, False], ids=["file", "folder"])
def test_a_table_of_any_format_is_read_by_its_columns(name, whole, tmp_path):
    (tmp_path / "photos").mkdir()
    for row in ROWS:
        (tmp_path / f"photos/{row['Bild']}.JPG").touch()
    FORMATS[name](tmp_path / name)
    table = data.read("auto", tmp_path / name if whole else tmp_path, columns=NAMED)
    assert table.classes == ("MEL", "NV")
    assert table.ids == ("001", "002", "003", "004")
    assert table.labels.tolist() == [0, 1, 1, 0]
    assert table.groups == ("K1", "K1", "K2", "image:004")
    assert table.parts == ("train", "train", "val", "test")
    attributes = attributes_of(table)
    assert attributes["sex"].values == ("male", "male", "female", "")
    assert attributes["age"].values == ("40 to 59", "", "0 to 19", "80 and over")
    assert attributes["skin type"].values == ("", "3", "4", "")
    assert attributes["skin type"].column == "Typ"


def test_a_spreadsheet_without_its_reader_is_refused_with_the_remedy(tmp_path, monkeypatch):
    monkeypatch.setitem(importlib.import_module("sys").modules, "openpyxl", None)
    (tmp_path / "a.xlsx").write_bytes(b"PK")
    with pytest.raises(DataError, match=r"pip install 'dspkd\[xlsx\]'"):
        data.read("auto", tmp_path / "a.xlsx")


def lay(root, text, images=4):
    for n in range(images):
        (root / f"{n}.jpg").touch()
    (root / "a.csv").write_text(text)
    return root


def test_a_column_for_each_class_is_read_where_named_and_where_recognised(tmp_path):
    lay(tmp_path, "image,MEL,NV,sex\n0,1,0,1\n1,0.0,1.0,0\n2,0,1,1\n3,1,0,1\n")
    recognised = data.read("auto", tmp_path)
    named = data.read("auto", tmp_path, columns=Columns(label=("NV", "mel")))
    assert [recognised.classes[label] for label in recognised.labels] == ["MEL", "NV", "NV", "MEL"]
    assert [named.classes[label] for label in named.labels] == ["MEL", "NV", "NV", "MEL"]
    assert named.classes == ("NV", "MEL")
    assert "classes from the columns 'MEL', 'NV'" in " ".join(recognised.origin.notes)
    assert tuple(recognised.attributes) == ("sex",)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("image,MEL,NV\n0,1,0\n1,1,1\n2,0,1\n3,0,1\n", r"line 3: 2 labels \(MEL, NV\); .*one class"),
        ("image,MEL,NV\n0,1,0\n1,0,0\n2,0,1\n3,0,1\n", r"line 3: no label"),
        ("image,label\n0,MEL\n1,MEL|NV\n2,NV\n3,NV\n", r"line 3: column 'label' has 2 labels"),
        ("image,label\n0,\"['MEL', 'NV']\"\n1,\"['NV']\"\n2,\"['NV']\"\n3,\"['NV']\"\n", r"line 2: .*2 labels"),
        ("image,label\n0,1\n1,nan\n2,1.0\n3,2\n", r"line 3: column 'label' is 'nan'"),
        ("image,dx,target\n0,a,1\n1,a,0\n2,b,1\n3,b,0\n", r"'dx', 'target' .*\[data\.columns\] label"),
        ("image,malignant\n0,1\n1,0\n2,1\n3,0\n", r"no column 'label'; .*'malignant'"),
        ("picture_no,label\n0,a\n1,b\n2,a\n3,b\n", r"\[data\.columns\] image"),
    ],
)
def test_labels_that_are_not_one_class_for_each_image_are_refused(text, message, tmp_path):
    with pytest.raises(DataError, match=message):
        csv_file.read(lay(tmp_path, text))


def test_numbers_are_classes_in_their_order_and_may_be_given_names(tmp_path):
    lay(tmp_path, "image,label\n0,10\n1,2.0\n2,2\n3,10.0\n")
    assert data.read("auto", tmp_path).classes == ("2", "10")
    named = data.read("auto", tmp_path, columns=Columns(names={"2": "naevus", "10": "melanoma"}))
    assert [named.classes[label] for label in named.labels] == ["melanoma", "naevus", "naevus", "melanoma"]
    with pytest.raises(DataError, match=r"data\.columns\.names has no name for '10'"):
        data.read("auto", tmp_path, columns=Columns(names={"2": "naevus"}))


def test_two_columns_that_divide_the_images_alike_need_no_choice(tmp_path):
    lay(tmp_path, "image,dx,target\n0,mel,1\n1,nv,0\n2,nv,0\n3,mel,1\n")
    assert data.read("auto", tmp_path).classes == ("mel", "nv")


def test_of_two_columns_of_images_the_one_with_files_is_used(tmp_path):
    lay(tmp_path, "file,image_id,label\ngone/a,0,a\ngone/b,1,b\ngone/c,2,a\ngone/d,3,b\n")
    assert data.read("auto", tmp_path).ids == ("0", "1", "2", "3")
    lay(tmp_path, "file,image_id,label\n0,3,a\n1,2,b\n2,1,a\n3,0,b\n")
    with pytest.raises(DataError, match=r"'file' and 'image_id' .*\[data\.columns\] image"):
        data.read("auto", tmp_path)


@pytest.mark.parametrize("start", ["C:\\data\\", "/no/such/disk/", "..\\old\\"])
def test_paths_of_another_machine_are_found_below_the_table(start, tmp_path):
    mark = "\\" if "\\" in start else "/"
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "1.jpg").write_text(name)
    (tmp_path / "t.csv").write_text(f"image,label\n{start}a{mark}1.jpg,x\n{start}b{mark}1.jpg,y\n")
    table = data.read("auto", tmp_path / "t.csv")
    assert [path.parent.name for path in table.paths] == ["a", "b"]


def test_columns_of_a_fixed_layout_are_refused_and_a_group_named_twice_is(tmp_path):
    for name in "ab":
        (tmp_path / name).mkdir()
        (tmp_path / f"{name}/1.jpg").touch()
    with pytest.raises(DataError, match=r"layout 'folder' .*data\.columns"):
        data.read("folder", tmp_path, columns=Columns(image="x"))
    with pytest.raises(DataError, match=r"data\.columns\.group = 'b'"):
        data.read("auto", tmp_path, group="a", columns=Columns(group="b"))


@pytest.mark.parametrize("key", ["part", "sex"])
def test_a_named_column_that_is_not_there_is_refused(key, tmp_path):
    lay(tmp_path, "image,label,gender\n0,a,m\n1,b,f\n2,a,m\n3,b,f\n")
    with pytest.raises(DataError, match=r"no column 'gendr'.* did you mean 'gender'"):
        data.read("auto", tmp_path, columns=Columns(**{key: "gendr"}))
