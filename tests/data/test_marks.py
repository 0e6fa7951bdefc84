"""A column for each class: marks, numbers in any spelling, classes without an image, and legends above the header."""

import pytest

from dspkd import data
from dspkd.errors import DataError

PH2 = (
    "Image Name",
    "Histological Diagnosis",
    "Common Nevus",
    "Atypical Nevus",
    "Melanoma",
    "Asymmetry",
    "White",
    "Red",
)
LEGEND = [("PH2 Dataset",), ("Legend:",), ("Asymmetry", "0 - fully symmetric; 1 - in one axis"), ("Colors", "X")] * 3
"""The header of PH2 is its 13th row."""


def lay_ph2(root, mark="X"):
    rows = []
    for n in range(9):
        name = f"IMD{n:03d}"
        for inner in (
            f"{name}_Dermoscopic_Image/{name}",
            f"{name}_lesion/{name}_lesion",
            f"{name}_roi/{name}_R1_Label4",
        ):
            file = root / f"PH2 Dataset images/{name}/{inner}.bmp"
            file.parent.mkdir(parents=True, exist_ok=True)
            file.touch()
        marks = (mark if n % 3 == k else None for k in range(3))
        rows.append((name, "Melanoma" if n == 2 else None, *marks, n % 3, mark, mark if n < 5 else None))
    return [*LEGEND, PH2, *rows]


def assert_is_ph2(table):
    assert table.classes == ("Common Nevus", "Atypical Nevus", "Melanoma")
    assert table.labels.tolist() == [0, 1, 2] * 3
    assert {path.parent.name[6:] for path in table.paths} == {"_Dermoscopic_Image"}
    assert table.attributes["Asymmetry"] == ("0", "1", "2") * 3


@pytest.mark.parametrize("mark", ["X", "x", "✓"])
def test_ph2_is_read_from_its_spreadsheet(mark, tmp_path):
    openpyxl = pytest.importorskip("openpyxl", reason="needs openpyxl: pip install 'dspkd[xlsx]'")
    book = openpyxl.Workbook()
    for row in lay_ph2(tmp_path, mark):
        book.active.append(row)
    book.save(tmp_path / "PH2_dataset.xlsx")
    assert_is_ph2(data.read("auto", tmp_path))


@pytest.mark.parametrize("delimiter", [",", ";"])
def test_ph2_is_read_from_its_sheet_saved_as_csv(delimiter, tmp_path):
    rows = [
        [f'"{cell}"' if ";" in str(cell) else "" if cell is None else str(cell) for cell in row]
        for row in lay_ph2(tmp_path)
    ]
    lines = [delimiter.join([*row, *[""] * (len(PH2) - len(row))]) for row in rows]
    (tmp_path / "PH2_dataset.csv").write_text("\n".join(lines))
    table = data.read("auto", tmp_path)
    assert_is_ph2(table)
    assert any("a title above the header left out (12 lines)" in note for note in table.origin.notes)


def test_ph2_with_its_text_alone_is_refused_with_the_name_of_the_text(tmp_path):
    lay_ph2(tmp_path)
    (tmp_path / "PH2_dataset.txt").write_text("|| Name || Clinical Diagnosis ||\n|| IMD002 || 0 ||\n")
    with pytest.raises(DataError, match=r"PH2_dataset\.txt, which may name the classes .*; write a labels\.csv"):
        data.read("auto", tmp_path)


def one_hot(root, header, rows):
    for n in range(len(rows)):
        (root / f"{n}.jpg").touch()
    lines = [header, *(f"{n}.jpg;{row}" for n, row in enumerate(rows))]
    (root / "t.csv").write_text("\n".join(lines) + "\n")
    return data.read("auto", root)


@pytest.mark.parametrize(
    "cells",
    [
        *[("1,0", "0,0"), ("1.00", "0.00"), ("1", ""), ("1", "0,0"), ("True", "False"), ("X", ""), ("x", "\u2013")],
        *[("Ja", "Nein"), ("oui", "NON"), ("Sí", "no"), ("Y", "N"), ("✓", ""), ("+", "-")],
    ],
)
def test_one_hot_columns_are_read_in_any_spelling(cells, tmp_path):
    one, zero = cells
    table = one_hot(
        tmp_path, "image;MEL;NV;BCC", [";".join(one if n % 3 == k else zero for k in range(3)) for n in range(6)]
    )
    assert (table.classes, table.labels.tolist()) == (("MEL", "NV", "BCC"), [0, 1, 2] * 2)


def test_marks_of_which_a_row_has_none_or_several_are_no_classes(tmp_path):
    with pytest.raises(DataError, match="no column 'label'"):
        one_hot(tmp_path, "image;MEL;NV", ["x;", ";x", "x;x", ";"])


def test_marks_that_may_be_two_sets_of_classes_are_no_classes(tmp_path):
    with pytest.raises(DataError, match="no column 'label'"):
        one_hot(tmp_path, "image;MEL;NV;firm;soft", ["x;;x;", ";x;x;", "x;;;x", ";x;;x"])


@pytest.mark.parametrize("rows", [["1;0;0", "0;1;0"] * 2, ["0.8;0.2;0", "0.3;0.7;0"] * 2])
def test_a_column_of_a_class_that_no_image_has_is_left_out_with_a_note(rows, tmp_path):
    for n in range(4):
        (tmp_path / f"{n}.jpg").touch()
    (tmp_path / "t.csv").write_text("image;MEL;NV;UNK\n" + "".join(f"{n};{row}\n" for n, row in enumerate(rows)))
    table = data.read("csv", tmp_path, label=None, columns=data.Columns(label=["MEL", "NV", "UNK"]))
    assert (table.classes, "UNK" in table.attributes) == (("MEL", "NV"), False)
    assert "t.csv: no class, as no image has it: 'UNK'" in table.origin.notes
