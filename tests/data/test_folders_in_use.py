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


def rows_of(root, table):
    (root / "t.csv").write_text(table)
    return data.read("auto", root)


@pytest.mark.parametrize("above", ["", "images/", "train/"])
@pytest.mark.parametrize("folders", [["P000", "P001", "P002"], ["1007", "1044", "2001"]])
@pytest.mark.parametrize("options", [{}, {"label": "label"}])
def test_folders_of_patients_beside_a_table_of_images_are_groups(above, folders, options, tmp_path):
    names = [f"{folder}/a{n}{folder}.jpg" for folder in folders for n in range(2)]
    lay(tmp_path, *(f"{above}{name}" for name in names))
    (tmp_path / "labels.csv").write_text(text("image,label", [(name, name[-5]) for name in names]))
    table = data.read("auto", tmp_path, **options)
    assert (table.origin.layout, table.origin.group) == ("csv", "folder")
    assert table.groups == tuple(folder for folder in folders for _ in range(2))


def test_the_column_label_may_be_chosen_where_folders_divide_otherwise(tmp_path):
    lay(tmp_path, *(f"clinic {n % 2}/{n}.jpg" for n in range(4)))
    (tmp_path / "t.csv").write_text(text("image,label", [(n, "ab"[n // 2]) for n in range(4)]))
    with pytest.raises(DataError, match=r"data\.columns\.label = 'label'"):
        data.read("auto", tmp_path)
    assert data.read("auto", tmp_path, label="label").classes == ("a", "b")


@pytest.mark.parametrize("part", ["", "train/", "images/"])
@pytest.mark.parametrize("people", [["patient_000", "patient_001"], ["P7", "P12"], ["1007", "1044"]])
def test_folders_of_patients_above_those_of_classes_are_groups(part, people, tmp_path):
    lay(tmp_path, *(f"{part}{person}/{c}/{c}{person}.jpg" for person in people for c in ("mel", "nv")))
    table = data.read("auto", tmp_path)
    assert (table.classes, set(table.groups)) == (("mel", "nv"), set(people))


@pytest.mark.parametrize("inner", [("visit1", "visit2"), ("dermoscopic", "clinical"), ("left", "right")])
def test_folders_of_visits_and_kinds_of_image_within_those_of_patients_are_no_classes(inner, tmp_path):
    lay(tmp_path, *(f"patient_{n}/{each}/{n}.jpg" for n in range(3) for each in inner))
    with pytest.raises(DataError, match=r"two folders deep|called after patients"):
        data.read("auto", tmp_path)


def test_classes_are_as_deep_as_others_that_hold_images_directly(tmp_path):
    inner = ["mel/AB001/1.jpg", "nv/AB002/2.jpg", "nv/AB003/3.jpg", "extra/bcc/4.jpg"]
    lay(tmp_path, "mel/5.jpg", "bcc/6.jpg", *inner)
    assert counts(data.read("auto", tmp_path)) == {"mel": 2, "nv": 2, "bcc": 2}


@pytest.mark.parametrize("mask", ["mel/masks/1.png", "mel/lesion_masks/left/1.png"])
def test_folders_of_masks_within_classes_are_left_out_and_counted(mask, tmp_path):
    lay(tmp_path, "mel/1.jpg", "nv/2.jpg", mask)
    table = data.read("auto", tmp_path)
    assert counts(table) == {"mel": 1, "nv": 1}
    assert any("not used: 1 images" in note for note in table.origin.notes)


def test_a_mask_never_stands_for_a_missing_image(tmp_path):
    lay(tmp_path, "images/0.jpg", *(f"masks/{n}.png" for n in range(2)))
    with pytest.raises(DataError, match="1 of 2 images are nowhere"):
        rows_of(tmp_path, "image,label\n0.jpg,a\n1.jpg,b\n")
    lay(tmp_path, "images/1.jpg")
    table = rows_of(tmp_path, "image,label\n0,a\n1,b\n")
    assert {path.parent.name for path in table.paths} == {"images"}
    assert any("2 images in folders of masks" in note for note in table.origin.notes)


def test_dicom_beside_jpeg_of_the_same_name_is_not_used(tmp_path):
    lay(tmp_path, *(f"{folder}/{n}{suffix}" for folder, suffix in (("jpeg", ".jpg"), ("dcm", ".dcm")) for n in (0, 1)))
    for n in (0, 1):
        (tmp_path / f"dcm/{n}.dcm").write_bytes(b"x")
    table = rows_of(tmp_path, "image,label\n0,a\n1,b\n")
    assert {path.suffix for path in table.paths} == {".jpg"}


@pytest.mark.parametrize(("folder", "row"), [("P{}", "P{}"), ("00{}", "{}"), ("P0{}", "p{}")])
@pytest.mark.parametrize("inner", ["", "visit1/"])
def test_a_table_of_patients_takes_all_images_of_their_folders(folder, row, inner, tmp_path):
    lay(
        tmp_path,
        *(f"{folder.format(n)}/{inner}{n}{k}.jpg" for n in range(4) for k in "ab"),
        f"{folder.format(9)}/x.jpg",
    )
    table = rows_of(tmp_path, text("patient_id,diagnosis", [(row.format(n), "ab"[n % 2]) for n in range(4)]))
    assert counts(table) == {"a": 4, "b": 4}
    assert len(set(table.groups)) == 4
    assert any(f"no row of t.csv names, not used: {folder.format(9)}" in note for note in table.origin.notes)


def test_a_patient_without_an_image_is_refused_with_the_line(tmp_path):
    lay(tmp_path, "P0/0.jpg", "P1/notes.txt")
    with pytest.raises(DataError, match=r"t\.csv, line 3: no image in or below .*P1"):
        rows_of(tmp_path, "patient_id,diagnosis\nP0,a\nP1,b\n")
