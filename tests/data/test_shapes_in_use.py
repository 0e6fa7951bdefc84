"""Shapes in which people have images and tables, each read, or refused with what to do."""

import gzip
import importlib
import json

import pytest

from dspkd import data
from dspkd.data import assumptions
from dspkd.data.dataset import Dataset
from dspkd.errors import DataError
from dspkd.experiments.own_images import cautions

NAMES = [f"i{n}.jpg" for n in range(8)]
ROWS = [(name, ("mel", "nv")[n % 2]) for n, name in enumerate(NAMES)]


def lay(root, *names):
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).touch()


def text(header, rows, mark=","):
    return "\n".join(mark.join(map(str, row)) for row in (header.split(","), *rows)) + "\n"


TEXT = text("image,label", ROWS)


def read(root, table, *, images=NAMES, name="labels.csv", folder="images"):
    lay(root, *(f"{folder}/{image}" for image in images))
    (root / name).write_bytes(table if isinstance(table, bytes) else table.encode())
    return data.read("auto", root)


def counts(table):
    return {name: images for name, (images, _) in table.counts().items()}


@pytest.mark.parametrize(
    ("table", "note"),
    [
        (TEXT.encode("utf-16"), ""),
        (TEXT.replace(",", "\t").encode("utf-16-le"), "separated by tabs"),
        (TEXT.encode("utf-16-be"), ""),
        (TEXT.replace("\n", "\r"), ""),
        ("sep=;\n" + TEXT.replace(",", ";"), "separated by semicolons"),
        ("# exported in 2024\n" + TEXT, ""),
        (TEXT.replace(",", "|"), "separated by bars"),
        (TEXT + "i0.jpg,mel\n", "1 rows repeat an earlier one"),
        (TEXT.replace("i", "I").replace("Image", "image"), "8 names differ from their files in case"),
        (text("image,label,note", [(*row, '"one\ntwo, three"') for row in ROWS]), ""),
        (text("image,label,age", [(*row, "54,5") for row in ROWS], ";"), "semicolons"),
        (TEXT.replace("image,label", " Image Name , Class Label "), "'Class Label'"),
        (text("image,label", [(f'"{name}"', f'"{label}"') for name, label in ROWS]).replace(",", ", "), ""),
    ],
)
def test_a_table_is_read_however_it_was_saved(table, note, tmp_path):
    read_table = read(tmp_path, table)
    assert counts(read_table) == {"mel": 4, "nv": 4}
    assert any(note in each for each in read_table.origin.notes)


@pytest.mark.parametrize("name", ["i", "images/i", "./images//i", "images\\i", "C:\\x\\images\\i", "https://x.org/i"])
def test_names_may_have_folders_of_any_system_and_the_data_set_be_the_working_folder(name, tmp_path, monkeypatch):
    read(tmp_path, TEXT.replace("\ni", f"\n{name}"))
    monkeypatch.chdir(tmp_path)
    assert [path.as_posix() for path in data.read("auto", tmp_path.relative_to(tmp_path)).paths] == [
        f"images/{each}" for each in NAMES
    ]


def test_a_table_in_windows_1252_is_read_and_said(tmp_path):
    table = read(
        tmp_path, text("image,label,größe", [(*row, 3) for row in ROWS]).replace("nv", "nävus").encode("cp1252")
    )
    assert table.classes == ("mel", "nävus")
    assert "größe" in table.attributes
    assert any("not UTF-8, read as Windows-1252" in note for note in table.origin.notes)


def test_a_table_in_no_encoding_is_refused_with_the_line(tmp_path):
    with pytest.raises(DataError, match=r"labels\.csv, line 3: not UTF-8"):
        read(tmp_path, TEXT.encode().replace(b"nv\n", b"n\x81v\n", 1))


def test_an_image_given_two_classes_is_refused(tmp_path):
    with pytest.raises(DataError, match=r"line 10: image 'i0\.jpg' is there a second time \(first on line 2\)"):
        read(tmp_path, TEXT + "i0.jpg,nv\n")


def test_names_that_only_differ_in_case_are_not_mixed_up(tmp_path):
    with pytest.raises(DataError, match="1 of 2 images are nowhere"):
        read(tmp_path, "image,label\na.jpg,mel\nA.jpg,nv\n", images=["a.jpg"])


def spreadsheet(file, *sheets):
    book = pytest.importorskip("openpyxl", reason="needs openpyxl: pip install 'dspkd[xlsx]'").Workbook()
    for number, rows in enumerate(sheets):
        sheet = book.active if not number else book.create_sheet(f"sheet {number}")
        for row in rows:
            sheet.append(row)
    book.save(file)


