import pytest

from dspkd.data.readers import isic2019
from dspkd.errors import DataError

HEADER = "image,MEL,NV,BCC,AK,BKL,DF,VASC,SCC,UNK\n"
TRUTH = HEADER + "I1,0,1,0,0,0,0,0,0,0\nI2,1.0,0.0,0.0,0.0,0.0,0.0,0.0,0.0,0.0\nI3,0,0,0,0,0,0,0,1,0\n"
# In another order than the labels: rows must be matched, not zipped.
METADATA = "image,age_approx,anatom_site_general,lesion_id,sex\nI3,70,,,male\nI1,55,head/neck,L1,female\nI2,,,L1,\n"


def lay(folder, name="ISIC_2019_Training", truth=TRUTH, metadata=METADATA, images=("I1", "I2", "I3")):
    (folder / f"{name}_GroundTruth.csv").write_text(truth)
    if metadata is not None:
        (folder / f"{name}_Metadata.csv").write_text(metadata)
    (folder / f"{name}_Input").mkdir()
    for image in images:
        (folder / f"{name}_Input" / f"{image}.jpg").touch()
    return folder


@pytest.mark.parametrize("name", ["ISIC_2019_Training", "ISIC_2019_Test"])
def test_the_published_layout_is_read(tmp_path, name):
    table = isic2019.read(lay(tmp_path, name))
    assert table.classes == ("MEL", "NV", "BCC", "AK", "BKL", "DF", "VASC", "SCC")
    assert table.ids == ("I1", "I2", "I3")
    assert [table.classes[label] for label in table.labels] == ["NV", "MEL", "SCC"]
    assert table.groups == ("L1", "L1", "image:I3")
    assert table.paths[2] == tmp_path / f"{name}_Input" / "I3.jpg"
    assert table.attributes == {
        "age_approx": ("55", "", "70"),
        "anatom_site_general": ("head/neck", "", ""),
        "sex": ("female", "", "male"),
    }


def test_unk_is_a_class_if_it_has_an_image_and_weight_columns_are_ignored(tmp_path):
    truth = TRUTH.replace("I3,0,0,0,0,0,0,0,1,0", "I3,0,0,0,0,0,0,0,0,1")
    truth = truth.replace("\n", ",0.5,0\n").replace("UNK,0.5,0", "UNK,score_weight,validation_weight")
    table = isic2019.read(lay(tmp_path, truth=truth))
    assert table.classes[table.labels[2]] == "UNK"


@pytest.mark.parametrize("metadata", [None, "image,sex\nI1,male\nI2,male\nI3,male\n"], ids=["no file", "no lesions"])
def test_without_lesions_every_image_is_its_own_group(tmp_path, metadata):
    assert isic2019.read(lay(tmp_path, metadata=metadata)).groups == ("image:I1", "image:I2", "image:I3")


def test_groups_may_come_from_another_column(tmp_path):
    table = isic2019.read(lay(tmp_path), group="sex")
    assert table.groups == ("female", "image:I2", "male")
    assert table.attributes["lesion_id"] == ("L1", "L1", "")


def test_tables_can_be_read_without_the_images(tmp_path):
    lay(tmp_path, images=("I2",))
    assert len(isic2019.read(tmp_path, images="unchecked")) == 3
    with pytest.raises(DataError, match=r"GroundTruth\.csv: 2 of 3 .*I1\.jpg, .*I3\.jpg"):
        isic2019.read(tmp_path)


@pytest.mark.parametrize(
    ("truth", "metadata", "message"),
    [
        (TRUTH + "I1,1,0,0,0,0,0,0,0,0\n", METADATA, r"line 5: image 'I1' .*line 2"),
        (HEADER + "I1,0,0,0,0,0,0,0,0,0\n", METADATA, r"line 2: no label: no 1 in MEL, NV"),
        (HEADER + "I1,1,0,1,0,0,0,0,0,0\n", METADATA, r"line 2: 2 labels \(MEL, BCC\)"),
        (HEADER + "I1,1,0,0,0,0,0,odd,0,0\n", METADATA, r"line 2: expected 1 or 0 in .*, got 1, 0, 0, 0, 0, 0, odd"),
        (TRUTH.replace("VASC", "VASK"), METADATA, r"'VASK' .*did you mean 'VASC'"),
        (TRUTH.replace("image", "img"), METADATA, r"'image'; did you mean 'img'"),
        ("image,MEL\nI1,1\n", METADATA, r"no column 'NV'"),
        (TRUTH, METADATA.replace("I2", "I9"), r"Metadata\.csv: no row for 1 .*GroundTruth\.csv: I2"),
        (TRUTH, METADATA + "I4,,,,\n", r"GroundTruth\.csv: no row for 1 .*Metadata\.csv: I4"),
        (TRUTH, METADATA + "I3,,,,\n", r"Metadata\.csv, line 5: image 'I3' .*line 2"),
    ],
)
def test_invalid_tables_are_refused_with_the_line(tmp_path, truth, metadata, message):
    with pytest.raises(DataError, match=message):
        isic2019.read(lay(tmp_path, truth=truth, metadata=metadata))


def test_a_missing_group_column_is_refused(tmp_path):
    with pytest.raises(DataError, match=r"'lesion'; did you mean 'lesion_id'"):
        isic2019.read(lay(tmp_path), group="lesion")
    (tmp_path / "ISIC_2019_Training_Metadata.csv").unlink()
    with pytest.raises(DataError, match=r"Metadata\.csv: .*missing.*'lesion'"):
        isic2019.read(tmp_path, group="lesion")


def test_none_or_two_data_sets_in_a_folder_are_refused(tmp_path):
    with pytest.raises(DataError, match=r"one \*_GroundTruth\.csv .*none"):
        isic2019.read(tmp_path)
    lay(tmp_path, "A")
    lay(tmp_path, "B")
    with pytest.raises(DataError, match=r"A_GroundTruth\.csv, B_GroundTruth\.csv; keep one"):
        isic2019.read(tmp_path)


def test_dermoscopy_150_has_the_published_counts(shared):
    table = isic2019.read(shared / "data/dermoscopy-150")
    images = {name: count for name, (count, _) in table.counts().items()}
    assert images == {"MEL": 912, "NV": 5493, "BCC": 420, "AK": 106, "BKL": 894, "DF": 97, "VASC": 113, "SCC": 166}
    assert (len(table), len(set(table.groups))) == (8201, 6121)


def test_the_tables_of_isic_2019_have_the_published_counts(shared):
    table = isic2019.read(shared / "data/isic2019-tables", images="unchecked")
    images = {name: count for name, (count, _) in table.counts().items()}
    published = {"MEL": 4522, "NV": 12875, "BCC": 3323, "AK": 867, "BKL": 2624, "DF": 239, "VASC": 253, "SCC": 628}
    assert images == published
    assert sum(group.startswith("image:") for group in table.groups) == 2084
    assert len(set(table.groups)) == 11847 + 2084
