"""What may name the parts of a published split and is not understood is refused or said, never passed over."""

import shutil

import pytest
from PIL import Image

from dspkd import data
from dspkd.data.dataset import SplitOptions
from dspkd.data.part_names import part_of, parts_of, split_column, unclear_column, unclear_folders
from dspkd.experiments.own_images import facts


@pytest.mark.parametrize(
    ("name", "part"),
    [
        ("Trainingsset", "train"),
        ("apprentissage", "train"),
        ("Entraînement", "train"),
        ("entrenamiento", "train"),
        ("02_Validierung", "val"),
        ("validación", "val"),
        ("prueba", "test"),
        ("PrivateTest", "test"),
        ("external_validation", "test"),
        ("internal validation", "val"),
        ("derivation", None),
        ("latest", None),
        ("12", None),
    ],
)
def test_parts_are_recognised_in_other_words(name, part):
    assert part_of(name) == part


@pytest.mark.parametrize(
    ("column", "cells"),
    [
        ("is_test", ("0", "1", "0")),
        ("holdout", ("False", "True", "False")),
        ("split", ("0", "1", "2")),
        ("Fold", ("1", "2", "3")),
        ("image_split", ("a", "b", "a")),
        ("cohort", ("derivation", "external", "derivation")),
        ("Verwendung", ("Training", "Andere", "Andere")),
    ],
)
def test_a_column_that_may_be_a_split_is_found(column, cells):
    columns = {"sex": ("m", "f", "m"), column: cells}
    assert split_column(columns) is None
    assert unclear_column(columns) == column


@pytest.mark.parametrize(
    ("column", "cells"),
    [("site", ("arm", "leg")), ("part", ("arm", "leg")), ("split", ("train", "train")), ("fold", ("1", ""))],
)
def test_other_columns_are_none(column, cells):
    assert unclear_column({column: cells}) is None


def test_folders_are_unclear_where_only_some_are_parts():
    assert unclear_folders(["a/NV/1", "validation/NV/2"]) == ("validation",)
    assert unclear_folders(["val/NV/1", "test/NV/2"]) == ("test", "val")
    assert unclear_folders(["test/NV/1", "test/NV/2"]) == ()
    assert unclear_folders(["clinic A/NV/1", "clinic B/NV/2"]) == ()
    assert parts_of(["train", "test"]) == {"train": "train", "test": "test"}
    assert unclear_folders(["train/NV/1", "test/NV/2"]) == ()


@pytest.fixture(scope="module")
def squares(tmp_path_factory):
    """Return a table of 24 images of two classes with a column `is_test`."""
    folder = tmp_path_factory.mktemp("squares")
    rows = ["path,label,patient,is_test"]
    for n in range(24):
        Image.new("RGB", (8, 8), (10 * n, 200 - 5 * n, 90)).save(folder / f"{n}.png")
        rows.append(f"{n}.png,{'NV' if n % 2 else 'MEL'},p{n},{int(n > 18)}")
    (folder / "images.csv").write_text("\n".join(rows))
    return folder


def test_a_random_split_beside_such_a_column_is_the_first_warning(squares):
    dataset = data.load(squares)
    assert "column 'is_test' (0, 1) may name the parts" in dataset.warnings[0]
    assert "published test images may be trained on" in dataset.warnings[0]
    chosen = data.load(squares, split=SplitOptions(official=False))
    assert not any("may name" in warning for warning in chosen.warnings)
    assert "split.official = false" in chosen.how


def test_it_is_the_first_caution_about_ones_own_images(squares, tmp_path):
    found = facts.look(squares, tmp_path)
    assert found.cautions[0].startswith("Column 'is_test' (0, 1) may name the parts of a published split")


def test_folders_of_which_some_are_parts_are_a_warning_too(squares, tmp_path):
    for n in range(24):
        target = tmp_path / ("validation" if n > 18 else "somewhere") / ("NV" if n % 2 else "MEL")
        target.mkdir(parents=True, exist_ok=True)
        shutil.copy(squares / f"{n}.png", target)
    assert "the folders validation are called like parts of a split" in data.load(tmp_path).warnings[0]
