import pytest

from dspkd import data
from dspkd.data import Dataset, SplitOptions, load, load_table
from dspkd.data import split as splits
from dspkd.data.data_card import card
from dspkd.errors import DataError

PARTS = ("train", "train", "val", "test")


@pytest.fixture
def folder(tmp_path):
    """Four images of three lesions; the column "part" puts lesion L1 into training and test."""
    for number in range(4):
        (tmp_path / f"{number}.jpg").touch()
    rows = (
        f"{n}.jpg,{label},{group},{part}\n"
        for n, (label, group, part) in enumerate(zip("XYXX", "1231", PARTS, strict=True))
    )
    (tmp_path / "images.csv").write_text("path,label,group,part\n" + "".join(rows))
    return tmp_path


@pytest.mark.parametrize("layout", ["auto", "isic2019"])
def test_by_default_a_data_set_is_split_by_lesion(lesions, layout):
    dataset = load(str(lesions), layout=layout)
    assert dataset.table.digest == data.read("isic2019", lesions).digest
    assert dataset.split.digest == splits.split(dataset.table).digest
    assert dataset.leak is None


def test_shares_and_seed_are_passed_on(lesions):
    dataset = load(lesions, split=SplitOptions(val=0.1, test=0.3, seed=4))
    assert dataset.split.digest == splits.split(dataset.table, val=0.1, test=0.3, seed=4).digest


def test_the_group_column_is_passed_on(folder):
    assert load_table(folder, group="part").groups == PARTS


def test_a_class_map_is_applied(folder):
    (folder / "map.toml").write_text('drop = ["Y"]\n[classes]\nnew = ["X"]\n')
    table = load_table(folder, classes=str(folder / "map.toml"))
    assert (table.classes, table.ids) == (("new",), ("0.jpg", "2.jpg", "3.jpg"))


def test_a_split_file_is_read(lesions, tmp_path):
    dataset = load(lesions, split=SplitOptions(seed=7))
    dataset.split.save(tmp_path / "split.csv", dataset.table)
    again = load(lesions, split=SplitOptions(file=str(tmp_path / "split.csv")))
    assert again.split.digest == dataset.split.digest


def test_a_leaking_split_needs_a_waiver(folder):
    with pytest.raises(DataError, match=r"split\.column = 'part': 1 lesion or patient .*split\.waiver"):
        load(folder, split=SplitOptions(column="part"))
    dataset = load(folder, split=SplitOptions(column="part", waiver="as X did"))
    assert dataset.split.parts.tolist() == list(PARTS)
    assert dataset.leak is not None
    assert (dataset.leak.waiver, dataset.leak.groups, dataset.leak.known) == ("as X did", 1, 1)


def test_a_leaking_split_is_refused_by_its_source(lesions, tmp_path):
    with pytest.raises(DataError, match=r"^split\.by = 'image': "):
        load(lesions, split=SplitOptions(by="image"))
    dataset = load(lesions, split=SplitOptions(by="image", waiver="test"))
    dataset.split.save(tmp_path / "split.csv", dataset.table)
    with pytest.raises(DataError, match=r"split\.csv: \d+ lesions or patients"):
        load(lesions, split=SplitOptions(file=tmp_path / "split.csv"))


def test_the_data_card_is_computed_once(lesions):
    dataset = Dataset.of(load_table(lesions))
    assert dataset.card == card(dataset.table, dataset.split)
    assert dataset.card is dataset.card


@pytest.mark.parametrize(
    ("options", "message"),
    [({"file": "a.csv", "column": "part"}, "file and column"), ({"waiver": " "}, r"split\.waiver is empty")],
)
def test_contradictory_options_are_refused(options, message):
    with pytest.raises(DataError, match=message):
        SplitOptions(**options)
