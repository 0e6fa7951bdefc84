"""Published sets with another table beside theirs, such as that of patients; and in folders called otherwise."""

import csv

import pytest

from dspkd import data
from dspkd.errors import DataError

ISIC = [f"ISIC_{n:07}" for n in range(14)]
CLASSES_2018 = "MEL,NV,BCC,AKIEC,BKL,DF,VASC"
CLASSES_2019 = "MEL,NV,BCC,AK,BKL,DF,VASC,SCC,UNK"


def lay(root, images, **tables):
    """Create images, and tables ``{name without suffix: rows}`` of which a list of texts is the header."""
    for image in images:
        (root / image).parent.mkdir(parents=True, exist_ok=True)
        (root / image).write_text(image)
    for name, rows in tables.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        with (root / f"{name}.csv").open("w", newline="") as file:
            csv.writer(file).writerows(rows)
    return root


def one_hot(columns):
    names = columns.split(",")
    return [
        ["image", *names],
        *([image, *(float(n % 7 == k) for k in range(len(names)))] for n, image in enumerate(ISIC)),
    ]


def of(names, column, **columns):
    """Return rows with a name of two images in a row in each of the columns, such as ``patient_id``."""
    return [
        [column, *columns],
        *([name, *(f"{each}{n // 2}" for each in columns.values())] for n, name in enumerate(names)),
    ]


METADATA = of(ISIC, "image", lesion_id="L")
CLI = of(ISIC, "isic_id", diagnosis_1="d", copyright_license="CC", lesion_id="L", patient_id="P")
HAM = [
    ["lesion_id", "image_id", "dx"],
    *([f"HAM_{n // 2}", image, ("mel", "nv")[n % 2]] for n, image in enumerate(ISIC)),
]
NUMBERS = [f"{n:06}.png" for n in range(8)]
HASHES = [f"{n:032x}" for n in range(8)]
TRAIN_2020 = [["image_name", "patient_id", "target"], *([each, "", n % 2] for n, each in enumerate(ISIC))]
SETS = {
    "isic2018": ([f"ISIC2018_Task3_Training_Input/{each}.jpg" for each in ISIC],
                 {"ISIC2018_Task3_Training_GroundTruth": one_hot(CLASSES_2018), "HAM10000_metadata": HAM}),
    "isic2019": ([f"ISIC_2019_Training_Input/{each}.jpg" for each in ISIC],
                 {"ISIC_2019_Training_GroundTruth": one_hot(CLASSES_2019), "metadata": METADATA}),
    "isic2019 in folders": (
        [f"ISIC_2019_Training_Input/{each}.jpg" for each in ISIC],
        {f"ISIC_2019_Training_{each}/ISIC_2019_Training_{each}": rows
         for each, rows in (("GroundTruth", one_hot(CLASSES_2019)), ("Metadata", METADATA))}),
    "isic2016": ([f"ISBI2016_ISIC_Part3_Training_Data/{each}.jpg" for each in ISIC],
                 {"ISBI2016_ISIC_Part3_Training_GroundTruth":
                  [[each, ("benign", "malignant")[n % 2]] for n, each in enumerate(ISIC)], "metadata": CLI}),
    "isic2017": ([f"ISIC-2017_Training_Data/{each}.jpg" for each in ISIC],
                 {"ISIC-2017_Training_Part3_GroundTruth":
                  [["image_id", "melanoma", "seborrheic_keratosis"],
                   *([each, float(n % 3 == 0), float(n % 3 == 1)] for n, each in enumerate(ISIC))], "metadata": CLI}),
    "fitzpatrick17k": ([f"images/{each}.jpg" for each in HASHES],
                       {"fitzpatrick17k": [["md5hash", "fitzpatrick_scale", "label", "nine_partition_label"],
                                           *([each, n % 6, "ab"[n % 2], "x"] for n, each in enumerate(HASHES))],
                        "patients": of(HASHES, "md5hash", patient_id="P")}),
    "ddi": ([f"images/{each}" for each in NUMBERS],
            {"ddi_metadata": [["DDI_ID", "DDI_file", "skin_tone", "malignant", "disease"],
                              *([n, each, 12, n % 2 == 0, "x"] for n, each in enumerate(NUMBERS))],
             "patients": of(NUMBERS, "DDI_file", patient_id="P")}),
    "isic-archive": ([f"{each}.jpg" for each in ISIC],
                     {"metadata": [["isic_id", "diagnosis_1", "copyright_license"],
                                   *([each, "ab"[n % 2], "CC-0"] for n, each in enumerate(ISIC))],
                      "supplement": of(ISIC, "image", patient_id="P")}),
    "isic2020": ([f"train/{each}.jpg" for each in ISIC],
                 {"train": TRAIN_2020, "meta": of(ISIC, "image_name", lesion_id="L")}),
    "isic2020 without patients": (
        [f"train/{each}.jpg" for each in ISIC],
        {"train": TRAIN_2020, "patients": of(ISIC, "image_name", patient_id="P")}),
    "ham10000": ([f"HAM10000_images_part_1/{each}.jpg" for each in ISIC],
                 {"HAM10000_metadata": HAM, "patients": of(ISIC, "image_id", patient_id="P")}),
    "scin": ([f"dataset/images/{n}.png" for n in range(4)],
             {"scin_cases": [["case_id", "image_1_path"], *([f"c{n}", f"dataset/images/{n}.png"] for n in range(4))],
              "scin_labels": [["case_id", "weighted_skin_condition_label"],
                              *([f"c{n}", "{'Eczema': 1.0}"] for n in range(4))],
              "people": of([f"c{n}" for n in range(4)], "case_id", patient_id="P")}),
}  # fmt: skip


