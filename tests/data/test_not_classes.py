"""Folders of parts and of any images never become classes; what is not recognised is said, with what differs."""

import pytest

from dspkd import data
from dspkd.errors import DataError


def lay(root, *names, **texts):
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).touch()
    for name, text in texts.items():
        (root / f"{name}.csv").write_text(text)
    return root


@pytest.mark.parametrize(
    "folders",
    [
        ("HAM10000_images_part_1", "HAM10000_images_part_2"),
        ("ham10000_images_part_1", "HAM10000_images_part_2"),
        ("ISIC2018_Task3_Training_Input", "ISIC2018_Task3_Test_Input"),
        ("ISIC_2019_Training_Input", "ISIC_2019_Test_Input"),
        ("ISIC-2017_Training_Data", "ISIC-2017_Test_v2_Data"),
        ("train", "test"),
        ("Training", "VALIDATION", "dev"),
        ("valid", "Test"),
        ("images",),
        ("part_1", "part_2"),
        ("melanoma", "naevus", "images"),
    ],
)
@pytest.mark.parametrize("table", [None, "name,diagnose\nx,y\n"], ids=["alone", "unknown table"])
def test_folders_that_hold_any_class_are_refused(folders, table, tmp_path):
    lay(tmp_path, *(f"{folder}/{n}{folder[:1]}.jpg" for folder in folders for n in range(2)))
    if table is not None:
        (tmp_path / "list.csv").write_text(table)
    with pytest.raises(DataError, match=r"no class|not classes"):
        data.read("auto", tmp_path)


def test_a_class_may_be_called_after_photographs(tmp_path):
    lay(tmp_path, "Acne and Rosacea Photos/1.jpg", "benign_images/2.jpg", "Light Diseases/3.jpg")
    assert len(data.read("auto", tmp_path).classes) == 3


def test_a_table_beside_one_or_two_folders_of_images_names_the_classes(tmp_path):
    text = "image,label,split\n0.jpg,a,train\n1.jpg,b,train\n2.jpg,a,val\n3.jpg,b,test\n"
    lay(tmp_path / "one", *(f"images/{n}.jpg" for n in range(4)), list=text)
    lay(tmp_path / "two", *(f"images_part_{n % 2}/{n}.jpg" for n in range(4)), list=text)
    for name in ("one", "two"):
        table = data.read("auto", tmp_path / name)
        assert (table.classes, table.parts) == (("a", "b"), ("train", "train", "val", "test"))


def test_a_column_that_contradicts_the_folders_is_not_passed_over(tmp_path):
    rows = "image,label\n0,mel\n1,nv\n2,nv\n3,mel\n"
    lay(tmp_path, *(f"clinic {n % 2}/{n}.jpg" for n in range(4)), list=rows)
    with pytest.raises(
        DataError, match=r"'label' \(mel, nv\) .*data\.columns\.label = 'label'.*data\.layout = 'folder'"
    ):
        data.read("auto", tmp_path)
    assert data.read("folder", tmp_path).classes == ("clinic 0", "clinic 1")
    assert data.read("csv", tmp_path).classes == ("mel", "nv")


def test_a_finer_diagnosis_beside_the_folders_is_metadata(tmp_path):
    rows = "image,diagnosis\n0,naevus\n1,melanoma\n2,wart\n3,carcinoma\n"
    lay(tmp_path, *(f"{('benign', 'malignant')[n % 2]}/{n}.jpg" for n in range(4)), list=rows)
    assert data.read("auto", tmp_path).classes == ("benign", "malignant")


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("HAM10000_metadata", "image_id,lesion_id\n", r"nearest is 'ham10000', .*HAM10000_metadata\.csv lacks .*dx"),
        ("things", "colour,weight\n", r"things\.csv has the columns colour, weight.*data\.columns\.image"),
    ],
)
def test_what_is_not_recognised_is_said_with_the_nearest_layout(name, text, message, tmp_path):
    (tmp_path / f"{name}.csv").write_text(text)
    with pytest.raises(DataError, match=message):
        data.read("auto", tmp_path)


@pytest.mark.parametrize("name", ["annotations.json", "labels.xml", "train.txt"])
def test_a_single_folder_beside_labels_that_are_not_read_is_no_class(name, tmp_path):
    lay(tmp_path, *(f"pics/{n}.jpg" for n in range(4)))
    (tmp_path / "README.txt").write_text("about")
    assert data.read("auto", tmp_path).classes == ("pics",)
    (tmp_path / name).write_text('{"classes": {"nevus": ["pics/0.jpg", "pics/1.jpg"]}}')
    with pytest.raises(DataError, match=f"a single folder, 'pics', and beside it {name}, which may name the classes"):
        data.read("auto", tmp_path)


@pytest.mark.parametrize(
    "name", ["backup", "New folder (2)", "mel - Copy", "duplicates", "excluded", "unsorted", "Unknown"]
)
def test_a_folder_that_is_called_as_no_class_is_a_class_with_a_doubt(name, tmp_path):
    table = data.read(
        "auto", lay(tmp_path, *(f"{each}/{n}{each}.jpg" for each in ("mel", "nv", name) for n in range(4)))
    )
    assert name in table.classes
    assert [doubt for doubt in table.origin.doubts if f"{name!r} (4 images) is taken as a class, but" in doubt]


def test_other_folders_are_classes_without_a_doubt(tmp_path):
    names = ("mel", "nv", "other", "misc", "normal skin", "old scar", "UNK")
    table = data.read("auto", lay(tmp_path, *(f"{each}/{n}{each}.jpg" for each in names for n in range(4))))
    assert not any("is taken as a class" in doubt for doubt in table.origin.doubts)
