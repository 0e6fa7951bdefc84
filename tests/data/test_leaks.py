from pathlib import Path

import numpy as np
import pytest

from dspkd.data.audit.leaks import Leak, leaks, rows_of
from dspkd.data.split import Split, split
from dspkd.data.table import Table
from dspkd.errors import DataError


@pytest.fixture
def table(tmp_path):
    """Six images; a and b are of one lesion, and c and f are equal files of two."""
    content = {"a": b"1", "b": b"22", "c": b"333", "d": b"444", "e": b"55", "f": b"333"}
    for name, data in content.items():
        (tmp_path / name).write_bytes(data)
    groups = ("L1", "L1", "L2", "L3", "L4", "L5")
    paths = tuple(tmp_path / name for name in content)
    return Table(("X",), tuple(content), paths, np.zeros(6, dtype=np.int64), groups, {}, tmp_path)


def parts(*names):
    return Split(np.array(names))


def test_a_lesion_and_a_file_in_two_parts_are_told(table):
    found = leaks(table, parts("test", "train", "val", "train", "train", "test"))
    assert found == (
        Leak("group", "L1", ("train", "test"), ("a", "b")),
        Leak("file", "c", ("val", "test"), ("c", "f")),
    )


def test_files_are_left_alone_where_not_asked_for(table):
    (table.root / "c").unlink()
    assert leaks(table, parts(*["train"] * 5, "test"), files=False) == ()


def test_a_split_that_leaks_nothing_leaks_nothing(table):
    assert leaks(table, parts("train", "train", "val", "test", "test", "val")) == ()


def test_files_of_one_size_alone_are_read(table, monkeypatch):
    read = []
    monkeypatch.setattr("dspkd.data.audit.leaks.digest_of", lambda path: read.append(path.name) or path.name)
    leaks(table, parts(*["train"] * 6))
    assert sorted(read) == ["b", "c", "d", "e", "f"]


def test_files_that_are_missing_are_told(table):
    for name in ("c", "f"):
        (table.root / name).unlink()
    with pytest.raises(DataError, match=r"c: cannot be read: No such file"):
        leaks(table, parts(*["train"] * 6))


def test_our_own_splits_by_group_leak_no_group():
    labels = np.arange(90) % 3
    groups = tuple(f"G{row // 2}" for row in range(90))
    ids = tuple(str(row) for row in range(90))
    table = Table(("a", "b", "c"), ids, tuple(map(Path, ids)), labels, groups, {}, Path())
    assert leaks(table, split(table), files=False) == ()
    assert leaks(table, split(table, by="image"), files=False) != ()


def test_rows_of_names_keep_their_order():
    assert rows_of("abca") == {"a": [0, 3], "b": [1], "c": [2]}
