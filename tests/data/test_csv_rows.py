import pytest

from dspkd.data.csv_rows import read_header, read_rows
from dspkd.errors import DataError


def test_a_missing_file_is_refused(tmp_path):
    with pytest.raises(DataError, match=r"no_such\.csv: cannot be read"):
        read_rows(tmp_path / "no_such.csv")


@pytest.mark.parametrize(
    ("content", "header"),
    [
        (b"\xef\xbb\xbfa , b\n1,2\n", ("a", "b")),
        (b"\n\na,b\n", ("a", "b")),
        (b'a,b\n"broken', ("a", "b")),  # read no further than the header
        (b"a,b\nN\xe6vus,2\n", ("a", "b")),  # read_rows then names the line that is not UTF-8
        (b'"a,b\n', ()),
        (b"", ()),
    ],
)
def test_the_header_alone_is_read(tmp_path, content, header):
    (tmp_path / "a.csv").write_bytes(content)
    assert read_header(tmp_path / "a.csv") == header


def test_a_missing_file_has_no_header(tmp_path):
    assert read_header(tmp_path / "no_such.csv") == ()


@pytest.mark.parametrize("mark", [",", ";", "\t"])
@pytest.mark.parametrize(
    "title", ["Skin study 2023\n", "Skin study{0}{0}\n\n2023{0}{0}\n# a comment\n", "\n sep={0}\nStudy\r"]
)
def test_a_title_above_the_header_is_left_out_and_said(tmp_path, title, mark):
    path = tmp_path / "a.csv"
    path.write_bytes((title.format(mark) + "image,label,age\nx0.png,nv,40\nx1.png,mel,\n".replace(",", mark)).encode())
    rows = read_rows(path)
    assert tuple(rows.columns) == read_header(path) == ("image", "label", "age")
    assert rows.columns["label"] == ("nv", "mel")
    assert rows.at(1).endswith(f"line {len(path.read_text().splitlines())}")
    assert "a title above the header left out" in rows.notes[0]


def test_a_table_of_one_column_has_no_title(tmp_path):
    (tmp_path / "a.csv").write_text("image\nx0.png\nx1.png\n")
    assert read_rows(tmp_path / "a.csv").columns == {"image": ("x0.png", "x1.png")}
    assert read_header(tmp_path / "a.csv") == ("image",)


@pytest.mark.parametrize("header", ["image,,label,,age", ",image,label,,age", "image,label,,,age,"])
def test_columns_without_a_name_are_left_out_where_they_are_empty(tmp_path, header):
    cells = [name and f"{name}0" for name in header.split(",")]
    (tmp_path / "a.csv").write_text(f"{header}\n{','.join(cells)}\n")
    assert tuple(read_rows(tmp_path / "a.csv").columns) == ("image", "label", "age")
    (tmp_path / "a.csv").write_text(f"{header.replace('age', '')},age\n{','.join('x' * (len(cells) + 1))}\n")
    with pytest.raises(DataError, match=r"columns must have different names, got .*\(no name\)"):
        read_rows(tmp_path / "a.csv")


def test_a_single_column_without_a_name_that_is_filled_stays(tmp_path):
    (tmp_path / "a.csv").write_text(",image,label\n0,x0.png,a\n1,x1.png,b\n")
    assert read_rows(tmp_path / "a.csv").columns[""] == ("0", "1")