def test_the_sheet_with_the_table_is_read_and_said_and_lost_zeros_are_no_matter(tmp_path):
    lay(tmp_path, *(f"images/00{n}.jpg" for n in range(2)))
    table = [["Table 1: our images"], [], ["image", "label"], [0, "mel"], [1, "nv"]]
    spreadsheet(tmp_path / "t.xlsx", [["How the images were taken"]], table, [["a", "b"], ["c", "d"]])
    read_table = data.read("auto", tmp_path)
    assert counts(read_table) == {"mel": 1, "nv": 1}
    assert any("sheet 'sheet 1' of 3" in note for note in read_table.origin.notes)
    assert any("leading zeros" in note for note in read_table.origin.notes)


PARTS = {"train": slice(0, 4), "val": slice(4, 6), "test": slice(6, 8)}


@pytest.mark.parametrize(
    ("file", "header", "inner"),
    [
        ("{}/labels.csv", "image,label", "{}"),
        ("{}/metadata.csv", "image,label", "{}"),
        ("{}/_annotations.csv", "filename,class", "{}/images"),
        ("ham_{}_labels.csv", "image,label", "images"),
    ],
)
def test_a_table_for_each_part_within_it_or_called_after_it_is_read(file, header, inner, tmp_path):
    for part, rows in PARTS.items():
        lay(tmp_path, *(f"{inner.format(part)}/{name}" for name in NAMES[rows]))
        (tmp_path / file.format(part)).write_text(text(header, ROWS[rows]))
    table = data.read("auto", tmp_path)
    assert counts(table) == {"mel": 4, "nv": 4}
    assert {part: table.parts.count(part) for part in PARTS} == {"train": 4, "val": 2, "test": 2}


def test_one_hot_tables_within_parts_are_read_with_the_classes_of_all(tmp_path):
    for part, rows in PARTS.items():
        lay(tmp_path, *(f"{part}/{name}" for name in NAMES[rows]))
        cells = [(name, int(label == "mel"), int(label == "nv")) for name, label in ROWS[rows]]
        (tmp_path / part / "_classes.csv").write_text(text("filename, mel, nv", cells))
    assert counts(data.read("auto", tmp_path)) == {"mel": 4, "nv": 4}


def test_the_same_name_in_two_parts_is_two_images(tmp_path):
    for part in ("train", "test"):
        lay(tmp_path, f"{part}/a.jpg", f"{part}/b.jpg")
        (tmp_path / part / "t.csv").write_text("image,label,patient\na.jpg,mel,P1\nb.jpg,nv,\n")
    table = data.read("auto", tmp_path)
    assert table.ids == ("test/a.jpg", "test/b.jpg", "train/a.jpg", "train/b.jpg")
    assert table.groups == ("P1", "image:test/b.jpg", "P1", "image:train/b.jpg")
    assert [path.parent.name for path in table.paths] == ["test", "test", "train", "train"]


def test_columns_of_a_second_table_are_joined_by_image(tmp_path):
    second = text(
        "image,patient_id,age", [(name.removesuffix(".jpg"), f"P{n // 2}", 40) for n, name in enumerate(NAMES)]
    )
    (tmp_path / "patients.csv").write_text(second)
    table = read(tmp_path, TEXT)
    assert (table.origin.group, len(set(table.groups))) == ("patient_id", 4)
    assert table.attributes["age"] == ("40",) * 8
    assert any("patients.csv: gives 'patient_id', 'age'" in note for note in table.origin.notes)


@pytest.mark.parametrize(
    ("second", "note"),
    [
        ("image,age\nother.jpg,4\n", "names 0 of these images"),
        ("image,age\ni0.jpg,4\ni0.jpg,5\n", "several rows for an image"),
        ("image\ni0.jpg\n", "no other columns"),
    ],
)
def test_a_second_table_that_cannot_be_joined_is_said(second, note, tmp_path):
    (tmp_path / "test.csv").write_text(second)
    table = read(tmp_path, TEXT)
    assert "age" not in table.attributes
    assert any(each.startswith("test.csv:") and note in each for each in table.origin.notes)


def test_what_a_competition_expects_as_an_answer_is_no_label(tmp_path):
    lay(tmp_path, "test/x.jpg")
    (tmp_path / "test.csv").write_text("image\nx.jpg\n")
    (tmp_path / "sample_submission.csv").write_text("image,label\nx.jpg,mel\n")
    assert counts(read(tmp_path, TEXT, name="train.csv")) == {"mel": 4, "nv": 4}


@pytest.mark.parametrize(("column", "cells"), [("split", "012"), ("is_test", ("False", "True"))])
def test_a_column_of_parts_that_is_not_read_is_said(column, cells, tmp_path):
    table = read(tmp_path, text(f"image,label,{column}", [(*row, cells[n % len(cells)]) for n, row in enumerate(ROWS)]))
    assert not table.parts
    assert f"column '{column}'" in table.origin.unclear
    assert any(f"column '{column}'" in line for line in Dataset.of(table).warnings)


