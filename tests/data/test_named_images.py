import pytest

from dspkd import data
from dspkd.errors import DataError

# Columns in the order of the published files, cut to those that matter.
PAD = {
    "metadata.csv": "patient_id,lesion_id,age,gender,fitspatrick,region,diagnostic,img_id,biopsed\n"
    "PAT_1,7,55,FEMALE,3.0,NECK,NEV,PAT_1_7_1.png,False\n"
    "PAT_1,8,55,FEMALE,3.0,FACE,BCC,PAT_1_8_2.png,True\n"
    "PAT_2,7,,,,ARM,BCC,PAT_2_7_3.png,True\n",
    "images/imgs_part_1/PAT_1_7_1.png": "",
    "images/imgs_part_1/PAT_1_8_2.png": "",
    "images/imgs_part_2/PAT_2_7_3.png": "",
}
HAM = {
    "HAM10000_metadata.csv": "lesion_id,image_id,dx,dx_type,age,sex,localization,dataset\n"
    "HAM_1,ISIC_1,bkl,histo,80.0,male,scalp,vidir_modern\nHAM_1,ISIC_2,bkl,histo,80.0,male,scalp,vidir_modern\n",
    "HAM10000_images_part_1/ISIC_1.jpg": "",
    "HAM10000_images_part_2/ISIC_2.jpg": "",
}


def lay(root, files):
    for name, text in files.items():
        (root / name).parent.mkdir(exist_ok=True, parents=True)
        (root / name).write_text(text)
    return root


@pytest.mark.parametrize("layout", ["auto", "pad-ufes-20"])
def test_pad_ufes_20_is_read_as_it_is_published(tmp_path, layout):
    table = data.read(layout, lay(tmp_path, PAD))
    assert table.classes == ("BCC", "NEV")
    assert table.labels.tolist() == [1, 0, 0]
    assert table.groups == ("PAT_1", "PAT_1", "PAT_2")
    assert table.ids == ("PAT_1_7_1.png", "PAT_1_8_2.png", "PAT_2_7_3.png")
    assert table.paths[2] == tmp_path / "images/imgs_part_2/PAT_2_7_3.png"
    assert table.attributes["fitspatrick"] == ("3.0", "3.0", "")
    assert sorted(table.attributes) == ["age", "biopsed", "fitspatrick", "gender", "lesion_id", "region"]


@pytest.mark.parametrize("layout", ["auto", "ham10000"])
def test_ham10000_is_read_as_it_is_published(tmp_path, layout):
    table = data.read(layout, lay(tmp_path, HAM))
    assert (table.classes, table.groups) == (("bkl",), ("HAM_1", "HAM_1"))
    assert [path.parent.name for path in table.paths] == ["HAM10000_images_part_1", "HAM10000_images_part_2"]


def test_another_group_may_be_named(tmp_path):
    table = data.read("pad-ufes-20", lay(tmp_path, PAD), group="lesion_id")
    assert table.groups == ("7", "8", "7")
    assert "patient_id" in table.attributes


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"images/imgs_part_2/PAT_2_7_3.png": None}, r"metadata\.csv: 1 of 3 .*: PAT_2_7_3\.png"),
        (
            {"images/imgs_part_3/PAT_1_7_1.png": "another"},
            r"'PAT_1_7_1.png' is .*imgs_part_1.* and .*part_3.*keep one",
        ),
        (
            {"metadata.csv": "patient_id,img_id,diagnostic\nPAT_1,PAT_1_7_1.png,\n"},
            "line 2: column 'diagnostic' is empty",
        ),
        ({"metadata.csv": "patient_id,img_id\nPAT_1,PAT_1_7_1.png\n"}, "no column 'diagnostic'"),
    ],
)
def test_an_incomplete_data_set_is_refused(tmp_path, change, message):
    lay(tmp_path, {name: text for name, text in (PAD | change).items() if text is not None})
    with pytest.raises(DataError, match=message):
        data.read("pad-ufes-20", tmp_path)


def test_images_in_another_format_than_in_the_table_are_found(tmp_path):
    lay(tmp_path, {name.replace("_3.png", "_3.jpg"): text for name, text in PAD.items()})
    table = data.read("auto", tmp_path)
    assert table.ids[2] == "PAT_2_7_3.png"
    assert table.paths[2].name == "PAT_2_7_3.jpg"
    assert table.paths[0].name == "PAT_1_7_1.png"


def test_an_exact_name_is_preferred_to_another_format(tmp_path):
    lay(tmp_path, PAD | {"thumbnails/PAT_1_7_1.jpg": ""})
    assert data.read("auto", tmp_path).paths[0].name == "PAT_1_7_1.png"


def test_a_reduced_copy_of_pad_ufes_20_is_read(shared):
    table = data.read("auto", shared / "data" / "clinical-mini")
    assert (len(table), len(set(table.groups))) == (673, 523)


def test_images_in_hidden_folders_are_ignored(tmp_path):
    lay(tmp_path, PAD | {"images/.imgs_part_1.unpacking/PAT_1_7_1.png": ""})
    assert len(data.read("auto", tmp_path)) == 3
