"""Each published data set is read from a folder of its own shape: layout, classes, groups, parts, licence."""

import importlib.util
from collections import Counter
from pathlib import Path

import pytest

from dspkd import data
from dspkd.data import licensing, split
from dspkd.data.dataset import Dataset
from dspkd.data.metadata import attributes_of
from dspkd.data.table import is_named
from dspkd.errors import DataError

spec = importlib.util.spec_from_file_location("published_sets", Path(__file__).with_name("published_sets.py"))
published_sets = importlib.util.module_from_spec(spec)
spec.loader.exec_module(published_sets)


def laid(name, root):
    getattr(published_sets, name)(root)
    return data.read("auto", root)


def classes(table):
    return dict(Counter(table.classes[label] for label in table.labels))


ISIC_2018 = ("MEL", "NV", "BCC", "AKIEC", "BKL", "DF", "VASC")
MILK10K = ("AKIEC", "BCC", "BEN_OTH", "BKL", "DF", "INF", "MAL_OTH", "MEL", "NV", "SCCKA", "VASC")
SETS = {
    # set: (layout, {class: images}, column of groups, number of named groups, {part: images}, licences)
    "isic_archive": ("isic-archive", {"Benign": 3, "Malignant": 1}, "patient_id", 2, {}, {"CC-0", "CC-BY", "CC-BY-NC"}),
    "isic2020": ("isic2020", {"benign": 3, "malignant": 3}, "patient_id", 3, {}, {"CC BY-NC 4.0"}),
    "isic2024": ("isic2024", {"benign": 3, "malignant": 3}, "patient_id", 3, {}, {"CC-0"}),
    "isic2018": ("isic2018", dict.fromkeys(ISIC_2018, 3), "lesion_id", 4, 7, set()),
    "isic2016": ("isic2016", {"benign": 3, "malignant": 2}, "", 0, {"train": 3, "test": 2}, {"CC0"}),
    "isic2017": ("isic2017", {"melanoma": 3, "seborrheic keratosis": 3, "nevus": 3}, "", 0, 3, {"CC0"}),
    "milk10k": ("milk10k", None, "lesion_id", 11, {}, {"CC-BY-NC"}),
    "bcn20000": ("bcn20000", {"MEL": 3, "NV": 3}, "lesion_id", 3, {}, {"CC BY-NC 4.0"}),
    "ddi": ("ddi", {"benign": 3, "malignant": 3}, "", 0, {}, {"Stanford University research use agreement"}),
    "fitzpatrick17k": ("fitzpatrick17k", {"disease 0": 2, "disease 1": 2}, "", 0, {}, {"CC BY-NC-SA 3.0"}),
    "derm7pt": (
        "derm7pt", {"melanoma": 6, "nevus": 6}, "case_num", 6, {"train": 8, "val": 2, "test": 2}, {"research use only"},
    ),
    "scin": ("scin", {"Tinea": 2, "Grover's disease": 2, "Eczema": 2}, "case_id", 3, {}, {"SCIN Data Use License"}),
    "panderm": ("csv", {"0": 4, "1": 4}, "", 0, {"train": 4, "val": 2, "test": 2}, set()),
    "dermnet": (
        "imagefolder",
        {"Acne and Rosacea Photos": 6, "Light Diseases and Disorders of Pigmentation": 6},
        "", 0, {"train": 6, "test": 6}, set(),
    ),
    "ham10000": ("ham10000", {"mel": 3, "nv": 3}, "lesion_id", 3, {}, set()),
    "imagefolder": ("imagefolder", {"a": 2, "b": 2}, "", 0, {}, set()),
}  # fmt: skip


@pytest.mark.parametrize("name", SETS)
def test_a_published_set_is_recognised_and_read(name, tmp_path):
    layout, counts, group, groups, parts, licences = SETS[name]
    table = laid(name, tmp_path)
    assert table.origin.layout == layout
    assert counts is None or classes(table) == counts
    assert table.origin.group == group
    assert len({each for each in table.groups if is_named(each)}) == groups
    every = dict.fromkeys(("train", "val", "test"), parts) if isinstance(parts, int) else parts
    assert dict(Counter(table.parts)) == every
    assert set(licensing.counts(table)) == licences
    assert data.read(layout, tmp_path).digest == table.digest


@pytest.mark.parametrize("name", ["derm7pt", "milk10k", "isic2018"])
def test_the_folder_that_an_archive_is_unpacked_into_is_entered(name, tmp_path):
    (tmp_path / "inner").mkdir()
    inside = laid(name, tmp_path / "inner")
    assert data.read("auto", tmp_path).digest == data.read(inside.origin.layout, tmp_path).digest == inside.digest


def test_where_no_patient_is_named_the_lesion_is_the_group(tmp_path):
    table = laid("isic_archive", tmp_path)
    assert table.groups == ("IP_1", "IP_1", "IL_3", "IL_3")
    assert "1 rows of metadata.csv without diagnosis_1 are left out" in table.origin.notes
    finer = data.read("auto", tmp_path, label="diagnosis_3")
    assert classes(finer) == {"Nevus": 2, "Melanoma, NOS": 1}


def test_an_image_without_patient_joins_the_patient_of_its_lesion(tmp_path):
    laid("isic_archive", tmp_path)
    with (tmp_path / "metadata.csv").open("a") as file:
        file.write("ISIC_6,A,CC-0,55,Benign,Nevus,IL_1,,male\n")
    (tmp_path / "ISIC_6.jpg").touch()
    assert data.read("auto", tmp_path).groups == ("IP_1", "IP_1", "IL_3", "IL_3", "IP_1")


