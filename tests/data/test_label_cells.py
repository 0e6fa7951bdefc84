"""Cells and columns that are no class as they stand: marks, errors of a spreadsheet, lists, boxes of a form."""

import pytest

from dspkd import data
from dspkd.errors import DataError

NAMES = [f"i{n}.jpg" for n in range(12)]


def lay(root, header, cells):
    (root / "images").mkdir()
    for name in NAMES:
        (root / "images" / name).touch()
    rows = [f"{name},{cells[n % len(cells)]}" for n, name in enumerate(NAMES)]
    (root / "labels.csv").write_text("\n".join([f"image,{header}", *rows]) + "\n")
    return data.read("auto", root)


def test_boxes_of_a_form_are_a_column_for_each_class(tmp_path):
    table = lay(tmp_path, "diagnosis___1,diagnosis___2,diagnosis___3", ["1,0,0", "0,1,0", "0,0,1"])
    assert table.classes == ("diagnosis___1", "diagnosis___2", "diagnosis___3")
    assert table.labels.tolist()[:4] == [0, 1, 2, 0]


def test_several_boxes_of_a_form_are_refused(tmp_path):
    with pytest.raises(DataError, match=r"line 3: 2 labels \(diagnosis___1, diagnosis___2\)"):
        lay(tmp_path, "diagnosis___1,diagnosis___2", ["1,0", "1,1", "0,1"])


@pytest.mark.parametrize("cell", ["?", "--", ".", "#REF!", "#VALUE!", "#DIV/0!", "#NAME?", "#NV", "#WERT!"])
def test_marks_and_errors_of_a_spreadsheet_are_no_class(cell, tmp_path):
    with pytest.raises(DataError, match=r"line 4: column 'label' is .* stands for a missing value"):
        lay(tmp_path, "label", ["mel", "nv", cell])


def test_classes_may_be_marks_alone(tmp_path):
    assert lay(tmp_path, "label", ["+", "-"]).classes == ("+", "-")


def test_errors_of_a_spreadsheet_are_no_patient(tmp_path):
    table = lay(tmp_path, "label,patient", ["mel,#REF!", "nv,P1", "mel,#DIV/0!", "nv,P2"])
    assert {group for group in table.groups if not group.startswith("image:")} == {"P1", "P2"}


@pytest.mark.parametrize("cells", [["mel|ulcer", "nv|dots", "mel|dots"], ["mel; nv", "nv; bcc", "mel"]])
def test_several_labels_are_refused_though_none_stands_alone(cells, tmp_path):
    with pytest.raises(DataError, match=r"line .: column 'label' has 2 labels"):
        lay(tmp_path, "label", cells)


def test_names_of_one_tree_are_classes(tmp_path):
    assert len(lay(tmp_path, "label", ["benign|nevus", "benign|keratosis", "malignant|melanoma"]).classes) == 3
