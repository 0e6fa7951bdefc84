"""Spreadsheets as hospitals write them: merged cells, and a legend before the data."""

import zipfile

import pytest

from dspkd import data
from dspkd.data import spreadsheet, table_files
from dspkd.errors import DataError

openpyxl = pytest.importorskip("openpyxl", reason="needs openpyxl: pip install 'dspkd[xlsx]'")

LEGEND = [["code", "meaning"], ["mel", "melanoma"], ["nv", "nevus"]]


def save(file, sheets, merged=()):
    book = openpyxl.Workbook()
    book.remove(book.active)
    for name, rows in sheets.items():
        sheet = book.create_sheet(name)
        for row in rows:
            sheet.append(row)
        for each in merged:
            sheet.merge_cells(each)
    book.save(file)


@pytest.mark.parametrize(("above", "column"), [(0, "A"), (2, "A"), (0, "D")])
@pytest.mark.parametrize("chunk", [7, 1 << 20])
def test_merged_cells_hold_their_value_in_each_row(above, column, chunk, tmp_path, monkeypatch):
    monkeypatch.setattr(spreadsheet, "_CHUNK", chunk)
    titles = [["Our patients", "", "", ""], []][:above]
    header = ["patient", "image", "label", "note"] if column == "A" else ["note", "image", "label", "patient"]
    rows = []
    for n in range(9):
        (tmp_path / f"{n}.jpg").touch()
        cells = [f"P{n // 3}" if n % 3 == 0 else None, f"{n}.jpg", "ab"[n // 3 % 2], None]
        rows.append(cells if column == "A" else cells[::-1])
        if column != "A":
            rows[-1][1:3] = cells[1:3]
    first = above + 2
    merged = [f"{column}{row}:{column}{row + 2}" for row in range(first, first + 9, 3)]
    save(tmp_path / "t.xlsx", {"data": [*titles, header, *rows]}, [*merged, *(["A1:D1"] if above else [])])
    table = data.read("auto", tmp_path)
    assert table.groups == tuple(f"P{n // 3}" for n in range(9))
    assert "t.xlsx: 3 cells that are merged over several rows hold their value in each" in table.origin.notes


def test_cells_merged_within_the_header_and_beyond_the_last_row_harm_nothing(tmp_path):
    rows = [["image", "patient"], ["0.jpg", "P0"], ["1.jpg", None], ["2.jpg", "P2"]]
    save(tmp_path / "t.xlsx", {"data": rows}, ["B1:B2", "B3:B9"])
    assert table_files.read_table(tmp_path / "t.xlsx").column("patient") == ("", "", "")
    save(tmp_path / "t.xlsx", {"data": rows}, ["B2:B3"])
    assert table_files.read_table(tmp_path / "t.xlsx").column("patient") == ("P0", "P0", "P2")


def test_ids_in_the_first_of_several_rows_of_a_text_are_doubted(tmp_path):
    for n in range(9):
        (tmp_path / f"{n}.jpg").touch()
    rows = "".join(f"{f'P{n // 3}' if n % 3 == 0 else ''},{n}.jpg,{'ab'[n // 3 % 2]}\n" for n in range(9))
    (tmp_path / "t.csv").write_text(f"patient,image,label\n{rows}")
    (doubt,) = data.read("auto", tmp_path).origin.doubts
    assert "'patient'" in doubt
    assert "merged cells" in doubt


@pytest.mark.parametrize("header", ["image", "Image ID", "file_name", "isic_id", "Path"])
def test_the_sheet_whose_header_names_images_is_read_behind_a_legend(header, tmp_path):
    for n in range(2):
        (tmp_path / f"{n}.jpg").touch()
    rows = [[header, "label"], ["0.jpg", "mel"], ["1.jpg", "nv"]]
    save(tmp_path / "t.xlsx", {"Legend": [*LEGEND, ["pathology", "x"]], "data": rows})
    table = data.read("auto", tmp_path)
    assert table.classes == ("mel", "nv")
    assert "t.xlsx: sheet 'data' of 2" in table.origin.notes


def test_where_no_sheet_names_images_the_first_with_two_columns_is_read(tmp_path):
    save(tmp_path / "t.xlsx", {"title": [["Study"]], "Legend": LEGEND, "other": [["a", "b"], [1, 2]]})
    assert table_files.header_of(tmp_path / "t.xlsx") == ("code", "meaning")


SHEETS = {
    "train": [["image", "patient", "label"], *([f"{n}.jpg", f"P{n // 2}", "ab"[n // 2 % 2]] for n in range(8))],
    "test": [["Patient", "Image", "Label"], *([f"P{n // 2}", f"{n}.jpg", "ab"[n // 2 % 2]] for n in range(8, 12))],
}


def read(root, sheets):
    for n in range(12):
        (root / f"{n}.jpg").touch()
    save(root / "t.xlsx", sheets)
    return data.read("auto", root)


def test_sheets_of_the_same_columns_are_one_table_and_called_after_parts_these(tmp_path):
    table = read(tmp_path, SHEETS)
    assert table.parts == ("train",) * 8 + ("test",) * 4
    assert table.groups == tuple(f"P{n // 2}" for n in range(12))
    assert "t.xlsx: sheets 'train', 'test' of 2" in table.origin.notes
    table = read(tmp_path, {"2023": SHEETS["train"], "2024": SHEETS["test"], "Legend": LEGEND})
    assert (len(table), table.parts, table.origin.doubts) == (12, (), ())


def test_ids_in_a_sheet_that_is_not_read_are_doubted(tmp_path):
    images = [["image", "lesion", "label"], *([f"{n}.jpg", f"L{n // 2}", "ab"[n // 2 % 2]] for n in range(12))]
    lesions = [["lesion", "patient_id"], *([f"L{n}", f"P{n // 2}"] for n in range(6))]
    (doubt,) = read(tmp_path, {"images": images, "lesions": lesions}).origin.doubts
    assert "t.xlsx: sheet 'lesions' has the column 'patient_id' and is not read" in doubt
    save(tmp_path / "t.xlsx", {"images": images})
    (tmp_path / "lesions.csv").write_text("".join(f"{','.join(row)}\n" for row in lesions))
    assert len(set(data.read("auto", tmp_path).groups)) == 3


def test_ids_in_another_sheet_beside_class_folders_are_doubted(tmp_path):
    for n in range(4):
        (tmp_path / "ab"[n % 2]).mkdir(exist_ok=True)
        (tmp_path / "ab"[n % 2] / f"{n}.jpg").touch()
    images = [["image", "site"], *([f"{n}.jpg", "back"] for n in range(4))]
    save(tmp_path / "t.xlsx", {"images": images, "people": [["Pat-Nr", "age"], ["7", "50"]]})
    (doubt,) = data.read("auto", tmp_path).origin.doubts
    assert "sheet 'people' has the column 'Pat-Nr'" in doubt


def test_rows_of_spaces_are_empty_and_a_column_that_is_there_twice_is_named(tmp_path):
    rows = [*SHEETS["train"], *SHEETS["test"][1:]]
    rows[9:] = [[image, patient, label] for patient, image, label in rows[9:]]
    assert len(read(tmp_path, {"data": [*rows, [" ", "  ", " "]]})) == 12
    with pytest.raises(DataError, match=r"different names, and 'note' is there twice; rename one"):
        read(tmp_path, {"data": [[*rows[0], "note", "note"], *([*row, "x", "y"] for row in rows[1:])]})


def test_messages_name_the_sheet_of_a_row_where_several_are_one_table(tmp_path):
    for n in range(4):
        (tmp_path / f"{n}.jpg").touch()
    first = [["image", "label"], ["0.jpg", "mel"], ["1.jpg", "nv"]]
    save(tmp_path / "t.xlsx", {"Ulm": first, "Bonn": [["image", "label"], ["2.jpg", "mel"], ["3.jpg", None]]})
    with pytest.raises(DataError, match=r"t\.xlsx, sheet 'Bonn', line 3: column 'label' is empty"):
        data.read("auto", tmp_path)
    save(tmp_path / "t.xlsx", {"Ulm": first, "Bonn": [["image", "label"], ["1.jpg", "mel"]]})
    with pytest.raises(DataError, match=r"sheet 'Bonn', line 2: .*first in \S+t\.xlsx, sheet 'Ulm', line 3"):
        data.read("auto", tmp_path)
    save(tmp_path / "t.xlsx", {"Ulm": [*first, ["2.jpg", None]]})
    with pytest.raises(DataError, match=r"t\.xlsx, line 4: column 'label' is empty"):
        data.read("auto", tmp_path)


def of_six(root, label_of):
    book = openpyxl.Workbook()
    book.active.append(["image", "label"])
    for n in range(6):
        (root / f"{n}.jpg").touch()
        book.active.append([f"{n}.jpg", label_of(n)])
    return book


def test_formulas_without_a_saved_result_are_refused_with_what_to_do(tmp_path):
    of_six(tmp_path, lambda n: f'=IF({n}>2,"mel","nv")').save(tmp_path / "t.xlsx")
    with pytest.raises(
        DataError, match=r"t\.xlsx: the formula in B2 has no saved result \(6 such cells\); open .* save it"
    ):
        data.read("auto", tmp_path)


def test_a_formula_whose_saved_result_is_an_empty_text_is_an_empty_cell(tmp_path):
    of_six(tmp_path, lambda n: ("mel", "nv")[n % 2]).save(tmp_path / "plain.xlsx")
    cell = b'<c r="C2" t="str"><f>IF(1,"","x")</f><v></v></c></row><row r="3"'
    with zipfile.ZipFile(tmp_path / "plain.xlsx") as old, zipfile.ZipFile(tmp_path / "t.xlsx", "w") as new:
        for name in old.namelist():
            new.writestr(name, old.read(name).replace(b'</row><row r="3"', cell))
    (tmp_path / "plain.xlsx").unlink()
    assert data.read("auto", tmp_path).classes == ("mel", "nv")


@pytest.mark.parametrize("chunk", [7, 1 << 20])
def test_hidden_rows_are_used_with_a_note(chunk, tmp_path, monkeypatch):
    monkeypatch.setattr(spreadsheet, "_CHUNK", chunk)
    book = of_six(tmp_path, lambda n: ("mel", "nv")[n % 2])
    for row in (1, 3, 4):
        book.active.row_dimensions[row].hidden = True
    book.save(tmp_path / "t.xlsx")
    table = data.read("auto", tmp_path)
    assert len(table) == 6
    assert any("2 rows that are hidden, as by a filter, are used too" in note for note in table.origin.notes)
