from pathlib import Path

import numpy as np
import pytest

from dspkd.data.data_card import card
from dspkd.data.metadata import COLUMNS, UNKNOWN
from dspkd.data.readers import class_folders, isic2019
from dspkd.data.split import Split, split
from dspkd.data.table import Table, group_or_own


def table(groups=None, **attributes):
    rows = len(next(iter(attributes.values()))) if attributes else len(groups)
    ids = tuple(f"I{row}" for row in range(rows))
    paths = tuple(Path(name) for name in ids)
    cells = {name: tuple(cells) for name, cells in attributes.items()}
    groups = group_or_own(groups or [""] * rows, ids)
    return Table(("C",), ids, paths, np.zeros(rows, dtype=np.int64), groups, cells, Path("somewhere"))


def trained(of):
    return Split(np.array(["train"] * len(of)))


def test_values_are_counted_in_each_part_by_frequency_missing_ones_last():
    of = table(sex=["male", "", "female", "female", "Unknown", "male", "female", "NaN"])
    attribute = card(of, Split(np.array(["train", "train", "train", "val", "val", "test", "test", "test"])))["sex"]
    assert attribute.column == "sex"
    assert attribute.parts == {
        "train": {"female": 1, "male": 1, UNKNOWN: 1},
        "val": {"female": 1, "male": 0, UNKNOWN: 1},
        "test": {"female": 1, "male": 1, UNKNOWN: 1},
    }
    assert [list(values) for values in attribute.parts.values()] == [["female", "male", UNKNOWN]] * 3
    assert attribute.medians == {}


def test_ages_are_in_bands_with_medians():
    of = table(age=["0", "19", "20.0", "79", "80", "95", "", "60-69", "-1", "inf"])
    attribute = card(of, trained(of))["age"]
    assert attribute.parts["train"] == {
        "0 to 19": 2, "20 to 39": 1, "60 to 79": 1, "60-69": 1, "80 and over": 2, "inf": 1, UNKNOWN: 2,
    }  # fmt: skip
    assert attribute.medians == {"train": (20 + 79) / 2}
    assert list(attribute.parts["train"])[:2] == ["0 to 19", "20 to 39"]


def test_skin_types_are_in_their_own_order():
    of = table(fitspatrick=["3.0", "2.0", "3.0", "1", "VI", ""])
    assert list(card(of, trained(of))["skin type"].parts["train"].items()) == [
        ("1", 1), ("2", 1), ("3", 2), ("6", 1), (UNKNOWN, 1)
    ]  # fmt: skip


def test_more_than_twelve_values_are_summed():
    cells = [f"place {n}" for n in range(15) for _ in range(15 - n)]
    of = table(region=cells)
    counts = card(of, trained(of))["body site"].parts["train"]
    assert list(counts) == [*(f"place {n}" for n in range(12)), "3 other values", UNKNOWN]
    assert counts["3 other values"] == 3 + 2 + 1
    assert sum(counts.values()) == len(cells)


def test_an_attribute_without_a_column_is_not_provided():
    of = table(["L1", "L1", ""])
    attributes = card(of, trained(of))
    assert attributes.pop("lesion or patient").parts["train"] == {"named": 2, UNKNOWN: 1}
    assert list(attributes) == list(COLUMNS)
    for attribute in attributes.values():
        assert (attribute.column, attribute.parts) == (None, {})


def test_of_several_columns_the_first_is_used():
    of = table(gender=["x"], sex=["male"], age=["3"])
    assert card(of, trained(of))["sex"].column == "sex"


def test_the_card_of_isic_2019_has_the_published_counts(shared):
    """Missing cells and archives as in ../shared/reference/method.md, section 12."""
    of = isic2019.read(shared / "data/isic2019-tables", images="unchecked")
    attributes = card(of, split(of))
    missing = {
        name: sum(values[UNKNOWN] for values in attributes[name].parts.values()) for name in ("age", "sex", "body site")
    }
    assert missing == {"age": 437, "sex": 384, "body site": 2631}
    archives = {
        name: sum(values[name] for values in attributes["source"].parts.values()) for name in ("BCN", "HAM", "MSK4", "")
    }
    assert archives == {"BCN": 12413, "HAM": 10015, "MSK4": 819, "": 2084}
    assert sum(values[UNKNOWN] for values in attributes["lesion or patient"].parts.values()) == 2084
    assert attributes["skin type"].column is None


@pytest.mark.parametrize(("name", "column"), [("skin type", "fitspatrick"), ("sex", "gender"), ("body site", "region")])
def test_the_columns_of_clinical_photographs_are_known(shared, name, column):
    of = class_folders.read(shared / "data/clinical-mini")
    attribute = card(of, split(of))[name]
    assert attribute.column == column
    assert sum(sum(values.values()) for values in attribute.parts.values()) == len(of) == 673
