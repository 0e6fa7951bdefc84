from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from dspkd.data.table import Table, group_or_own, rows_of
from dspkd.errors import DataError, first_few, suggest

ROOT = Path("somewhere")
IDS = ("a", "b", "c", "d")
TABLE = Table(
    classes=("MEL", "NV", "DF"),
    ids=IDS,
    paths=tuple(ROOT / f"{name}.jpg" for name in IDS),
    labels=np.array([0, 1, 1, 0]),
    groups=("x", "y", "y", "y"),
    attributes={"sex": ("m", "f", "", "f")},
    root=ROOT,
)


def test_counts_are_of_images_and_groups_of_each_class():
    assert TABLE.counts() == {"MEL": (2, 2), "NV": (2, 1), "DF": (0, 0)}


@pytest.mark.parametrize(
    "rows", [[3, 1], np.array([3, 1]), np.array([False, True, False, True])], ids=["list", "array", "mask"]
)
def test_taken_rows_keep_their_cells(rows):
    taken = TABLE.take(rows)
    assert len(taken) == 2
    cells = zip(taken.ids, taken.paths, taken.labels, taken.groups, taken.attributes["sex"], strict=True)
    assert set(cells) == {("d", ROOT / "d.jpg", 0, "y", "f"), ("b", ROOT / "b.jpg", 1, "y", "f")}
    assert taken.classes == TABLE.classes


def test_rows_are_taken_in_the_given_order():
    assert TABLE.take([3, 1]).ids == ("d", "b")
    assert len(TABLE.take([])) == 0


def test_the_digest_depends_on_content_and_not_on_the_folder():
    elsewhere = tuple(Path("/else") / name for name in IDS)
    assert replace(TABLE, root=Path("/else"), paths=elsewhere, attributes={}).digest == TABLE.digest
    changed = [
        replace(TABLE, classes=("MEL", "NV", "AK")),
        replace(TABLE, ids=("a", "b", "c", "e")),
        replace(TABLE, labels=np.array([0, 1, 1, 1])),
        replace(TABLE, groups=("x", "y", "y", "z")),
        TABLE.take([1, 0, 2, 3]),
    ]
    assert len({TABLE.digest, *(table.digest for table in changed)}) == 6


@pytest.mark.parametrize(
    ("column", "value", "message"),
    [
        ("ids", ("a", "b", "a", "b"), r"ids .*: a, b"),
        ("groups", ("x",), r"one length.*'groups': 1"),
        ("attributes", {"sex": ("m",)}, r"one length.*'sex': 1"),
        ("labels", np.array([0, 1, 3, 0]), r"labels must lie in \[0, 3\), got 0 to 3"),
        ("labels", np.array([0, 1, -1, 0]), r"labels must lie in \[0, 3\), got -1 to 1"),
    ],
)
def test_an_inconsistent_table_is_refused(column, value, message):
    with pytest.raises(DataError, match=message):
        replace(TABLE, **{column: value})


def test_an_image_of_unknown_group_is_a_group_of_its_own():
    assert group_or_own(("HAM_1", "", ""), ("a", "b", "c")) == ("HAM_1", "image:b", "image:c")


def test_messages_list_a_few_names_and_suggest_the_nearest():
    assert first_few(["a", "b", "c"]) == "a, b, c"
    assert first_few(["a", "b", "c", "d"]) == "a, b, c and 1 more"
    assert suggest("lesionid", ("image", "lesion_id")) == "did you mean 'lesion_id'?"
    assert suggest("xyz", ("image", "lesion_id")) == "known: image, lesion_id"


def test_rows_of_names_keep_their_order():
    assert rows_of("abca") == {"a": [0, 3], "b": [1], "c": [2]}


def test_images_without_an_id_are_counted_as_no_lesion_but_as_units_of_a_split():
    groups = ("L1", "L1", "image:c", "copies:d", "copies:d", "image:f")
    table = Table(
        ("A", "B"), tuple("abcdef"), tuple(map(Path, "abcdef")), np.array([0, 0, 0, 1, 1, 1]), groups, {}, Path()
    )
    assert table.counts() == {"A": (3, 1), "B": (3, 0)}
    assert table.units() == {"A": 2, "B": 2}
