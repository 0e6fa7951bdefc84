import numpy as np
import pytest

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
