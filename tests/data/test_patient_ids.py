"""Who is in which image: ids that are missing, spelled otherwise, in other tables, or stand for no one."""

import unicodedata
from collections import Counter

import numpy as np
import pytest
from PIL import Image

from dspkd import data
from dspkd.data import assumptions, unlabelled
from dspkd.data.part_names import holds_any_class
from dspkd.data.readers._columns import grouping
from dspkd.data.split import UNUSED
from dspkd.data.split import split as split_of
from dspkd.data.table import is_named


def table(file, *columns, rows):
    lines = [",".join(columns), *(",".join(map(str, row)) for row in rows)]
    file.write_text("\n".join(lines) + "\n", encoding="utf-8")


def touch(root, names):
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).touch()


def read(root, column, ids, **others):
    """Read images i0.jpg, i1.jpg, ... of two classes with these ids, and other columns."""
    names = [f"i{n}.jpg" for n in range(len(ids))]
    touch(root, names)
    labels = ["ab"[n // 2 % 2] for n in range(len(ids))]
    table(
        root / "t.csv", "image", "label", column, *others, rows=zip(names, labels, ids, *others.values(), strict=True)
    )
    return data.read("auto", root)


PATIENTS = ("P0", "P0", "P0", "", "", "", "", "")
LESIONS = ("L0", "L0", "L1", "L1", "L2", "L2", "L3", "")
GROUPS = ["P0", "P0", "P0", "P0", "L2", "L2", "L3"]
COLUMNS = {
    "csv": ("t.csv", "image", "label"),
    "folder": ("t.csv", "image", None),
    "imagefolder": ("metadata.csv", "file_name", "label"),
    "pad-ufes-20": ("metadata.csv", "img_id", "diagnostic"),
    "isic-archive": ("metadata.csv", "isic_id", "diagnosis_1"),
}


@pytest.mark.parametrize("layout", COLUMNS)
@pytest.mark.parametrize("unknown", ["", "anonymous", "Unbekannt"])
def test_an_image_without_patient_is_grouped_by_its_lesion_in_every_layout(layout, unknown, tmp_path):
    file, image, label = COLUMNS[layout]
    names = [f"{'ab'[n // 4]}/{n}.jpg" if layout == "folder" else f"{n}.jpg" for n in range(8)]
    touch(tmp_path, names)
    rows = [(name.rpartition("/")[2], "ab"[n // 4], PATIENTS[n] or unknown, LESIONS[n]) for n, name in enumerate(names)]
    columns = (image, label or "note", "patient_id", "lesion_id")
    table(tmp_path / file, *columns, rows=rows)
    read_table = data.read("auto", tmp_path)
    assert (read_table.origin.layout, read_table.origin.group) == (layout, "patient_id")
    assert list(read_table.groups) == [*GROUPS, f"image:{read_table.ids[7]}"]
    assert any("4 images whose 'patient_id' is empty are grouped by 'lesion_id'" in n for n in read_table.origin.notes)
    assert data.read("auto", tmp_path, group="patient_id").groups[4] == f"image:{read_table.ids[4]}"


def test_isic2019_fills_a_missing_patient_from_the_lesion(tmp_path):
    touch(tmp_path, [f"X_Input/I{n}.jpg" for n in range(4)])
    table(tmp_path / "X_GroundTruth.csv", "image", "MEL", "NV", "BCC", "AK", "BKL", "DF", "VASC", "SCC", "UNK",
          rows=[(f"I{n}", 1, *[0] * 8) for n in range(4)])  # fmt: skip
    rows = [("I0", "P", "L0"), ("I1", "", "L0"), ("I2", "", "L1"), ("I3", "", "L1")]
    table(tmp_path / "X_Metadata.csv", "image", "patient_id", "lesion_id", rows=rows)
    assert data.read("auto", tmp_path).groups == ("P", "P", "L1", "L1")


def test_lesions_linked_by_a_case_are_one_group_and_numbers_within_patients_tell_no_patient(tmp_path):
    linked = read(
        tmp_path,
        "patient",
        [""] * 4 + ["P9"],
        case_id=["C1", "", "C1", "", "C9"],
        lesion_id=["L1", "L1", "L2", "L2", ""],
    )
    assert len(set(linked.groups)) == 2
    numbered = read(tmp_path, "patient", ["7", "8", "", "", ""], lesion_id=["1", "1", "1", "7", "7"])
    assert numbered.groups == ("7", "8", "1", "lesion_id 7", "lesion_id 7")


WORDS = ["anonymous", "unbekannt", "desconocido", "inconnu", "n.a", "xxx", "Unknown patient", "not recorded", "no id",
         "UNDEFINED", "not_known", "Non renseigné", "patient id: unknown", "不明"]  # fmt: skip


@pytest.mark.parametrize("word", [*WORDS, "-1", "0", "0.0", "999", "N/D", "k. A."])
def test_what_stands_for_no_one_merges_no_strangers(word, tmp_path):
    groups = read(tmp_path, "patient_id", [word] * 8 + [f"P1{n // 2}" for n in range(8)]).groups
    assert sum(map(is_named, groups)) == 8
    assert len(set(groups)) == 12


@pytest.mark.parametrize(
    "ids",
    [
        ["0", "0", "0", "1", "2"],
        ["999", "999", "999", "1000", "1001"],
        ["nd", "nd", "nd", "kb"],
        ["Noah", "Noah", "Noah", "Nora"],
        ["unknown 1", "unknown 1", "unknown 2"],
    ],
)
def test_ids_that_are_only_like_these_stay(ids, tmp_path):
    assert read(tmp_path, "patient_id", ids).groups == tuple(ids)


def test_one_id_with_far_more_images_than_others_and_years_are_doubted(tmp_path):
    said = assumptions.warnings(read(tmp_path, "patient_id", ["ohne"] * 30 + [f"P{n // 2}" for n in range(60)]))
    assert any("30 of 90 images" in each and "'ohne'" in each for each in said)
    said = assumptions.warnings(read(tmp_path, "patient_id", [2019 + n % 4 for n in range(90)]))
    assert any("look like years (2019, 2020" in each for each in said)
    said = assumptions.warnings(read(tmp_path, "patient_id", [f"P{n // 3}" for n in range(90)]))
    assert said == ()


@pytest.mark.parametrize(
    ("name", "cells"),
    [
        ("hospital_id", [f"H{n % 12}" for n in range(120)]),
        ("visit_number", [n % 12 + 1 for n in range(120)]),
        ("visit_id", [f"V{n % 4}" for n in range(120)]),
        ("lesion_number", [n % 12 + 1 for n in range(120)]),
        ("lesion_name", [f"melanoma {'abc'[n % 3]}" for n in range(120)]),
        ("lesion_code", [("C43.9", "D22.5")[n % 2] for n in range(120)]),
        ("group", ["ABC"[n % 3] for n in range(120)]),
    ],
)
def test_hospitals_visits_and_kinds_of_lesions_hide_no_patient(name, cells, tmp_path):
    cells, people = tuple(map(str, cells)), tuple(f"99{n // 4}" for n in range(120))
    assert grouping({name: cells, "patient_id": people}, None, tmp_path).column == "patient_id"
    chosen = grouping({name: cells, "ipp": people}, None, tmp_path)
    assert chosen.column is None
    assert any("'ipp' looks like" in doubt for doubt in chosen.doubts)


def test_lesions_numbered_through_are_ids_and_a_patient_of_another_name_is_doubted(tmp_path):
    lesions, people = tuple(str(n // 3 + 1) for n in range(60)), tuple(f"99{n // 6}" for n in range(60))
    chosen = grouping({"lesion_no": lesions, "ipp": people}, None, tmp_path)
    assert chosen.column == "lesion_no"
    assert ["'ipp' looks like" in doubt for doubt in chosen.doubts] == [True]


@pytest.mark.parametrize(
    "name",
    ["identifiant_patient", "patientGUID", "hashed_patient_id", "isic_patient_id", "ID do paciente", "n_paciente",
     "lesion_group", "患者ID", "nr_pacjenta", "subject_label"],
)  # fmt: skip
@pytest.mark.parametrize("ids", [[f"P{1000 + n // 15}" for n in range(60)], [f"{n // 15:04}" for n in range(60)]])
def test_a_column_called_after_people_is_used_or_doubted_however_many_images_each_has(name, ids, tmp_path):
    chosen = grouping({name: tuple(ids)}, None, tmp_path)
    assert chosen.column == name or any(repr(name) in doubt for doubt in chosen.doubts)


def test_codes_of_any_name_are_doubted_however_many_images_each_has_and_attributes_are_not(tmp_path):
    chosen = grouping({"rut": tuple(f"K-{n // 20:05}" for n in range(600))}, None, tmp_path)
    assert len(chosen.doubts) == 1
    others = {
        "patient_age": [str(30 + n % 40) for n in range(600)],
        "patientSex": ["mf"[n % 2] for n in range(600)],
        "acquired": [f"2020-01-{n % 28 + 1:02}" for n in range(600)],
        "lesion_location": [f"arm {'abcdef'[n % 6]}" for n in range(600)],
        "max_diam": [f"{n % 30} mm" for n in range(600)],
    }
    assert grouping({name: tuple(cells) for name, cells in others.items()}, None, tmp_path).doubts == ()


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("Müller", unicodedata.normalize("NFD", "Müller"), True),
        ("PAT_1", "pat-01", True),
        ("P 1", "P1", True),
        ("P\u20131", "P-1", True),
        ("P1\u200b", "P1", True),
        ("P1_2", "P12", False),
        ("1-2", "12", False),
        ("1.1", "1.10", False),
    ],
)
def test_one_person_in_two_spellings_is_one_group(one, other, same, tmp_path):
    assert (len(set(read(tmp_path, "patient", [one, other, "X"]).groups)) == 2) == same


def test_the_patient_is_found_by_the_lesion_over_tables(tmp_path):
    read(tmp_path, "lesion_id", [f"L{n // 2}" for n in range(8)])
    table(tmp_path / "a_people.csv", "patient_id", "sex", "diagnosis", rows=[("p0", "m", "x"), ("P1", "f", "y")])
    table(
        tmp_path / "lesions.csv",
        "Lesion ID",
        "patient_id",
        "smoker",
        rows=[(f"l{n}", f"P{n // 2}", n % 2) for n in range(4)],
    )
    read_table = data.read("auto", tmp_path)
    assert read_table.groups == ("P0",) * 4 + ("P1",) * 4
    assert read_table.attributes["sex"] == ("m",) * 4 + ("f",) * 4
    assert not {"smoker", "diagnosis"} & set(read_table.attributes)
    assert any("lesions.csv: gives 'patient_id'" in note for note in read_table.origin.notes)


@pytest.mark.parametrize("name", ["{:04}.jpg", "IMG_{:04}.jpg", "img_{:04}"])
@pytest.mark.parametrize("beside", ["{}", "{}.JPG", "img_{:04}.JPG", "Img_{:04}"])
def test_names_in_other_case_or_without_zeros_are_one_image_in_two_tables(name, beside, tmp_path):
    numbers = range(8, 12)
    touch(tmp_path, [f"{name.format(n).removesuffix('.jpg')}.jpg" for n in numbers])
    table(tmp_path / "labels.csv", "image", "label", rows=[(name.format(n), "ab"[n % 2]) for n in numbers])
    table(tmp_path / "patients.csv", "image", "patient_id", rows=[(beside.format(n), f"P{n // 2}") for n in numbers])
    read_table = data.read("auto", tmp_path)
    equal = name.startswith("{") == beside.startswith("{}")
    assert len(set(read_table.groups)) == (2 if equal else 4)
    assert bool(read_table.origin.doubts) == (not equal)


@pytest.mark.parametrize(
    ("columns", "rows"),
    [
        (("image", "patient_id"), [("i0.jpg", "P0"), ("i0.jpg", "P1")]),
        (("lesion_id", "patient_id"), [("L0", "P0"), ("L0", "P1")]),
        (("case_id", "patient_id"), [("C0", "P0"), ("C1", "P1")]),
    ],
)
def test_a_table_of_patients_that_cannot_be_joined_is_doubted(columns, rows, tmp_path):
    read(tmp_path, "lesion_id", [f"L{n // 2}" for n in range(8)])
    table(tmp_path / "people.csv", *columns, rows=rows)
    read_table = data.read("auto", tmp_path)
    assert read_table.origin.group == "lesion_id"
    assert any("people.csv has the column" in doubt and "t.csv" in doubt for doubt in read_table.origin.doubts)
    assert any("people.csv" in note and "not used" in note for note in read_table.origin.notes)


def noise(file, seed):
    file.parent.mkdir(exist_ok=True)
    pixels = np.random.default_rng(seed).integers(0, 255, (64, 64, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(file)


@pytest.mark.parametrize("columns", [("image", "patient_id"), ("image", "label", "patient_id")])
def test_unlabelled_images_of_held_out_patients_are_left_out_in_any_spelling(columns, tmp_path):
    labelled = read(tmp_path / "labelled", "patient_id", [f"{n // 2:03}" for n in range(40)])
    for n, path in enumerate(labelled.paths):
        noise(path, n)
    split = split_of(labelled, val=0.2, test=0.2)
    for n in range(20):
        noise(tmp_path / f"pool/U{n}.png", 100 + n)
    cells = [(f"U{n}.png", *(["x"] if "label" in columns else []), n) for n in range(20)]
    table(tmp_path / "pool/t.csv", *columns, rows=cells)
    images = unlabelled.screened(unlabelled.find(tmp_path / "pool", "patient_id"), labelled, split, lambda *_: None)
    held_out = {int(group) for group, part in zip(labelled.groups, split.parts, strict=True) if part in ("val", "test")}
    assert UNUSED not in split.parts
    assert {int(name[12:-4]) for name in images.left_out} == held_out
    assert Counter(images.left_out.values()) == {"same lesion": len(held_out)}


@pytest.mark.parametrize("name", ["hamartoma_images", "Hamartoma photos", "milkers_images", "padded images"])
def test_a_class_that_begins_like_a_published_set_is_a_class(name):
    assert not holds_any_class(name)