def test_images_are_chosen_by_licence(tmp_path):
    laid("isic_archive", tmp_path)
    free = data.load_table(tmp_path, licences=["CC0", "CC BY 4.0"], merge_copies=False)
    assert free.ids == ("ISIC_1", "ISIC_2")
    assert "2 of 4 images are under other licences" in " ".join(free.origin.notes)
    with pytest.raises(DataError, match=r"no image under GPL.*CC-"):
        data.load_table(tmp_path, licences=["GPL"], merge_copies=False)


def test_class_folders_win_over_the_table_of_the_archive_beside_them(tmp_path):
    header = "isic_id,copyright_license,diagnosis_1,lesion_id,patient_id"
    rows = [(f"I{n}", "CC-0", "x", f"L{n}", f"P{n // 2}") for n in range(4)]
    published_sets.table(tmp_path / "metadata.csv", header, rows)
    for n in range(4):
        published_sets.images(tmp_path / "ab"[n % 2], [f"I{n}.jpg"])
    table = data.read("auto", tmp_path)
    assert (table.origin.layout, table.classes, table.groups) == ("folder", ("a", "b"), ("P0", "P1", "P0", "P1"))
    assert licensing.counts(table) == {"CC-0": 4}


@pytest.mark.parametrize(("name", "first"), [("milk10k", "ISIC_0"), ("derm7pt", "N/")])
@pytest.mark.parametrize("kind", ["dermoscopic", "clinical"])
def test_one_image_of_each_case_can_be_chosen(name, first, kind, tmp_path):
    both = laid(name, tmp_path)
    one = data.read(f"{name}-{kind}", tmp_path)
    assert len(one) * 2 == len(both)
    assert all(each.startswith(kind) for each in one.attributes["image_type"])
    assert one.ids[0].startswith(first)


def test_milk10k_keeps_the_label_of_its_lesion(tmp_path):
    table = laid("milk10k", tmp_path)
    for name, label in zip(table.ids, table.labels, strict=True):
        number = int(name.removeprefix("ISIC_")[:-1])
        assert (
            table.classes[label]
            == sorted(["AKIEC", "BCC", "BEN_OTH", "BKL", "DF", "INF", "MAL_OTH", "MEL", "NV", "SCCKA", "VASC"])[number]
        )
    assert "skin type" not in attributes_of(table)


def test_skin_types_are_read_from_each_set(tmp_path):
    found = {name: attributes_of(laid(name, tmp_path / name))["skin type"].values for name in made(tmp_path)}
    assert found == {
        "ddi": ("12", "34", "56", "12", "34", "56"),
        "fitzpatrick17k": ("", "3", "", "3"),
        "scin": ("2",) * 6,
    }


def made(root):
    for name in ("ddi", "fitzpatrick17k", "scin"):
        (root / name).mkdir()
        yield name


def test_another_class_column_can_be_chosen(tmp_path):
    laid("ddi", tmp_path)
    assert len(data.read("auto", tmp_path, label="disease").classes) == 3


@pytest.mark.parametrize(("name", "file"), [("isic2020", "train.csv"), ("isic2024", "train-metadata.csv")])
@pytest.mark.parametrize("suffix", [".0", "."])
def test_targets_that_a_spreadsheet_has_made_fractions_are_the_same(name, file, suffix, tmp_path):
    whole = laid(name, tmp_path)
    header, *rows = (tmp_path / file).read_text().splitlines()
    column = header.split(",").index("target")
    cells = [row.split(",") for row in rows]
    rows = [",".join([*row[:column], f"{row[column]}{suffix}", *row[column + 1 :]]) for row in cells]
    (tmp_path / file).write_text("\n".join([header, *rows]) + "\n")
    assert data.read("auto", tmp_path).digest == whole.digest


def test_a_train_and_a_test_set_get_a_validation_set_out_of_training(tmp_path):
    table = laid("dermnet", tmp_path)
    dataset = Dataset.of(table, data.SplitOptions(val=0.34))
    test = [table.ids[row] for row in dataset.split.places("test")]
    assert all(name.startswith("test/") for name in test)
    assert {name.split("/")[0] for name in (table.ids[row] for row in dataset.split.places("val"))} == {"train"}
    assert split.report(table, dataset.split)["val"]
    assert "it has no validation set" in dataset.how


@pytest.mark.parametrize(
    ("name", "file", "old", "new", "message"),
    [
        ("scin", "scin_labels.csv", "{'Eczema': 1.0}", "Eczema", r"line 4: weighted_skin.*'Eczema'"),
        ("derm7pt", "meta/test_indexes.csv", "5", "6", r"test_indexes\.csv, line 2: '6'"),
        ("milk10k", "MILK10k_Training_GroundTruth.csv", "IL_3,0.0,0.0,0.0,1.0", "IL_3,0.0,1.0,0.0,1.0", "2 labels"),
        ("isic2017", "ISIC-2017_Test_v2_Part3_GroundTruth.csv", "1.0,0.0", "1.0,1.0", r"line 2: .*single 1\.0"),
        ("isic2016", "ISBI2016_ISIC_Part3_Test_GroundTruth.csv", "1.0", "0.4", r"line 2: .*'0\.4'"),
        ("isic2020", "train.csv", "IP_1,male,1", "IP_1,male,2", r"target '2' is no label"),
        ("bcn20000", "bcn_20k_train.csv", "BCN_3.jpg", "BCN_77.jpg", r"1 of 6 images are nowhere .*BCN_77"),
    ],
)
def test_a_fault_is_named_with_its_place(name, file, old, new, message, tmp_path):
    laid(name, tmp_path)
    text = (tmp_path / file).read_text()
    assert old in text
    (tmp_path / file).write_text(text.replace(old, new))
    with pytest.raises(DataError, match=message):
        data.read("auto", tmp_path)
