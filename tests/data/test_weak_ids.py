"""Ids that their columns or cells do not show for certain: doubted, and not taken for unknown ones."""

import pytest

from dspkd import data
from dspkd.data.readers._columns import grouping


@pytest.mark.parametrize("name", ["case", "case_no", "Fallnummer", "Fall", "visit_id", "lesion", "nevus_code"])
@pytest.mark.parametrize("first", ["100", "1", "L100"])
def test_cases_of_many_images_each_are_doubted_whatever_they_are_called(name, first, tmp_path):
    prefix, start = first.rstrip("0123456789"), int(first.lstrip("L"))
    cells = tuple(f"{prefix}{start + n // 12}" for n in range(3000))
    chosen = grouping({name: cells}, None, tmp_path)
    assert chosen.column is None
    assert [repr(name) in doubt and "250 different" in doubt for doubt in chosen.doubts] == [True]


@pytest.mark.parametrize(
    ("name", "cells"),
    [
        ("lesion", ["macule", "papule", "plaque"]),
        ("visit_no", ["1", "2", "3"]),
        ("pt", ["pT1a", "pT2", "pT3b"]),
        ("number_of_lesions", ["31", "40", "52"]),
        ("lesion", ["1", "0"]),
    ],
)
def test_kinds_counts_and_stages_are_not_doubted(name, cells, tmp_path):
    assert grouping({name: tuple(cells[::-1] * 40)}, None, tmp_path).doubts == ()


@pytest.mark.parametrize("name", ["case_no", "lesion"])
def test_cases_of_a_known_patient_are_not_doubted(name, tmp_path):
    columns = {name: tuple(str(100 + n // 12) for n in range(3000)), "mrn": tuple(f"P{n // 24}" for n in range(3000))}
    assert grouping(columns, None, tmp_path).doubts == ()


def groups(root, ids):
    rows = []
    for n, each in enumerate(ids):
        (root / f"{n}.jpg").touch()
        rows.append(f"{n}.jpg,{'ab'[n % 2]},{each}")
    (root / "t.csv").write_text("\n".join(["image,label,patient_id", *rows]) + "\n")
    return data.read("auto", root).groups


@pytest.mark.parametrize(
    "ids",
    [
        ["-774123", "-774123", "-774123", "552211", "552212", "552213"],
        ["-4400000000000007919", "-4400000000000007919", "4400000000000023757", "4400000000000039595"],
        ["-1", "-1", "-774123", "552211"],
        ["NB", "NB", "NB", "JKL", "PQR", "ABC", "DEF", "GHI", "JKM", "NOP", "QRS", "TUV"],
        ["N.B.", "N.B.", "J.K.L.", "A.B.C."],
    ],
)
def test_signed_numbers_and_initials_that_repeat_are_ids(ids, tmp_path):
    assert groups(tmp_path, ids) == tuple(ids)


@pytest.mark.parametrize(
    ("unknown", "times", "ids"),
    [
        ("-1", 3, ["552211", "552212"]),
        ("-99.0", 3, ["552211", "552212"]),
        ("N/D", 2, ["JKL", "PQR"]),
        ("ND", 30, ["JKL", "PQR", "ABC"]),
        ("ND", 2, ["P0001", "P0002"]),
    ],
)
def test_what_is_unlike_the_ids_names_no_one(unknown, times, ids, tmp_path):
    found = groups(tmp_path, [unknown] * times + ids)
    assert unknown not in found
    assert found[-len(ids) :] == tuple(ids)
