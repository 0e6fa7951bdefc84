"""What lies beside images: leftovers that change nothing, and what cannot be read, with what would do."""

import pytest

from dspkd import data
from dspkd.errors import DataError


def lay(root, *names, **texts):
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).touch()
    for name, text in texts.items():
        (root / name.replace("__", ".")).write_text(text)
    return root


CLASSES = [f"{name}/{name}{n}.jpg" for name in ("mel", "nv") for n in range(3)]
IMAGES = [f"images/{n}.jpg" for n in range(4)]


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("hmnist_28_28_RGB.csv", "pixel0000,pixel0001,label\n" + "1,2,0\n" * 6),
        ("history.csv", "epoch,loss\n" + "1,2\n" * 6),
        ("notes.csv", ""),
    ],
)
def test_an_unrelated_table_beside_class_folders_is_not_read_and_noted(name, text, tmp_path, monkeypatch):
    lay(tmp_path, *CLASSES, **{name: text})
    monkeypatch.setattr("dspkd.data.readers.class_folders.read_table", lambda file: pytest.fail(f"{file} was read"))
    table = data.read("auto", tmp_path)
    assert (table.classes, table.attributes) == (("mel", "nv"), {})
    assert any(note.startswith(f"{name}: ") and "not used" in note for note in table.origin.notes)


@pytest.mark.parametrize("name", ["~$labels.xlsx", "lost+found/x.jpg"])
def test_what_excel_and_file_systems_leave_is_skipped(name, tmp_path):
    table = data.read("auto", lay(tmp_path, *CLASSES, name))
    assert (table.classes, table.origin.notes) == (("mel", "nv"), ())


@pytest.mark.parametrize(
    ("folder", "beside"),
    [
        ("images", ["8_2_split/train_1.txt", "class_idx.txt"]),
        ("data", ["notebooks/x.ipynb"]),
        ("images/train", ["labels/train/0.txt", "docs/a.md"]),
        ("data/skin", ["data/code/a.py", "masks/mel/1.png", "masks/nv/2.png"]),
    ],
)
def test_the_only_folder_with_images_is_followed_and_named(folder, beside, tmp_path):
    lay(tmp_path, *(f"{folder}/{name}" for name in CLASSES), *beside)
    table = data.read("auto", tmp_path)
    assert table.classes == ("mel", "nv")
    first = folder.removesuffix("/train")
    assert f"the data set is {first}, as no other folder in {tmp_path} holds images" in table.origin.notes


def test_ids_beside_the_only_folder_with_images_are_doubted(tmp_path):
    lay(tmp_path, *(f"images/{name}" for name in CLASSES), "tables/README.md")
    (tmp_path / "tables/patients.csv").write_text("image,patient_id\nmel0,P1\nmel1,P1\n")
    (doubt,) = data.read("auto", tmp_path).origin.doubts
    assert "tables/patients.csv has the column 'patient_id' and is not read" in doubt


def test_of_several_folders_with_images_those_that_would_be_read_are_named(tmp_path):
    lay(tmp_path, *(f"{folder}/{name}" for folder in ("original", "augmented") for name in CLASSES), "raw/x/1.jpg")
    with pytest.raises(
        DataError, match="of its folders, augmented, original would be read alone: to read one of them, give its path"
    ):
        data.read("auto", tmp_path)


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (["a.zip"], r"a\.zip may hold the images: unpack it first"),
        (
            ["1.tar", "2.tar"],
            r"1\.tar, 2\.tar may hold the images: unpack them first; .* WebDataset needs a labels\.csv",
        ),
        (["data.mdb"], "LMDB is not read here; write the images out"),
        (["x.npy", "y.npy"], r"x\.npy, y\.npy may hold the images: arrays other than MedMNIST's are not read"),
        (["train.h5"], r"train\.h5 may hold the images: arrays other than MedMNIST's are not read here; write"),
        (["train/0.tfrec"], "TFRecord is not read here"),
    ],
)
def test_a_folder_of_archives_or_databases_is_named_with_what_would_do(names, message, tmp_path):
    with pytest.raises(DataError, match=message):
        data.read("auto", lay(tmp_path, *names))


