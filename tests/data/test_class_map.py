from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from dspkd.data import class_map
from dspkd.data.class_map import ClassMap
from dspkd.data.table import Table
from dspkd.errors import DataError

NAMES = ("MEL", "NV", "BCC", "SCC", "UNK")


@pytest.fixture
def table():
    labels = np.array([4, 0, 1, 2, 3, 1, 0, 4])
    ids = tuple("abcdefgh")
    return Table(
        classes=NAMES,
        ids=ids,
        paths=tuple(Path(name) for name in ids),
        labels=labels,
        groups=tuple(f"L{name}" for name in ids),
        attributes={"was": tuple(NAMES[label] for label in labels)},
        root=Path("data"),
    )


@pytest.fixture
def load(tmp_path):
    def load(text):
        (tmp_path / "map.toml").write_text(text)
        return class_map.load(tmp_path / "map.toml")

    return load


GOOD = 'drop = ["UNK"]\n[classes]\nnaevus = ["NV"]\ncarcinoma = ["SCC", "BCC"]\nmelanoma = ["MEL"]\n'


def test_classes_are_renamed_merged_dropped_and_ordered(table, load):
    mapped = load(GOOD).apply(table)
    assert mapped.classes == ("naevus", "carcinoma", "melanoma")
    became = dict(zip(mapped.attributes["was"], (mapped.classes[label] for label in mapped.labels), strict=True))
    assert became == {"MEL": "melanoma", "NV": "naevus", "BCC": "carcinoma", "SCC": "carcinoma"}
    assert mapped.ids == ("b", "c", "d", "e", "f", "g")
    assert mapped.groups == ("Lb", "Lc", "Ld", "Le", "Lf", "Lg")
    assert [path.name for path in mapped.paths] == list(mapped.ids)
    assert mapped.labels.dtype == np.int64


def test_the_identity_map_changes_nothing(table):
    same = ClassMap(Path("m"), {name: (name,) for name in NAMES}).apply(table)
    assert same.digest == table.digest
    assert same.attributes == table.attributes


def test_a_merged_class_has_the_images_of_its_old_classes(table, load):
    old, new = table.counts(), load(GOOD).apply(table).counts()
    assert new["carcinoma"] == tuple(np.add(old["BCC"], old["SCC"]))
    assert sum(images for images, _ in new.values()) == len(table) - old["UNK"][0]


def test_a_dropped_class_need_not_exist(table, load):
    reduced = table.take([1, 2, 3, 4])
    reduced = replace(reduced, classes=("MEL", "NV", "BCC", "SCC"))
    assert len(load(GOOD).apply(reduced)) == 4


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('drop = ["UNK"]\n[classes]\nm = ["MEL"]\nn = ["NV"]', r"map\.toml: .*BCC, SCC .*drop"),
        ('[classes]\nm = ["MELL"]\nn = ["NV", "BCC", "SCC", "UNK", "MEL"]', "'MELL'; did you mean 'MEL'"),
    ],
)
def test_a_map_that_does_not_fit_the_classes_is_refused(table, load, text, message):
    with pytest.raises(DataError, match=message):
        load(text).apply(table)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", r"map\.toml: names no class; .*\[classes\]"),
        ("classes = 3", "names no class"),
        ("[clases]", "'clases'; did you mean 'classes'"),
        ('[classes]\na = "MEL"', r"classes\.a: .*got 'MEL'"),
        ("[classes]\na = []", r"classes\.a: "),
        ("[classes]\na = [1]", r"classes\.a: "),
        ('drop = "UNK"\n[classes]\na = ["MEL"]', "drop: .*got 'UNK'"),
        ('[classes]\na = ["MEL"]\nb = ["NV", "MEL"]', r"map\.toml: MEL: "),
        ('drop = ["MEL"]\n[classes]\na = ["MEL"]', r"map\.toml: MEL: "),
        ('[classes]\na = ["MEL"]\ndrop = ["UNK"]', r"drop is below \[classes\]; write it above"),
        ("[classes", "not TOML"),
    ],
)
def test_an_invalid_class_map_is_refused(load, text, message):
    with pytest.raises(DataError, match=message):
        load(text)


def test_a_missing_file_is_refused(tmp_path):
    with pytest.raises(DataError, match=r"no\.toml: cannot be read"):
        class_map.load(tmp_path / "no.toml")


def test_a_class_map_with_a_byte_order_mark_is_read(tmp_path):
    path = tmp_path / "map.toml"
    path.write_text('[classes]\nmel = ["MEL"]\nnv = ["NV"]\n', encoding="utf-8-sig")
    assert class_map.load(path).classes == {"mel": ("MEL",), "nv": ("NV",)}
