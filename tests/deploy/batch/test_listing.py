import os
import tracemalloc
from contextlib import nullcontext
from types import SimpleNamespace

import numpy as np
import pytest

from dspkd.deploy.batch import engines, listing
from dspkd.deploy.batch.listing import ImageFiles, ImageList, find_images, left_out
from dspkd.errors import DataError


def test_a_folder_names_all_images_below_it_in_order(tmp_path):
    for name in ("b.jpg", "a/2.PNG", "a/1.jpeg", "c/d/e.dcm", "a/notes.txt", ".hidden/x.jpg", "a/.x.jpg"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    source = ImageList(tmp_path)
    assert list(source.names()) == ["a/1.jpeg", "a/2.PNG", "b.jpg", "c/d/e.dcm"]
    assert source.root == tmp_path


def test_files_and_folders_name_images(tmp_path):
    for name in ("b/2.JPG", "b/deep/1.png", "b/notes.txt", "a.jpg"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    paths = (tmp_path / "b", tmp_path / "a.jpg", tmp_path / "gone.jpg")
    found = [tmp_path / name for name in ("b/2.JPG", "b/deep/1.png", "a.jpg", "gone.jpg")]
    assert find_images(paths) == found
    source = ImageFiles(paths)
    assert [source.root / name for name in source.names()] == found
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match=r"empty: no image in it or below \(\.avif, \.bmp, "):
        list(ImageFiles((tmp_path / "empty",)).names())


def test_a_csv_names_images_in_a_column_relative_to_itself(tmp_path):
    (tmp_path / "t.csv").write_text('\ufeffid,path\n1, a.jpg \n\n2,"b, c.jpg"\n', encoding="utf-8")
    source = ImageList(tmp_path / "t.csv")
    assert list(source.names()) == ["a.jpg", "b, c.jpg"]
    assert list(ImageList(tmp_path / "t.csv", "id").names()) == ["1", "2"]
    assert source.root == tmp_path


def test_a_parquet_file_names_images_in_a_column(tmp_path, monkeypatch):
    pa = pytest.importorskip("pyarrow", reason="needs the extra [parquet]")
    import pyarrow.parquet as pq

    monkeypatch.setattr(listing, "_ROWS", 2)
    pq.write_table(pa.table({"file": ["a", "b", "c", "d", "e"], "n": [1, 2, 3, 4, None]}), tmp_path / "t.parquet")
    assert list(ImageList(tmp_path / "t.parquet", "file").names()) == list("abcde")
    with pytest.raises(DataError, match="no column 'path'"):
        list(ImageList(tmp_path / "t.parquet").names())
    with pytest.raises(DataError, match=r"t\.parquet, row 5: column 'n' is empty"):
        list(ImageList(tmp_path / "t.parquet", "n").names())
    (tmp_path / "bad.parquet").write_bytes(b"nothing of the kind")
    with pytest.raises(DataError, match=r"bad\.parquet: not a readable parquet file"):
        list(ImageList(tmp_path / "bad.parquet").names())


def test_without_pyarrow_the_error_names_the_extra(tmp_path, monkeypatch):
    import sys

    (tmp_path / "t.parquet").touch()
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    monkeypatch.setitem(sys.modules, "pyarrow.parquet", None)
    with pytest.raises(DataError, match=r"pip install 'dspkd\[parquet\]'"):
        list(ImageList(tmp_path / "t.parquet").names())


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("file\na.jpg\n", "no column 'path'; known: file"),
        ("path,x\na.jpg,1\nb.jpg\n", "line 3: 1 cells, but the header has 2"),
        ("path,x\na.jpg,1\n ,2\n", "line 3: column 'path' is empty"),
        ('path\n"a.jpg\n', "not a row of a CSV file"),
        ("", "no column 'path'"),
    ],
)
def test_a_broken_csv_is_refused_at_its_line(tmp_path, content, message):
    (tmp_path / "t.csv").write_text(content)
    with pytest.raises(DataError, match=message):
        list(ImageList(tmp_path / "t.csv").names())


def test_a_csv_that_is_not_text_is_refused(tmp_path):
    (tmp_path / "t.csv").write_bytes(b"path\n\xff\xfe.jpg\n")
    with pytest.raises(DataError, match="not UTF-8 text"):
        list(ImageList(tmp_path / "t.csv").names())


def test_a_source_that_names_no_images_is_refused(tmp_path):
    (tmp_path / "t.txt").touch()
    for path, column, message in (
        (tmp_path / "gone", None, "no such file or folder"),
        (tmp_path / "t.txt", None, r"t\.txt: want a folder, a \.csv or a \.parquet"),
        (tmp_path, "path", "is a folder.*'path'"),
    ):
        with pytest.raises(DataError, match=message):
            ImageList(path, column)


