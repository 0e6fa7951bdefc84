"""Tables in the folders above or within those of classes: joined by the images they name, or said to be left out."""

import pytest

from dspkd import data
from dspkd.data import assumptions
from dspkd.errors import DataError

CLASSES = ("mel", "nv")


def lay(root, pattern, **tables):
    """Create images ``pattern.format(part=..., c=...)``, and tables ``{path: columns}`` of those below each."""
    files = []
    for part in ("train", "test") if "{part}" in pattern else ("",):
        files += [root / pattern.format(part=part, c=c) / f"{part}{c}{n}.jpg" for c in CLASSES for n in range(4)]
    for file in files:
        file.parent.mkdir(parents=True, exist_ok=True)
        file.touch()
    for place, columns in tables.items():
        for file in {root / place.format(part=part, c=c) for part in ("train", "test") for c in CLASSES}:
            own = [each for each in files if each.is_relative_to(file.parent)]
            cells = {
                "patient_id": lambda each: f"P{each.stem[-3:-1]}{int(each.stem[-1]) // 2}",
                "label": lambda each: each.parent.name,
                "diagnosis_1": lambda _: "Benign",
                "age": lambda _: "40",
            }
            rows = [",".join([each.stem, *(cells[name](each) for name in columns)]) for each in own]
            file.write_text("\n".join([",".join(["isic_id", *columns]), *rows]) + "\n")
    return root


@pytest.mark.parametrize(
    ("pattern", "table", "columns"),
    [
        ("images/{c}", "patients.csv", ["patient_id"]),
        ("images/{c}", "metadata.csv", ["patient_id", "age"]),
        ("dataset/{part}/{c}", "patients.csv", ["patient_id"]),
        ("a/dataset/{c}", "patients.csv", ["patient_id"]),
        ("{c}", "{c}/metadata.csv", ["diagnosis_1", "patient_id", "age"]),
        ("{part}/{c}", "{part}/{c}/metadata.csv", ["diagnosis_1", "patient_id"]),
        ("{part}/{c}", "{part}/labels.csv", ["label", "patient_id"]),
    ],
)
def test_a_table_above_or_within_the_folders_of_classes_gives_the_patients(pattern, table, columns, tmp_path):
    read = data.read("auto", lay(tmp_path, pattern, **{table: columns}))
    assert (read.classes, read.origin.group) == (CLASSES, "patient_id")
    assert len(set(read.groups)) == 4
    assert read.attributes.get("age", ("40",)) == ("40",) * (len(read) if "age" in columns else 1)
    assert not assumptions.warnings(read)


def test_people_in_two_parts_are_seen_by_a_table_in_each(tmp_path):
    lay(tmp_path, "{part}/{c}", **{"{part}/labels.csv": ["label", "patient_id"]})
    with pytest.raises(DataError, match="4 lesions or patients in more than one part"):
        data.load(tmp_path, merge_copies=False)


def test_names_that_begin_anew_in_each_part_are_those_of_the_table_beside(tmp_path):
    for part, age in (("train", 1), ("test", 2)):
        for c in CLASSES:
            (tmp_path / part / c).mkdir(parents=True)
            (tmp_path / part / c / f"{c}.jpg").touch()
        (tmp_path / part / "t.csv").write_text(f"image,age\nmel.jpg,{age}\nnv.jpg,{age}\n")
    table = data.read("auto", tmp_path)
    assert dict(zip(table.ids, table.attributes["age"], strict=True))["train/nv/nv.jpg"] == "1"


def test_a_table_of_one_class_gives_the_patients_of_this_class_and_the_others_are_warned_of(tmp_path):
    lay(tmp_path, "{c}", **{"mel/metadata.csv": ["patient_id"]})
    table = data.read("auto", tmp_path)
    assert table.counts() == {"mel": (4, 2), "nv": (4, 0)}
    assert "4 of 8 images have no lesion or patient id" in assumptions.warnings(table)[0]


@pytest.mark.parametrize(
    ("place", "text"),
    [
        ("images/mel/t.csv", "image,patient_id\nother,P1\n"),
        ("images/mel/t.csv", "image,patient_id\nmel0,P1\nmel0,P2\n"),
        ("t.csv", "name,patient_id\nmel0,P1\n"),
        ("t.csv", "image,patient_id\nother,P1\n"),
    ],
)
def test_a_table_with_ids_that_cannot_be_joined_is_warned_of(place, text, tmp_path):
    lay(tmp_path, "images/{c}")
    (tmp_path / place).write_text(text)
    said = [line for line in assumptions.warnings(data.read("auto", tmp_path)) if "t.csv has the column" in line]
    assert "'patient_id' and is not read" in said[0]
    assert "training and test set" in said[0]


@pytest.mark.parametrize("place", ["meta/patients.csv", "images/patients.csv"])
def test_a_table_in_another_folder_than_that_of_the_labels_is_warned_of(place, tmp_path):
    lay(tmp_path, "images")
    rows = [f"{c}{n}.jpg,{c}" for c in CLASSES for n in range(4)]
    (tmp_path / "labels.csv").write_text("\n".join(["image,label", *rows]) + "\n")
    (tmp_path / place).parent.mkdir(exist_ok=True)
    (tmp_path / place).write_text("image,patient_id\nmel0,P1\n")
    assert place in " ".join(assumptions.warnings(data.read("auto", tmp_path)))
    (tmp_path / "labels.csv").write_text("\n".join(["image,label,Patient-ID", *(f"{row},P1" for row in rows)]) + "\n")
    assert place not in " ".join(assumptions.warnings(data.read("auto", tmp_path)))


def test_a_table_above_that_of_the_labels_is_warned_of(tmp_path):
    lay(tmp_path / "images", ".")
    rows = [f"{c}{n}.jpg,{c}" for c in CLASSES for n in range(4)]
    (tmp_path / "images/labels.csv").write_text("\n".join(["image,label", *rows]) + "\n")
    (tmp_path / "patients.csv").write_text("image,patient_id\nmel0,P1\n")
    assert "patients.csv has the column 'patient_id'" in " ".join(assumptions.warnings(data.read("auto", tmp_path)))


def test_a_layout_may_be_named_where_a_table_lies_above_it(tmp_path):
    lay(tmp_path, "images/{c}", **{"patients.csv": ["patient_id"]})
    table = data.read("folder", tmp_path)
    assert (table.classes, table.root) == (CLASSES, tmp_path / "images")
    assert "patients.csv has the column" in " ".join(assumptions.warnings(table))
