import pytest

from dspkd.data.readers import class_folders
from dspkd.errors import DataError

IMAGES = ("NV/a.jpg", "NV/b.PNG", "MEL/c.jpeg")


@pytest.fixture
def root(tmp_path):
    for name in (*IMAGES, "NV/notes.txt", "NV/.hidden.jpg", ".cache/x.jpg"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    return tmp_path


def read_with(root, text, **options):
    (root / "metadata.csv").write_text(text)
    return class_folders.read(root, **options)


def test_folders_are_classes_and_other_files_are_ignored(root):
    table = class_folders.read(root)
    assert table.classes == ("MEL", "NV")
    assert table.ids == ("MEL/c.jpeg", "NV/a.jpg", "NV/b.PNG")
    assert table.labels.tolist() == [0, 1, 1]
    assert table.paths[0] == root / "MEL" / "c.jpeg"
    assert table.groups == ("image:MEL/c.jpeg", "image:NV/a.jpg", "image:NV/b.PNG")


@pytest.mark.parametrize(
    ("naming", "names"),
    [
        ("file", IMAGES),
        ("filename", ("a.jpg", "b.PNG", "c.jpeg")),
        ("img_id", ("a", "b", "c")),
        ("id", ("a.tif", "b", "c")),
    ],
)
def test_metadata_are_matched_to_images(root, naming, names):
    a, b, c = names
    table = read_with(root, f"lesion_id,{naming},sex\nL2,{b},f\nL2,{a},m\nL1,{c},\n")
    assert table.groups == ("L1", "L2", "L2")
    assert table.attributes == {"sex": ("", "m", "f")}


def test_images_are_grouped_by_patient_unless_a_column_is_named(root):
    text = "file,lesion_id,patient_id\nNV/a.jpg,L1,P1\nNV/b.PNG,L2,P1\nMEL/c.jpeg,L3,\n"
    table = read_with(root, text)
    assert table.groups == ("L3", "P1", "P1")
    assert table.attributes == {"lesion_id": ("L3", "L1", "L2")}
    assert class_folders.read(root, group="lesion_id").groups == ("L3", "L1", "L2")


def test_two_metadata_files_are_refused(root):
    (root / "one.csv").write_text("file,sex\na,f\n")
    (root / "two.csv").write_text("image,age\na,4\n")
    with pytest.raises(DataError, match=r"one\.csv, two\.csv all name images; keep one table, or one for each part"):
        class_folders.read(root)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("file,sex\na,f\nb,f\n", r"metadata\.csv: no row for 1 of 3 images: MEL/c\.jpeg"),
        ("file,sex\na,f\nb,f\nc,f\nd,f\n", r"metadata\.csv, line 5: file 'd'"),
        ("file,sex\na,f\na,f\n", r"line 3: file 'a' .*line 2"),
        ("file,sex\na,f\na.jpg,f\n", r"line 3: file 'a\.jpg' .*NV/a\.jpg, .* line 2; keep one"),
        ("shot,patient_id\na,P1\n", r"metadata\.csv: .*one of file, path"),
        ("file,sex\na,f\nb,f\nc,f\nd,f\n", r"leave out the row of an image that is not here"),
    ],
)
def test_metadata_that_do_not_match_are_refused_with_the_line(root, text, message):
    with pytest.raises(DataError, match=message):
        read_with(root, text)


def test_a_name_in_two_classes_needs_its_folder(root):
    (root / "MEL" / "a.jpg").touch()
    with pytest.raises(DataError, match=r"line 2: file 'a' fits MEL/a\.jpg, NV/a\.jpg; write CLASS/IMAGE"):
        read_with(root, "file,sex\na,f\n")


def test_a_missing_group_column_is_refused(root):
    with pytest.raises(DataError, match=r"no \*\.csv .*'patient'"):
        class_folders.read(root, group="patient")
    with pytest.raises(DataError, match=r"'patient'; did you mean 'patient_id'"):
        read_with(root, "file,patient_id\na,P\nb,P\nc,P\n", group="patient")


def test_a_folder_without_classes_or_a_class_without_images_is_refused(root, tmp_path_factory):
    empty = tmp_path_factory.mktemp("empty")
    with pytest.raises(DataError, match=r"no class folder here; expected .*/CLASS/IMAGE"):
        class_folders.read(empty)
    # What a folder of parts, train/NV/a.jpg, looks like: its parts must not be read as classes.
    (root / "train" / "NV").mkdir(parents=True)
    (root / "train" / "NV" / "a.jpg").touch()
    with pytest.raises(DataError, match=r"train: .*without images"):
        class_folders.read(root)


def test_clinical_mini_is_grouped_by_patient(shared):
    table = class_folders.read(shared / "data/clinical-mini")
    images = {name: count for name, (count, _) in table.counts().items()}
    assert images == {"ACK": 142, "BCC": 204, "MEL": 37, "NEV": 153, "SCC": 26, "SEK": 111}
    assert (len(table), len(set(table.groups))) == (673, 523)
    # The row of an image is the one about it: the table repeats the class, which reading does not use.
    assert table.attributes["diagnostic"] == tuple(table.classes[label] for label in table.labels)


def test_a_list_of_the_classes_is_no_metadata_and_a_table_for_each_part_is(root):
    (root / "classes.csv").write_text("code,meaning\nNV,nevus\nMEL,melanoma\n")
    assert class_folders.read(root).attributes == {}
    (root / "train.csv").write_text("file,patient_id\na,P1\nb,P1\n")
    (root / "test.csv").write_text("file,patient_id\nc,P2\n")
    table = class_folders.read(root)
    assert table.groups == ("P2", "P1", "P1")
    assert table.attributes["split"] == ("test", "train", "train")


@pytest.mark.parametrize("mask", ["segmentation", "mask", "superpixels", "GT"])
def test_masks_beside_the_images_are_left_out_and_counted(root, mask):
    (root / f"NV/a_{mask}.png").touch()
    (root / "NV/b_mask.jpg").touch()
    (root / f"MEL/d_{mask}.png").touch()
    table = class_folders.read(root)
    assert [name for name in table.ids if "_" in name] == [f"MEL/d_{mask}.png", "NV/b_mask.jpg"]
    assert f"not used: 1 files, such as NV/a_{mask}.png" in " ".join(table.origin.notes)
