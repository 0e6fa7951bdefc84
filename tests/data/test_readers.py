"""What every reader offers; a module enters by lying in `dspkd/data/readers`."""

import pkgutil
from collections import Counter
from pathlib import Path

import pytest

from dspkd import data
from dspkd.data import csv_rows, readers
from dspkd.errors import DataError

FILES = {name for _, name, _ in pkgutil.iter_modules(readers.__path__) if not name.startswith("_")}
NAME = {reader: reader.__name__.rpartition(".")[2] for reader in readers.readers()}
every_reader = pytest.mark.parametrize("reader", NAME, ids=NAME.values())


def test_every_file_is_a_reader():
    assert set(NAME.values()) == FILES


def test_layout_names_and_priorities_are_unique():
    layouts = Counter(layout for reader in NAME for layout in reader.LAYOUTS)
    assert max(layouts.values()) == 1
    assert set(layouts) == set(data.LAYOUTS)
    assert len({reader.PRIORITY for reader in NAME}) == len(NAME)


def test_readers_are_tried_in_order_of_priority():
    assert [reader.PRIORITY for reader in readers.readers()] == sorted(reader.PRIORITY for reader in NAME)


@every_reader
def test_a_missing_or_empty_folder_fits_nothing(reader, tmp_path):
    assert reader.fits(tmp_path / "missing", label="label") is None
    assert reader.fits(tmp_path, label="label") is None


@every_reader
def test_an_unknown_folder_is_refused(reader, tmp_path):
    (tmp_path / "notes").mkdir()
    (tmp_path / "notes/a.txt").touch()
    assert reader.fits(tmp_path, label="label") is None
    for layout in reader.LAYOUTS:
        with pytest.raises(DataError, match=str(tmp_path)):
            reader.read(tmp_path, layout=layout, group=None, label=None)


@every_reader
def test_recognition_reads_headers_only(reader, monkeypatch, shared):
    def refuse(*_, **__):
        raise AssertionError("a whole table was read")

    monkeypatch.setattr(csv_rows, "_content", refuse)
    monkeypatch.setattr(Path, "read_text", refuse)
    for name in ("dermoscopy-150", "clinical-mini"):
        reader.fits(shared / "data" / name, label="label")


def test_a_new_file_is_found(tmp_path, monkeypatch):
    (tmp_path / "theirs.py").write_text(
        "import numpy as np\nfrom dspkd.data.table import Table\n"
        "LAYOUTS, PRIORITY, EXPECTED = ('theirs',), 5, 'theirs.txt'\n"
        "def fits(path, *, label):\n    return 'theirs' if (path / 'theirs.txt').exists() else None\n"
        "def read(path, *, layout, group, label):\n"
        "    return Table((label,), (layout,), (path,), np.zeros(1, dtype=np.int64), (group,), {}, path)\n"
    )
    monkeypatch.setattr(readers, "__path__", [*readers.__path__, str(tmp_path)])
    readers.readers.cache_clear()
    try:
        (tmp_path / "theirs.txt").touch()
        table = data.read("auto", tmp_path, group="g", label="dx")
        assert (table.classes, table.ids, table.paths, table.groups) == (("dx",), ("theirs",), (tmp_path,), ("g",))
    finally:
        readers.readers.cache_clear()
