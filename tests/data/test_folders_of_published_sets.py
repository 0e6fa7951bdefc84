"""Folders beside the classes of a table: noted, doubted where they divide the images otherwise, or refused."""

import pytest

from dspkd import data
from dspkd.errors import DataError

DX = ("mel", "nv", "bcc", "akiec", "bkl", "df", "vasc")
MALIGNANT = (0, 2, 3)


def ham(root, folder_of):
    """Create HAM10000 of 14 images, each in the folder ``folder_of(number)``."""
    rows = []
    for n in range(14):
        (root / folder_of(n)).mkdir(parents=True, exist_ok=True)
        (root / folder_of(n) / f"ISIC_{n}.jpg").write_text(str(n))
        rows.append(f"HAM_{n // 2},ISIC_{n},{DX[n % 7]},histo")
    (root / "HAM10000_metadata.csv").write_text("\n".join(["lesion_id,image_id,dx,dx_type", *rows]) + "\n")
    return root


def said(table):
    return [line for line in table.origin.notes if "folders" in line], [
        line for line in table.origin.doubts if "folders" in line
    ]


def test_folders_that_put_classes_together_are_noted(tmp_path):
    table = data.read("auto", ham(tmp_path, lambda n: "malignant" if n % 7 in MALIGNANT else "benign"))
    assert table.classes == tuple(sorted(DX))
    notes, doubts = said(table)
    assert len(notes) == 1
    assert "benign, malignant" in notes[0]
    assert not doubts


@pytest.mark.parametrize("folders", [("benign", "malignant"), ("data/benign", "data/malignant"), ("light", "dark")])
def test_folders_that_divide_the_images_otherwise_than_the_classes_are_doubted(folders, tmp_path):
    notes, doubts = said(data.read("auto", ham(tmp_path, lambda n: folders[n % 2])))
    assert (len(notes), len(doubts)) == (0, 1)
    assert f"data.layout = '{'imagefolder' if '/' in folders[0] else 'folder'}'" in doubts[0]


def test_an_image_in_the_folder_of_another_class_is_refused(tmp_path):
    root = ham(tmp_path, lambda n: "NV" if n == 0 else DX[n % 7])
    with pytest.raises(DataError, match=r"folder 'NV'.*1 of .*'mel'.*data\.layout"):
        data.read("auto", root)
    assert len(data.read("ham10000", root)) == 14


@pytest.mark.parametrize("folder", ["HAM10000_images_part_1", "patient_{}", "images", DX])
def test_folders_of_any_class_of_patients_and_of_the_classes_are_not_mentioned(folder, tmp_path):
    table = data.read("auto", ham(tmp_path, lambda n: folder[n % 7] if folder is DX else folder.format(n)))
    assert said(table) == ([], [])


@pytest.mark.parametrize("label", ["label", "dx"])
def test_a_table_of_labels_that_contradicts_the_folder_it_names_is_doubted(label, tmp_path):
    for name in ("mel/0.jpg", "mel/1.jpg", "nv/2.jpg", "nv/3.jpg"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    (tmp_path / "t.csv").write_text(f"path,{label}\nmel/0.jpg,mel\nmel/1.jpg,nv\nnv/2.jpg,nv\nnv/3.jpg,nv\n")
    _, doubts = said(data.read("auto", tmp_path, label=None if label == "label" else label))
    assert len(doubts) == (label == "label")
