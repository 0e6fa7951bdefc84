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


def test_values_have_one_spelling_and_missing_ones_are_unknown():
    attributes = metadata.attributes_of(
        table(age=["7", "85", "NaN", "60-69"], fitspatrick=["3.0", "VI", "", "2"], sex=["unknown"] * 4)
    )
    assert attributes["age"].values == ("0 to 19", "80 and over", UNKNOWN, "60-69")
    assert attributes["age"].years == (7, 85, None, None)
    assert attributes["skin type"].values == ("3", "6", UNKNOWN, "2")
    assert attributes["sex"].values == (UNKNOWN,) * 4
    assert set(attributes) == {"age", "skin type", "sex"}


def test_ages_may_have_a_unit_and_no_human_age_is_unknown():
    ages = metadata.attributes_of(table(age=["63 years", "85+", "45,5 y", "999", "-1", "0", "121", "young"]))["age"]
    assert ages.years == (63, 85, 45.5, None, None, 0, None, None)
    assert ages.values[3:] == (UNKNOWN, UNKNOWN, "0 to 19", UNKNOWN, "young")


def test_the_source_is_taken_from_lesion_ids_without_a_column():
    attributes = metadata.attributes_of(table(groups=["BCN_01", "HAM_02", "MSK4_03", "image:I3"]))
    assert attributes["source"].values == ("BCN", "HAM", "MSK4", UNKNOWN)
    assert "source" not in metadata.attributes_of(table(groups=["L1", "L2"]))
    named = metadata.attributes_of(table(groups=["BCN_01", "BCN_02"], dataset=["a", "b"]))
    assert (named["source"].column, named["source"].values) == ("dataset", ("a", "b"))


def test_saved_attributes_are_joined_by_id_in_any_order(tmp_path):
    metadata.save(tmp_path / "a.csv", table(sex=["male", "female", ""], age=["30", "", "70"]))
    loaded = metadata.load(tmp_path / "a.csv", ["I2", "I0"])
    assert loaded == {"sex": ("", "male"), "age": ("60 to 79", "20 to 39")}
    with pytest.raises(DataError, match=r"a\.csv: .* 1 .*: I9"):
        metadata.load(tmp_path / "a.csv", ["I0", "I9"])
    metadata.save(tmp_path / "none.csv", table(groups=["L1", "L2"]))
    assert metadata.load(tmp_path / "none.csv", ["I1"]) == {}
