import numpy as np
import pytest

from dspkd import data
from dspkd.data.readers import csv_file
from dspkd.errors import DataError

GOOD = "path,label,group,sex\nb.jpg,NV,L1,f\na.jpg,MEL,L1,\nc.jpg,NV,,m\n"


@pytest.fixture
def folder(tmp_path):
    for name in "abc":
        (tmp_path / f"{name}.jpg").touch()
    (tmp_path / "labels.csv").write_text(GOOD)
    return tmp_path


@pytest.mark.parametrize("name", ["labels.csv", ""], ids=["file", "folder"])
def test_a_plain_table_is_read(folder, name):
    table = csv_file.read(folder / name)
    assert table.classes == ("MEL", "NV")
    assert table.ids == ("b.jpg", "a.jpg", "c.jpg")
    assert table.paths[0] == folder / "b.jpg"
    assert table.labels.dtype == np.int64
    assert table.labels.tolist() == [1, 0, 1]
    assert table.groups == ("L1", "L1", "image:c.jpg")
    assert table.attributes == {"sex": ("f", "", "m")}
    assert table.root == folder


def test_label_and_group_columns_may_have_other_names(folder):
    (folder / "labels.csv").write_text("path,dx,patient\na.jpg,NV,P1\nb.jpg,NV,P1\n")
    table = csv_file.read(folder, label="dx", group="patient")
    assert (table.classes, table.groups, table.attributes) == (("NV",), ("P1", "P1"), {})


def test_without_a_group_column_every_image_is_its_own_group(folder):
    (folder / "labels.csv").write_text("path,label\na.jpg,NV\nb.jpg,MEL\n")
    assert csv_file.read(folder).groups == ("image:a.jpg", "image:b.jpg")


def test_byte_order_mark_crlf_quotes_and_spaces_are_accepted(folder):
    plain = csv_file.read(folder)
    odd = GOOD.replace(",", " , ").replace("NV", '"NV"').replace(' "NV" ', '"NV"').replace("\n", "\r\n")
    (folder / "labels.csv").write_bytes(b"\xef\xbb\xbf" + odd.encode())
    assert csv_file.read(folder).digest == plain.digest


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", r"labels\.csv: .* empty"),
        ("path,label\n", r"labels\.csv: .* empty"),
        ("path,label\na.jpg,NV\nb.jpg\n", r"labels\.csv, line 3: 1 cells, .* 2"),
        ("path,label\na.jpg,NV\na.jpg,MEL\n", r"line 3: path 'a\.jpg' .*line 2"),
        ("path,label\na.jpg,NV\nb.jpg, \n", r"line 3: column 'label' is empty"),
        ("path,label\n,NV\n", r"line 2: column 'path' is empty"),
        ("path,lable\na.jpg,NV\n", r"'label'; did you mean 'lable'"),
        ("path,path\na.jpg,NV\n", r"labels\.csv: .*path, path"),
        ('path,label\na.jpg,"NV\n', r"line 2: not a row of a CSV file"),
        (
            "path,label\na.jpg,NV\nx.jpg,NV\ny.jpg,NV\n",
            r"labels\.csv: 2 of 3 .*x\.jpg, .*y\.jpg",
        ),
    ],
)
def test_an_invalid_table_is_refused_with_the_line(folder, content, message):
    (folder / "labels.csv").write_text(content)
    with pytest.raises(DataError, match=message):
        csv_file.read(folder)


def test_text_that_is_in_no_encoding_is_refused_with_the_line(folder):
    (folder / "labels.csv").write_bytes(b"path,label\na.jpg,NV\nb.jpg,N\x81vus\n")
    with pytest.raises(DataError, match=r"labels\.csv, line 3: not UTF-8"):
        csv_file.read(folder)


def test_a_missing_group_column_is_refused(folder):
    with pytest.raises(DataError, match=r"'groups'; did you mean 'group'"):
        csv_file.read(folder, group="groups")


def test_two_csv_files_in_a_folder_are_refused(folder):
    (folder / "other.csv").write_text(GOOD)
    with pytest.raises(DataError, match=r"exactly one \*\.csv .*labels\.csv, other\.csv"):
        csv_file.read(folder)


