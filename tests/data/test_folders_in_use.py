"""Folders in which people have images: of patients, of parts, of classes, and several of them within each other."""

import pytest
from tests.data.test_shapes_in_use import NAMES, TEXT, counts, lay, read, text

from dspkd import data
from dspkd.errors import DataError


@pytest.mark.parametrize("folders", [["patient_001", "patient_002"], ["1007", "1044", "2001"], ["P1", "P2", "P4"]])
def test_folders_of_patients_without_a_table_are_no_classes(folders, tmp_path):
    lay(tmp_path, *(f"{folder}/{n}.jpg" for folder in folders for n in range(2)))
    with pytest.raises(DataError, match=r"called after patients.*labels\.csv.*data\.layout = 'folder'"):
        data.read("auto", tmp_path)
    assert len(data.read("folder", tmp_path).classes) == len(folders)


@pytest.mark.parametrize("folders", [["0", "1", "2"], ["12", "34", "56"], ["stage 1", "stage 2"]])
def test_classes_may_be_numbers(folders, tmp_path):
    lay(tmp_path, *(f"{folder}/{n}.jpg" for folder in folders for n in range(2)))
    assert data.read("auto", tmp_path).classes == tuple(folders)


@pytest.mark.parametrize(
    ("rows", "group"),
    [
        (text("patient,diagnosis", [("Patient 1", "mel"), ("Patient 2", "nv")]), "patient"),
        (text("image,dx", [("1a", "mel"), ("1b", "mel"), ("2a", "nv"), ("2b", "nv")]), "folder"),
    ],
)
def test_folders_of_patients_beside_a_table_are_groups(rows, group, tmp_path):
    lay(tmp_path, *(f"Patient {n}/{n}{k}.jpg" for n in (1, 2) for k in "ab"))
    (tmp_path / "t.csv").write_text(rows)
    table = data.read("auto", tmp_path)
    assert counts(table) == {"mel": 2, "nv": 2}
    assert (table.origin.group, table.groups) == (group, ("Patient 1",) * 2 + ("Patient 2",) * 2)


@pytest.mark.parametrize(("inner", "groups"), [(("1044", "1207"), 2), (("images",), 4)])
def test_folders_within_those_of_classes_are_patients_or_of_any_images(inner, groups, tmp_path):
    lay(tmp_path, *(f"{c}/{folder}/{c}{folder}{n}.jpg" for c in ("mel", "nv") for folder in inner for n in range(2)))
    table = data.read("auto", tmp_path)
    assert (table.origin.layout, table.classes) == ("imagefolder", ("mel", "nv"))
    assert len(set(table.groups)) == groups


def test_folders_two_deep_are_refused_with_both_ways(tmp_path):
    lay(tmp_path, *(f"{c}/{n}.jpg" for c in ("benign/nv", "malignant/mel") for n in range(2)))
    with pytest.raises(DataError, match=r"two folders deep, such as in benign/nv.*train, val and test.*'imagefolder'"):
        data.read("auto", tmp_path)


def test_a_folder_with_parts_and_a_table_is_no_class(tmp_path):
    lay(tmp_path, *(f"set/{'test' if n > 5 else 'train'}/{name}" for n, name in enumerate(NAMES)))
    (tmp_path / "set/labels.csv").write_text(TEXT)
    table = data.read("auto", tmp_path)
    assert (counts(table), table.parts.count("test")) == ({"mel": 4, "nv": 4}, 2)


def test_a_table_among_the_images_is_found(tmp_path):
    assert counts(read(tmp_path, TEXT, name="images/labels.csv")) == {"mel": 4, "nv": 4}


@pytest.mark.parametrize(
    ("names", "parts"),
    [
        (("1_train", "2_val", "3_test"), ("train", "val", "test")),
        (("train_dir", "val_dir"), ("train", "val")),
        (("isic_train", "isic_test"), ("train", "test")),
        (("train2017", "val2017"), ("train", "val")),
    ],
)
def test_parts_may_have_numbers_years_and_the_name_of_the_set(names, parts, tmp_path):
    lay(tmp_path, *(f"{name}/{c}/{name}{c}.jpg" for name in names for c in ("mel", "nv")))
    table = data.read("auto", tmp_path)
    assert (table.classes, set(table.parts)) == (("mel", "nv"), set(parts))


def test_folders_of_patients_within_classes_within_parts_are_groups(tmp_path):
    for number, part in enumerate(("train", "val", "test")):
        lay(
            tmp_path,
            *(f"{part}/{label}/patient_{10 * number + k}/{k}.jpg" for label in ("mel", "nv") for k in range(2)),
        )
    table = data.read("auto", tmp_path)
    assert (table.origin.layout, counts(table)) == ("imagefolder", {"mel": 6, "nv": 6})
    assert set(table.groups) == {f"patient_{n}" for n in (0, 1, 10, 11, 20, 21)}
    assert [table.parts.count(part) for part in ("train", "val", "test")] == [4, 4, 4]


def test_a_folder_of_no_known_layout_is_told_in_a_few_words_what_would_do(tmp_path):
    (tmp_path / "thesis.pdf").touch()
    with pytest.raises(DataError) as caught:
        data.read("auto", tmp_path)
    assert "a folder for each class" in str(caught.value)
    assert "dspkd data inspect" in str(caught.value)
    assert len(str(caught.value)) < len(str(tmp_path)) + 300
