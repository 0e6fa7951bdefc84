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