def test_flags_beside_one_hot_columns_are_refused_with_the_line_to_set(tmp_path):
    rows = [(name, int(label == "mel"), int(label == "nv"), n // 2 % 2) for n, (name, label) in enumerate(ROWS)]
    with pytest.raises(DataError, match=r"set data\.columns\.label = \['MEL', 'NV'\]"):
        read(tmp_path, text("image,MEL,NV,biopsied", rows))


def test_nullable_json_lines_leave_the_cells_of_other_rows_where_they_are(tmp_path):
    lines = ['{"image": "i0.jpg", "label": "mel"}', '{"label": "nv", "image": "i1.jpg", "age": 7}']
    table = read(tmp_path, "\n".join(lines), images=NAMES[:2], name="t.jsonl")
    assert table.attributes["age"] == ("", "7")


@pytest.mark.parametrize("name", ["labels.jsonl", "labels.json"])
def test_objects_within_objects_are_columns_of_their_own(name, tmp_path):
    entries = [
        {"image": {"path": image}, "label": {"name": label, "id": 3}, "patient": {"id": n // 2}}
        for n, (image, label) in enumerate(ROWS)
    ]
    table = read(
        tmp_path, json.dumps(entries) if name.endswith("json") else "\n".join(map(json.dumps, entries)), name=name
    )
    assert counts(table) == {"mel": 4, "nv": 4}
    assert (table.origin.group, len(set(table.groups))) == ("patient.id", 4)


def test_classes_of_a_parquet_dictionary_are_text(tmp_path):
    pyarrow = pytest.importorskip("pyarrow", reason="needs pyarrow: pip install 'dspkd[parquet]'")
    lay(tmp_path, *(f"images/{name}" for name in NAMES))
    table = pyarrow.table({"image": NAMES, "label": pyarrow.array([c for _, c in ROWS]).dictionary_encode()})
    importlib.import_module("pyarrow.parquet").write_table(table, tmp_path / "labels.parquet")
    assert counts(data.read("auto", tmp_path)) == {"mel": 4, "nv": 4}


JSON_TABLE = json.dumps([{"image": name, "label": label, "size": None} for name, label in ROWS], indent=1)


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("labels.json", JSON_TABLE.encode()),
        ("labels.json", b"\xef\xbb\xbf" + JSON_TABLE.encode()),
        ("labels.csv.gz", gzip.compress(TEXT.encode(), mtime=0)),
        ("LABELS.TSV.GZ", gzip.compress(TEXT.replace(",", "\t").encode(), mtime=0)),
        ("labels.txt", TEXT.encode()),
        ("labels.txt", TEXT.replace(",", "\t").encode()),
    ],
)
def test_json_lists_compressed_tables_and_text_are_read_beside_notes_that_are_no_tables(name, content, tmp_path):
    (tmp_path / "README.txt").write_text("Images, labels and more.\nTaken in 2024, with care, by us.\n")
    (tmp_path / "config.json").write_text('{"image": 1}')
    (tmp_path / "ids.json").write_text("[1, 2]")
    table = read(tmp_path, content, name=name)
    assert counts(table) == {"mel": 4, "nv": 4}


@pytest.mark.parametrize("name", ["classes.txt", "notes.txt", "data.json"])
def test_other_text_and_json_beside_class_folders_change_nothing(name, tmp_path):
    lay(tmp_path, *(f"{label}/{image}" for image, label in ROWS))
    (tmp_path / name).write_text("mel\nnv\n" if name[0] == "c" else "image files, sorted\nnone\n")
    assert data.read("auto", tmp_path).origin.layout == "folder"


def test_tables_of_parts_may_be_compressed(tmp_path):
    lay(tmp_path, *(f"images/{image}" for image in NAMES))
    for part, rows in PARTS.items():
        (tmp_path / f"{part}.csv.gz").write_bytes(gzip.compress(text("image,label", ROWS[rows]).encode(), mtime=0))
    table = data.read("auto", tmp_path)
    assert [table.parts.count(part) for part in PARTS] == [4, 2, 2]


@pytest.mark.parametrize(
    ("content", "place"),
    [('[{"image": "i0.jpg", "label": "mel"}, 3]', "entry 2"), ('[{"image": "i0.jpg"}, {', "not JSON"), ("{}", "list")],
)
def test_json_that_is_no_list_of_objects_is_refused_with_the_place(content, place, tmp_path):
    (tmp_path / "t.json").write_text(content)
    with pytest.raises(DataError, match=rf"t\.json.*{place}"):
        data.read("auto", tmp_path / "t.json")


def test_a_column_that_only_looks_like_ids_is_a_warning_for_readers_of_results(tmp_path):
    table = read(
        tmp_path, text("image,label,kundennr", [(*row, f"v{n // 2 if n < 6 else n}") for n, row in enumerate(ROWS)])
    )
    (warning,) = [each for each in assumptions.warnings(table) if "'kundennr'" in each]
    assert "--group 'kundennr'" in warning
    assert not any("'kundennr'" in note for note in assumptions.lines(table))
    assert any("'kundennr'" in caution and caution[0] == "C" for caution in cautions.about_groups(table, 0))
