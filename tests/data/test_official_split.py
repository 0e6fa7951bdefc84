"""Parts as published: folders and columns of any spelling, a missing part, parts of unknown name."""

from pathlib import Path

import numpy as np
import pytest

from dspkd import data
from dspkd.data import SplitOptions, official_split
from dspkd.data.part_names import part_of, parts_of, split_column
from dspkd.data.split import Split
from dspkd.errors import DataError


def lay(root, parts, classes=("MEL", "NV"), images=6, pattern="{part}/{name}/{n}.jpg"):
    for part in parts:
        for name in classes:
            for n in range(images):
                file = root / pattern.format(part=part, name=name, n=f"{part}{name}{n}")
                file.parent.mkdir(parents=True, exist_ok=True)
                file.touch()
    return root


def load(path, **options):
    return data.load(path, split=SplitOptions(**options), merge_copies=False)


@pytest.mark.parametrize(
    ("part", "names"),
    [
        ("train", ["train", "Train", "TRAINING", "training_set", "Train Data", "images-train"]),
        ("val", ["val", "valid", "Validation", "dev", "VAL_set", "development"]),
        ("test", ["test", "Test", "testing", "test_images", "held-out", "evaluation"]),
        (None, ["melanoma", "train3", "contest", "latest", "fold_1", "", "trainer"]),
    ],
)
def test_names_of_parts(part, names):
    assert {part_of(name) for name in names} == {part}


def test_eval_is_for_validation_beside_a_test_set_and_the_test_set_without():
    assert parts_of(["train", "eval", "test"]) == {"train": "train", "eval": "val", "test": "test"}
    assert parts_of(["train", "eval"]) == {"train": "train", "eval": "test"}


@pytest.mark.parametrize("pattern", ["{part}/{name}/{n}.jpg", "{name}/{part}/{n}.jpg", "skin/{part}/{name}/{n}.jpg"])
@pytest.mark.parametrize(
    "parts", [("train", "val", "test"), ("Training", "valid", "TESTING"), ("train_set", "dev", "eval")]
)
def test_folders_are_parts_and_never_classes(tmp_path, pattern, parts):
    dataset = load(lay(tmp_path, parts, pattern=pattern))
    assert dataset.table.classes == ("MEL", "NV")
    expected = dict(zip(parts, ("train", "val", "test"), strict=True))
    for file, part in zip(dataset.table.paths, dataset.split.parts, strict=True):
        assert part == next(expected[name] for name in file.parts if name in expected)
    assert "as published, by folders" in dataset.how


def test_a_missing_validation_set_is_taken_out_of_training_alone(tmp_path):
    dataset = load(lay(tmp_path, ("Train", "Test"), images=20), val=0.2)
    test = [
        path.parts[-3] for path, part in zip(dataset.table.paths, dataset.split.parts, strict=True) if part == "test"
    ]
    assert test == ["Test"] * 40
    assert (dataset.split.parts == "val").sum() == 8
    assert "no validation set, so 20% of the training images become one" in dataset.how


def test_a_missing_test_set_is_taken_out_of_training(tmp_path):
    dataset = load(lay(tmp_path, ("train", "val"), images=20))
    val = {path.parts[-3] for path, part in zip(dataset.table.paths, dataset.split.parts, strict=True) if part == "val"}
    assert (val, (dataset.split.parts == "test").sum()) == ({"val"}, 8)


def test_a_validation_set_is_taken_by_lesion(tmp_path):
    rows = [f"{n}.jpg,{'ab'[n // 3 % 2]},L{n // 3},{'train' if n < 60 else 'test'}" for n in range(72)]
    for n in range(72):
        (tmp_path / f"{n}.jpg").touch()
    (tmp_path / "t.csv").write_text("path,label,lesion_id,Set\n" + "\n".join(rows))
    dataset = load(tmp_path)
    parts = {group: set() for group in dataset.table.groups}
    for group, part in zip(dataset.table.groups, dataset.split.parts.tolist(), strict=True):
        parts[group].add(part)
    assert all(len(each) == 1 for each in parts.values())
    assert "column 'Set'" in dataset.how
    assert "by lesion or patient" in dataset.how


def test_another_split_must_be_requested_and_is_stated(tmp_path):
    dataset = load(lay(tmp_path, ("train", "test"), images=20), official=False)
    moved = {
        path.parts[-3] for path, part in zip(dataset.table.paths, dataset.split.parts, strict=True) if part == "test"
    }
    assert moved == {"train", "test"}
    assert "folders train, test) are not used, as split.official = false" in dataset.how