@pytest.mark.parametrize(("beside", "what"), [("images_1.zip", "unpack it first"), ("0.tfrec", "TFRecord")])
def test_images_that_a_table_names_may_be_in_an_archive(beside, what, tmp_path):
    lay(tmp_path, beside, train__csv="image,label\n1,mel\n2,nv\n")
    with pytest.raises(DataError, match=rf"2 of 2 images are nowhere .*; {beside} may hold the images: {what}"):
        data.read("auto", tmp_path)


@pytest.mark.parametrize("folder", ["images/", "", "photos/"])
@pytest.mark.parametrize(
    "name",
    [
        "labels.xls",
        "labels.ods",
        "labels.xlsm",
        "labels.numbers",
        "a.json",
        "annotations.xml",
        "labels.txt",
        "a.sav",
        "a.db",
    ],
)
def test_a_file_that_may_name_the_classes_is_named(folder, name, tmp_path):
    lay(tmp_path, *(f"{folder}{n}.jpg" for n in range(3)), **{name: '{"size": 3}'})
    then = "save it as .xlsx or CSV" if name.endswith((".xls", ".ods", ".xlsm", ".numbers")) else "write a labels.csv"
    with pytest.raises(DataError, match=rf"{name}, which may name the classes .*; {then}"):
        data.read("auto", tmp_path)


def test_a_table_without_a_header_is_refused_as_such(tmp_path):
    lay(tmp_path, *IMAGES, labels__csv="0.jpg,nv,7\n1.jpg,mel,8\n2.jpg,nv,9\n")
    with pytest.raises(DataError, match=r"labels\.csv has no header, as its first line names an image, 0\.jpg"):
        data.read("auto", tmp_path)


def test_of_many_columns_the_first_are_named(tmp_path):
    header = ",".join(f"pixel{n:04d}" for n in range(784))
    with pytest.raises(DataError, match="has the columns pixel0000, pixel0001, pixel0002 and 781 more:"):
        data.read("auto", lay(tmp_path, pixels__csv=f"{header}\n"))


def test_a_folder_of_any_class_beside_another_with_images_is_named(tmp_path):
    lay(tmp_path, *(f"data/{name}" for name in CLASSES), "docs/plots/1.png")
    with pytest.raises(DataError, match=r"no known layout; of its folders, data would be read alone"):
        data.read("auto", tmp_path)


def test_images_and_masks_within_class_folders_are_told_apart(tmp_path):
    names = [f"{name}/{kind}/{n}.png" for name in ("mel", "nv") for kind in ("images", "masks") for n in range(2)]
    table = data.read("auto", lay(tmp_path, *names))
    assert (table.classes, {path.parent.name for path in table.paths}) == (("mel", "nv"), {"images"})


def test_a_class_whose_images_all_lie_deeper_is_refused_with_their_place(tmp_path):
    lay(tmp_path, "nv/1.jpg", "mel/early/2.jpg", "mel/late/3.jpg")
    with pytest.raises(
        DataError, match=r"mel: .* 2 images lie in folders within it, such as .*early: if it is a class"
    ):
        data.read("auto", tmp_path)


@pytest.mark.parametrize("name", ["{}.0", "https://x.org/a/{}.jpg?size=1", "/media/{}.jpg?v=2&w=3"])
def test_numbers_of_spreadsheets_and_addresses_with_a_query_are_found(name, tmp_path):
    rows = "".join(f"{name.format(n)},{'ab'[n % 2]}\n" for n in range(4))
    lay(tmp_path, *IMAGES, labels__csv=f"image,label\n{rows}")
    assert [path.name for path in data.read("auto", tmp_path).paths] == [f"{n}.jpg" for n in range(4)]


def test_hdf5_of_isic_2024_is_unpacked_beside_other_folders(tmp_path):
    h5py = pytest.importorskip("h5py", reason="needs h5py: pip install 'dspkd[hdf5]'")
    rows = "".join(f"ISIC_{n},{n % 2},IP_{n}\n" for n in range(4))
    lay(tmp_path, "notebooks/a.txt", "docs/figure.png", **{"train-metadata.csv": f"isic_id,target,patient_id\n{rows}"})
    with h5py.File(tmp_path / "train-image.hdf5", "w") as arrays:
        for n in range(4):
            arrays[f"ISIC_{n}"] = b"jpeg"
    assert len(data.read("auto", tmp_path)) == 4
