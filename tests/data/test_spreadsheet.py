"""Spreadsheets as hospitals write them: merged cells, and a legend before the data."""

import pytest

from dspkd import data
from dspkd.data import spreadsheet, table_files

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