@pytest.mark.parametrize("column", ["split", "Set", "partition", "anything"])
def test_a_column_of_parts_is_found_by_its_cells(column):
    cells = ("Training", "valid", "TEST")
    assert split_column({"sex": ("m", "f", "m"), column: cells}) == column


@pytest.mark.parametrize("cells", [("a", "b", "c"), ("train",) * 3, ("0", "1", "2"), ("val", "test", "val")])
def test_a_column_without_parts_is_no_split(cells):
    assert split_column({"split": cells, "dataset": ("HAM", "BCN", "MSK")}) is None


def test_an_unknown_part_is_refused_in_one_line(tmp_path):
    lay(tmp_path, ("train", "test", "extra"))
    with pytest.raises(
        DataError, match=r"folders train, test names no known part for 12 .*extra/.*split\.official = false"
    ):
        load(tmp_path)
    assert load(tmp_path, official=False).table.classes == ("MEL", "NV")
    table = data.read("auto", tmp_path)
    with pytest.raises(DataError, match="'split'"):
        official_split.from_column(table, "split")


def test_parts_that_hold_images_directly_are_no_classes(tmp_path):
    for name in ("train/1.jpg", "test/2.jpg"):
        (tmp_path / name).parent.mkdir()
        (tmp_path / name).touch()
    with pytest.raises(DataError, match="are parts, not classes"):
        data.read("auto", tmp_path)


def test_one_table_for_each_part(tmp_path):
    for part in ("train", "val", "test"):
        names = [f"{part}{n}.jpg" for n in range(2)]
        for name in names:
            (tmp_path / name).touch()
        (tmp_path / f"{part}.csv").write_text(
            "image,label\n" + "".join(f"{x},{c}\n" for x, c in zip(names, "ab", strict=True))
        )
    assert load(tmp_path).split.parts.tolist() == ["test", "test", "train", "train", "val", "val"]


@pytest.mark.parametrize("written", ["absolute", "linked"])
@pytest.mark.parametrize("given", ["absolute", "relative", "dots", "link", "elsewhere"])
def test_folders_are_parts_however_the_path_of_the_data_set_is_written(tmp_path, monkeypatch, written, given):
    root = lay(tmp_path / "set", ("train", "test"), images=2)
    (tmp_path / "link").symlink_to(root)
    base = root if written == "absolute" else tmp_path / "link"
    rows = [f"{base / file.relative_to(root)},{file.parent.name}" for file in sorted(root.rglob("*.jpg"))]
    table = tmp_path / "else/labels.csv" if given == "elsewhere" else root / "labels.csv"
    table.parent.mkdir(exist_ok=True)
    table.write_text("\n".join(["path,label", *rows]) + "\n")
    monkeypatch.chdir(tmp_path)
    path = {"absolute": root, "relative": "set", "dots": "else/../set", "link": "link", "elsewhere": "else"}[given]
    (tmp_path / "else").mkdir(exist_ok=True)
    parts = data.read("auto", Path(path)).parts
    assert parts == ("test",) * 4 + ("train",) * 4


@pytest.mark.parametrize("parts", [("train", "val", "test"), ("train", "test")])
def test_a_class_that_only_the_published_test_set_has_is_refused_with_what_to_do(parts, tmp_path):
    lay(tmp_path, parts)
    lay(tmp_path, ("test",), classes=("DF",))
    alone = r"class 'DF' is in the test set alone \({}\); drop it with data\.classes, or {}"
    with pytest.raises(DataError, match=alone.format("folders train, .*", "resplit with split.official")):
        load(tmp_path)
    with pytest.raises(DataError, match=alone.format("column 'split'", "leave split.column out")):
        load(tmp_path, column="split")
    file, table = tmp_path.with_suffix(".csv"), data.read("auto", tmp_path)
    Split(np.array(table.parts)).save(file, table)
    with pytest.raises(DataError, match=alone.format(".*[.]csv", "change that file")):
        load(tmp_path, file=str(file))
    assert len(load(tmp_path, official=False).split.places("train"))
    lay(tmp_path, ("train",), classes=("DF",))
    assert load(tmp_path).table.classes == ("DF", "MEL", "NV")
