"""Images by the names of a table: in which folder they must lie, and how else their names may be written."""

import unicodedata

import pytest

from dspkd import data
from dspkd.errors import DataError

SPLIT = "image,label,split\ntrain/0.png,nv,train\ntrain/1.png,mel,train\ntest/0.png,nv,test\ntest/1.png,mel,test\n"


def lay(root, table, *names, file="labels.csv"):
    (root / file).write_text(table)
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(name)
    return root


def test_a_missing_image_is_not_replaced_by_one_of_another_folder(tmp_path):
    lay(tmp_path, SPLIT, "train/0.png", "train/1.png", "test/0.png")
    with pytest.raises(DataError, match=r"1 of 4 images .*: test/1\.png; files of these names .*such as train/1\.png"):
        data.read("auto", tmp_path)


@pytest.mark.parametrize("names", ["", "/a/set/", "C:\\set\\", "images/"])
def test_folders_that_are_nowhere_here_do_not_matter(tmp_path, names):
    table = SPLIT.replace("\nt", f"\n{names}t").replace("test/", "Test/")
    lay(tmp_path, table, *(f"images/{part}/{n}.png" for part in ("train", "test") for n in range(2)))
    ends = [path.relative_to(tmp_path).as_posix() for path in data.read("csv", tmp_path / "labels.csv").paths]
    assert ends == [f"images/{name}.png" for name in ("train/0", "train/1", "test/0", "test/1")]


def test_two_names_of_one_file_are_refused(tmp_path):
    lay(tmp_path, "image,label\nx0.png,nv\nx1.png,mel\nx0,mel\n", "x0.png", "x1.png")
    with pytest.raises(DataError, match=r"labels\.csv: 'x0\.png' and 'x0' are both .*x0\.png; keep one row"):
        data.read("auto", tmp_path)
    lay(tmp_path, "image,label\nx0.png,nv\nx1.png,mel\n./x0.png,mel\n")
    with pytest.raises(DataError, match=r"'x0\.png' and '\./x0\.png' are both"):
        data.read("auto", tmp_path)


def test_accents_may_be_written_as_macos_does(tmp_path):
    names = [f"rücken{n}.png" for n in range(2)]
    composed = [unicodedata.normalize("NFC", name) for name in names]
    lay(
        tmp_path,
        f"image,label\n{composed[0]},nv\n{composed[1]},mel\n",
        *(f"images/{unicodedata.normalize('NFD', name)}" for name in names),
    )
    assert len(data.read("auto", tmp_path)) == 2


@pytest.mark.parametrize("name", ["data/img/{}.png", "{}", "C:\\img\\{}.png"])
def test_a_column_called_path_finds_its_files_as_others_do(tmp_path, name):
    rows = "".join(f"{name.format(image)},{label}\n" for image, label in (("0", "nv"), ("x1", "mel")))
    table = data.read("auto", lay(tmp_path, f"path,label\n{rows}", "0.png", "x1.png"))
    assert [path.name for path in table.paths] == ["0.png", "x1.png"]


@pytest.mark.parametrize("name", ["{}/{}0.png", "{}\\{}0.png", "./{}/{}0.png", "other/{}/{}0.PNG", "{1}0.PNG", "{1}0"])
def test_metadata_beside_classes_name_images_in_any_spelling(tmp_path, name):
    rows = "".join(f"{name.format(folder, folder.upper())},P{folder}\n" for folder in ("nv", "mel"))
    lay(tmp_path, f"file,patient\n{rows}", "nv/nv0.png", "mel/mel0.png", file="meta.csv")
    assert data.read("auto", tmp_path).groups == ("Pmel", "Pnv")


def test_metadata_beside_classes_name_no_image_of_another_class(tmp_path):
    table = "file,patient\nnv/0.png,P0\nnv/1.png,P1\nmel/2.png,P2\n"
    lay(tmp_path, table, "nv/0.png", "mel/1.png", "mel/2.png", file="meta.csv")
    with pytest.raises(DataError, match=r"line 3: file 'nv/1\.png' is no image .*another folder: mel/1\.png"):
        data.read("auto", tmp_path)


def test_metadata_of_the_hugging_face_hub_may_have_backslashes(tmp_path):
    table = "file_name,label\nimages\\0.png,nv\nimages\\1.png,mel\n"
    lay(tmp_path, table, "images/0.png", "images/1.png", file="metadata.csv")
    assert data.read("auto", tmp_path).ids == ("images/0.png", "images/1.png")