@pytest.fixture
def unlistable(monkeypatch):
    """Make folders called ``lost+found`` unlistable, also for root."""
    scandir = os.scandir

    def refuse(path):
        if os.fspath(path).rstrip("/").endswith("lost+found"):
            raise PermissionError(13, "Permission denied", os.fspath(path))
        return scandir(path)

    monkeypatch.setattr(os, "scandir", refuse)


def tree(folder):
    for name in ("b/1.jpg", "lost+found/x.jpg", "z.png"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).touch()


def test_files_of_other_kinds_are_left_out_and_known_also_beside_a_folder_that_cannot_be_listed(tmp_path, unlistable):
    tree(tmp_path)
    for name in ("b/2.jp2", "b/moving.gif", "lost+found/x.jp2", "y.cr2", "z.txt", ".z.cr2", "README"):
        (tmp_path / name).touch()
    (tmp_path / "b/up").symlink_to(tmp_path)
    assert left_out(tmp_path) == [tmp_path / "y.cr2", tmp_path / "b/2.jp2"]
    assert left_out(tmp_path / "lost+found/..") == [tmp_path / "lost+found/.." / name for name in ("y.cr2", "b/2.jp2")]


@pytest.mark.parametrize("names", [lambda path: ImageList(path).names(), lambda path: ImageFiles((path,)).names()])
def test_a_folder_that_cannot_be_listed_costs_its_own_row(tmp_path, unlistable, names):
    tree(tmp_path)
    assert [name.removeprefix(f"{tmp_path}/") for name in names(tmp_path)] == ["b/1.jpg", "lost+found", "z.png"]


def test_the_row_of_such_a_folder_says_why(tmp_path):
    from dspkd.deploy.batch.bundle_model import _pixels
    from dspkd.deploy.bundle.spec import Preprocessing

    (tmp_path / "lost+found").mkdir()
    decoded = engines._decode(lambda path: _pixels(path, steps=Preprocessing(8, 8, ())), tmp_path, ["lost+found"])
    assert "lost+found" in decoded[0]
    assert "cannot be listed" in decoded[0]


def test_the_folder_itself_must_be_listable(tmp_path, unlistable):
    (tmp_path / "lost+found").mkdir()
    with pytest.raises(DataError, match=r"lost\+found: cannot be listed: Permission denied"):
        list(ImageList(tmp_path / "lost+found").names())


def test_links_are_followed_but_not_in_circles(tmp_path):
    tree(tmp_path)
    (tmp_path / "b/up").symlink_to(tmp_path)
    (tmp_path / "b/self").symlink_to(".")
    (tmp_path / "loop").symlink_to("loop")
    (tmp_path / "loop.jpg").symlink_to("loop.jpg")
    (tmp_path / "twin").symlink_to("b")
    names = ["b/1.jpg", "loop.jpg", "lost+found/x.jpg", "twin/1.jpg", "z.png"]
    assert list(ImageList(tmp_path).names()) == names
    assert find_images([tmp_path]) == [tmp_path / name for name in names]


def test_memory_that_does_not_suffice_is_the_error_of_its_image(tmp_path):
    def preprocess(path):
        if path.name == "b.jpg":
            raise MemoryError
        return np.zeros(3)

    decoded = engines._decode(preprocess, tmp_path, ["a.jpg", "b.jpg", "c.jpg"])
    assert [isinstance(each, str) for each in decoded] == [False, True, False]
    assert "b.jpg" in decoded[1]


def test_a_column_that_holds_the_images_themselves_is_refused(tmp_path):
    pa = pytest.importorskip("pyarrow", reason="needs the extra [parquet]")
    import pyarrow.parquet as pq

    cells = [{"bytes": None, "path": "a.jpg"}, {"bytes": b"\x89PNG", "path": "b.jpg"}]
    pq.write_table(pa.table({"path": cells, "raw": [b"1", b"2"], "list": [[1], [2]]}), tmp_path / "t.parquet")
    names = ImageList(tmp_path / "t.parquet").names()
    assert next(names) == "a.jpg"
    with pytest.raises(DataError, match=r"row 2: column 'path' holds the image itself.* --column") as caught:
        next(names)
    assert "PNG" not in str(caught.value)
    for column in ("raw", "list"):
        with pytest.raises(DataError, match=rf"row 1: column '{column}' holds"):
            next(ImageList(tmp_path / "t.parquet", column).names())


def test_a_name_in_a_folder_takes_little_more_memory_than_its_text(tmp_path, monkeypatch):
    entries = [SimpleNamespace(name=f"{n:08}.jpg", is_dir=lambda: False) for n in range(5000)]
    monkeypatch.setattr(os, "scandir", lambda _: nullcontext(iter(entries)))
    tracemalloc.start()
    try:
        assert sum(1 for _ in ImageList(tmp_path).names()) == 5000
        assert tracemalloc.get_traced_memory()[1] < 200 * 5000
    finally:
        tracemalloc.stop()