@pytest.mark.parametrize(("folders", "images"), [(("train", "test"), "."), (("Training_Data", "test"), "images")])
def test_names_that_begin_anew_in_the_table_of_each_part_are_those_of_its_folder(folders, images, tmp_path):
    for part, folder in zip(("train", "test"), folders, strict=True):
        (tmp_path / images / folder).mkdir(parents=True)
        for n in range(2):
            (tmp_path / images / folder / f"{n}.jpg").touch()
        (tmp_path / f"{part}.csv").write_text("image,label\n0.jpg,a\n1.jpg,b\n")
    table = data.read("auto", tmp_path)
    assert [(path.parent.name, path.name) for path in table.paths] == [
        (folder, f"{n}.jpg") for folder in reversed(folders) for n in range(2)
    ]
    assert table.parts == ("test", "test", "train", "train")


def test_names_that_begin_anew_without_a_folder_for_each_part_are_refused(tmp_path):
    for part in ("train", "test"):
        (tmp_path / "0.jpg").touch()
        (tmp_path / f"{part}.csv").write_text("image,label\n0.jpg,a\n")
    with pytest.raises(DataError, match="there a second time"):
        data.read("auto", tmp_path)


def labelled(root, header, *cells):
    for n in range(len(cells)):
        (root / f"{n}.jpg").touch()
    (root / "t.csv").write_text(
        "\n".join([f"image,{header}", *(f"{n}.jpg,{cell}" for n, cell in enumerate(cells))]) + "\n"
    )
    return data.read("auto", root)


@pytest.mark.parametrize("name", ["Diagnose", "Befund", "Klasse", "diagnosis_name", "Etiqueta"])
@pytest.mark.parametrize("flags", ["is_train,is_test", "weiblich,männlich", "dermoscopic,clinical"])
def test_flags_are_no_classes(name, flags, tmp_path):
    table = labelled(tmp_path, f"{name},{flags}", *(["mel,1,0", "nv,0,1", "mel,0,1", "nv,1,0"] * 2))
    assert table.classes == ("mel", "nv")
    with pytest.raises(DataError, match=r"no column 'label'.*data\.columns\.label"):
        labelled(tmp_path, f"Auge,{flags}", *(["mel,1,0", "nv,0,1"] * 4))


def test_classes_from_columns_beside_a_text_that_may_name_them_are_doubted(tmp_path):
    rows = ["mel,1,0", "nv,0,1", "mel,0,1", "nv,1,0"] * 2
    (doubt,) = (each for each in labelled(tmp_path, "Typ,kopf,rumpf", *rows).origin.doubts if "classes" in each)
    assert "data.columns.label = 'Typ'" in doubt
    finer = ["face,1,0", "scalp,1,0", "back,0,1", "chest,0,1"] * 2
    assert not any("classes" in each for each in labelled(tmp_path, "Typ,mel,nv", *finer).origin.doubts)


@pytest.mark.parametrize("mark", [":", " - ", " or ", " vs. ", " und ", " y ", "\\", " > "])
def test_two_labels_in_a_cell_are_refused_whatever_is_between_them(mark, tmp_path):
    with pytest.raises(DataError, match="has 2 labels"):
        labelled(tmp_path, "label", "mel", "nv", f"mel{mark}nv")


@pytest.mark.parametrize(("cells", "classes"), [(('"[""a""]"', "['b']"), ("a", "b")), (("[1]", "[0]"), ("0", "1"))])
def test_a_list_of_one_label_is_this_label(cells, classes, tmp_path):
    assert labelled(tmp_path, "label", *cells).classes == classes


@pytest.mark.parametrize(
    ("encoding", "mel", "nv"),
    [
        ("cp1251", "меланома", "невус"),
        ("koi8-r", "меланома", "невус"),
        ("gbk", "黑色素瘤", "痣"),
        ("cp1253", "μελάνωμα", "σπίλος"),
    ],
)
def test_an_encoding_of_another_script_is_refused_and_not_taken_for_accents(encoding, mel, nv, tmp_path):
    rows = f"image,label\na.jpg,{mel}\nb.jpg,{nv}\n"
    (tmp_path / "labels.csv").write_bytes(rows.encode(encoding))
    with pytest.raises(DataError, match=r"labels\.csv, line \d: not UTF-8 text; save the table as CSV in UTF-8"):
        data.read("csv", tmp_path)