@pytest.mark.parametrize("name", SETS)
def test_a_table_beside_a_published_set_gives_lesions_and_patients(name, tmp_path):
    images, tables = SETS[name]
    table = data.read("auto", lay(tmp_path, images, **tables))
    assert table.origin.layout == name.partition(" ")[0]
    assert table.groups[0::2] == table.groups[1::2]
    assert len(set(table.groups)) == len(table) / 2
    assert table.origin.group == ("patient_id" if "patient_id" in str({**tables, "train": ""}) else "lesion_id")
    assert any("gives" in note for note in table.origin.notes) or name == "isic2019 in folders"
    assert not table.origin.doubts


@pytest.mark.parametrize("name", SETS)
def test_a_table_of_ids_that_cannot_be_joined_to_a_published_set_is_doubted(name, tmp_path):
    images, tables = SETS[name]
    other = of([f"other{n}" for n in range(4)], "image", mrn="P")
    for number, place in enumerate(("mrn", "within/mrn")):
        root = lay(tmp_path / str(number), images, **tables, **{place: other})
        doubts = data.read("auto", root).origin.doubts
        assert sum("mrn.csv has the column 'mrn'" in doubt for doubt in doubts) == 1
        assert not data.read("auto", root, group="lesion_id" if "lesion" in str(tables) else "patient_id").origin.doubts


def test_every_part_of_isic_2018_is_joined_with_one_table_and_none_is_doubted(tmp_path):
    parts = {"Training": ISIC[:7], "Test": ISIC[7:]}
    rows = {
        part: [row for row in one_hot(CLASSES_2018) if row[0] in ("image", *names)] for part, names in parts.items()
    }
    images = [f"ISIC2018_Task3_{part}_Input/{each}.jpg" for part, names in parts.items() for each in names]
    tables = {f"ISIC2018_Task3_{part}_GroundTruth": each for part, each in rows.items()}
    table = data.read("auto", lay(tmp_path, images, **tables, HAM10000_metadata=HAM[:8]))
    assert (table.origin.group, table.parts.count("test"), table.origin.doubts) == ("lesion_id", 7, ())
    assert table.groups[:3] == ("HAM_0", "HAM_0", "HAM_1")
    assert table.groups[7].startswith("image:")


@pytest.mark.parametrize(("rows", "doubted"), [([["image", "note"]], False), ([["patient_id", "sex"]], True)])
def test_a_damaged_table_beside_a_published_set_is_said_not_to_be_read(rows, doubted, tmp_path):
    images, tables = SETS["isic2019"]
    origin = data.read("auto", lay(tmp_path, images, **tables, other=rows)).origin
    assert "other.csv: cannot be read: not used" in origin.notes
    assert bool(origin.doubts) == doubted


def test_a_damaged_table_of_the_ids_of_images_is_refused(tmp_path):
    images, tables = SETS["isic2019"]
    with pytest.raises(DataError, match=r"other\.csv: the table is empty"):
        data.read("auto", lay(tmp_path, images, **tables, other=[["image", "patient_id"]]))


def test_what_a_synthetic_set_knows_of_its_images_is_not_read(tmp_path):
    images, tables = SETS["isic2019"]
    whole = data.read("auto", lay(tmp_path, images, **tables))
    for name in ("synthetic_truth", "planted_duplicates"):
        (tmp_path / f"{name}.tsv").write_text(f"image\tlesion_id\tsource\tmrn\n{ISIC[0]}\tL0\tcentre 1\tP1\n")
    again = data.read("auto", tmp_path)
    assert (again.attributes, again.origin) == (whole.attributes, whole.origin)
