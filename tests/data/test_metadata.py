from pathlib import Path

import numpy as np
import pytest

from dspkd.data import metadata
from dspkd.data.metadata import UNKNOWN
from dspkd.data.table import Table
from dspkd.errors import DataError


def table(groups=None, **columns):
    rows = len(next(iter(columns.values()))) if columns else len(groups)
    ids = tuple(f"I{row}" for row in range(rows))
    cells = {name: tuple(values) for name, values in columns.items()}
    labels = np.zeros(rows, dtype=np.int64)
    return Table(("C",), ids, tuple(map(Path, ids)), labels, tuple(groups or ids), cells, Path("here"))


def test_values_are_in_one_spelling_and_what_is_not_said_is_unknown():
    told = metadata.told(
        table(age=["7", "85", "NaN", "60-69"], fitspatrick=["3.0", "VI", "", "2"], sex=["unknown"] * 4)
    )
    assert told["age"].values == ("0 to 19", "80 and over", UNKNOWN, "60-69")
    assert told["age"].years == (7, 85, None, None)
    assert told["skin type"].values == ("3", "VI", UNKNOWN, "2")
    assert told["sex"].values == (UNKNOWN,) * 4
    assert set(told) == {"age", "skin type", "sex"}


def test_the_archive_is_told_by_lesion_ids_where_no_column_says_it():
    told = metadata.told(table(groups=["BCN_01", "HAM_02", "MSK4_03", "image:I3"]))
    assert told["source"].values == ("BCN", "HAM", "MSK4", UNKNOWN)
    assert "source" not in metadata.told(table(groups=["L1", "L2"]))
    named = metadata.told(table(groups=["BCN_01", "BCN_02"], dataset=["a", "b"]))
    assert (named["source"].column, named["source"].values) == ("dataset", ("a", "b"))


def test_what_is_saved_is_joined_by_id_in_any_order(tmp_path):
    metadata.save(tmp_path / "a.csv", table(sex=["male", "female", ""], age=["30", "", "70"]))
    read = metadata.load(tmp_path / "a.csv", ["I2", "I0"])
    assert read == {"sex": ("", "male"), "age": ("60 to 79", "20 to 39")}
    with pytest.raises(DataError, match=r"a\.csv: says nothing of 1 of the images: I9"):
        metadata.load(tmp_path / "a.csv", ["I0", "I9"])
    metadata.save(tmp_path / "none.csv", table(groups=["L1", "L2"]))
    assert metadata.load(tmp_path / "none.csv", ["I1"]) == {}
