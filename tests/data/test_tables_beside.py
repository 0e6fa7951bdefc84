"""Tables beside folders: joined or refused, never passed over; folders of patients and of any images are no classes."""

import pytest

from dspkd import data
from dspkd.errors import DataError


def lay(root, folders, tables=(), each=4):
    """Create images in folders, numbered through, and tables ``(file, header, cells of each image)``."""
    images = [f"{folder}/{folder.replace('/', '_')}_{n}.jpg" for folder in folders for n in range(each)]
    for name in images:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).touch()
    for file, header, cells in tables:
        own = [name for name in images if not file.startswith(("train", "test")) or name.startswith(file[:4])]
        rows = [",".join([name.rpartition("/")[2], *cells(n)]) for n, name in enumerate(own)]
        (root / file).write_text("\n".join([header, *rows]) + "\n")
    return root


def alternate(n):
    return ["AB"[n % 2]]


INNER = ("train/images", "test/images")


@pytest.mark.parametrize(
    ("folders", "tables", "message"),
    [
        (INNER, [], r"no known layout.*labels\.csv with the columns 'image'"),
        (("train/photos_1", "test/photos_1"), [], r"no known layout"),
        (("images/train", "images/test"), [], r"parts, not classes"),
        (INNER, [(f"{part}/labels.csv", "image,name", alternate) for part in ("train", "test")],
         r"test/labels\.csv, train/labels\.csv.*data\.columns"),
        (("H1", "H2"), [("t.csv", "image,finding", alternate)], r"H1, H2.*'finding' \(A, B\)"),
        (("H1", "H2"), [("t.csv", "image,Outcome", alternate)], r"H1, H2.*data\.columns\.label = 'Outcome'"),
        (("H1", "H2"), [("t.csv", "image,MEL,NV", lambda n: ["01"[n % 2], "10"[n % 2]])],
         r"data\.columns\.label = \['MEL', 'NV'\]"),
        (("train/H1", "test/H2"), [("t.csv", "image,finding", alternate)], r"'finding'.*data\.layout = 'imagefolder'"),
        (("P1", "P2", "P3"), [("t.csv", "image,patient_id", lambda n: [str(n // 4)])], r"patients, not classes.*label"),
        (("train/A", "test/B"), [(f"{name}.csv", "image,age", lambda _: ["4"]) for name in ("x", "y")],
         r"x\.csv, y\.csv all name images"),
    ],
)  # fmt: skip
def test_what_is_no_class_is_refused_with_the_remedy(folders, tables, message, tmp_path):
    with pytest.raises(DataError, match=message):
        data.read("auto", lay(tmp_path, folders, tables))


@pytest.mark.parametrize(
    "tables",
    [
        [("patients.csv", "image,PatientID,age", lambda n: [f"P{n // 2}", "40"])],
        [(f"{part}.csv", "filename,PatientID,age", lambda n, part=part: [f"{part}{n // 2}", "40"])
         for part in ("train", "test")],
    ],
)  # fmt: skip
def test_a_table_beside_parts_gives_groups_and_ages(tables, tmp_path):
    table = data.read("auto", lay(tmp_path, ("train/A", "train/B", "test/A", "test/B"), tables))
    assert (table.classes, table.origin.group, len(set(table.groups))) == (("A", "B"), "PatientID", 8)
    assert table.attributes["age"] == ("40",) * 16
    assert set(table.parts) == {"train", "test"}


def test_flags_beside_folders_of_classes_are_no_labels(tmp_path):
    rows = [("t.csv", "image,itch,bleed", lambda n: ["01"[n % 2], "01"[n % 3 == 0]])]
    assert data.read("auto", lay(tmp_path, ("mel", "nv"), rows)).classes == ("mel", "nv")


def test_images_in_a_folder_within_that_of_their_class_are_read(tmp_path):
    table = data.read("imagefolder", lay(tmp_path, ("train/mel/images", "train/nv/images", "test/mel/images")))
    assert table.classes == ("mel", "nv")


def test_numbers_of_images_are_joined_as_a_spreadsheet_writes_them(tmp_path):
    for n in range(1, 5):
        (tmp_path / f"{n}.jpg").touch()
    (tmp_path / "labels.csv").write_text("image,label\n1,A\n2,B\n3,A\n4,B\n")
    (tmp_path / "metadata.csv").write_text("image,patient_id\n1.0,7\n2.0,7\n3.0,8\n4.0,8\n")
    table = data.read("auto", tmp_path)
    assert [group.rpartition(":")[2] for group in table.groups] == ["7", "7", "8", "8"]


@pytest.mark.parametrize("missing", ["", "NA", "NaN", "None", "n/a", "null", "<NA>", "unknown"])
@pytest.mark.parametrize("layout", ["csv", "isic-archive"])
def test_a_missing_patient_is_no_patient(missing, layout, tmp_path):
    name, header, benign, malignant = (
        ("metadata.csv", "isic_id,patient_id,diagnosis_1", "Benign", "Malignant")
        if layout == "isic-archive"
        else ("t.csv", "image,patient_id,dx", "A", "B")
    )
    rows = [("P1" if n < 2 else missing, malignant if n % 2 else benign) for n in range(6)]
    table = data.read("auto", lay(tmp_path, ("images",), [(name, header, lambda n: rows[n])], each=6))
    assert table.origin.layout == layout
    assert len(set(table.groups)) == 5


@pytest.mark.parametrize("missing", ["None", "NA", "n/a", "#N/A"])
def test_a_missing_label_is_no_class(missing, tmp_path):
    rows = [["Benign"], [missing], ["Malignant"]]
    archive = lay(tmp_path / "a", ("images",), [("metadata.csv", "isic_id,diagnosis_1", lambda n: rows[n])], each=3)
    assert data.read("auto", archive).classes == ("Benign", "Malignant")
    hub = lay(tmp_path / "b", (".",), [("metadata.csv", "file_name,label", lambda n: rows[n])], each=3)
    with pytest.raises(DataError, match=r"line 3: column 'label' .*missing value"):
        data.read("imagefolder", hub)


def test_isic_2018_is_read_as_its_archives_unpack_it(tmp_path):
    name = "ISIC2018_Task3_Training"
    (tmp_path / f"{name}_GroundTruth").mkdir()
    one_hot = [(f"{name}_GroundTruth/{name}_GroundTruth.csv", "image,MEL,NV,BCC,AKIEC,BKL,DF,VASC",
                lambda n: ["1.0" if k == n else "0.0" for k in range(7)])]  # fmt: skip
    lay(tmp_path, (f"{name}_Input",), one_hot, each=7)
    truth = tmp_path / one_hot[0][0]
    truth.write_text(truth.read_text().replace(".jpg", ""))
    lesions = [f"{name}_Input_{n},L{n // 2}" for n in range(7)]
    (tmp_path / f"{name}_LesionGroupings.csv").write_text("\n".join(["image,lesion_id", *lesions]) + "\n")
    table = data.read("auto", tmp_path)
    assert (table.origin.layout, table.labels.tolist(), len(set(table.groups))) == ("isic2018", list(range(7)), 4)


def test_ddi_as_a_spreadsheet_writes_it_is_read(tmp_path):
    rows = [("ddi_metadata.csv", "DDI_file,malignant,skin_tone", lambda n: [("TRUE", "FALSE")[n % 2], "12"])]
    table = data.read("auto", lay(tmp_path, ("images",), rows))
    assert (table.origin.layout, table.classes, table.labels.tolist()) == (
        "ddi",
        ("benign", "malignant"),
        [1, 0, 1, 0],
    )


def test_images_without_a_label_are_not_said_to_lack_a_row(tmp_path):
    cells = [["Benign"], [""], ["Malignant"], ["Benign"]]
    table = data.read("auto", lay(tmp_path, ("i",), [("metadata.csv", "isic_id,diagnosis_1", lambda n: cells[n])]))
    assert table.origin.notes == ("1 rows of metadata.csv without diagnosis_1 are left out",)


@pytest.mark.parametrize("folder", ["images", "Bilder"])
def test_columns_of_other_names_are_shown_with_the_remedy(folder, tmp_path):
    lay(tmp_path, (folder,), [("t.csv", "Plik,Diagnose", alternate)])
    with pytest.raises(DataError, match=r"t\.csv has the columns Plik, Diagnose.*data\.columns\.image.*--image"):
        data.read("auto", tmp_path)


def test_a_single_column_in_common_is_not_near_a_published_set(tmp_path):
    lay(tmp_path, ("images",), [("t.csv", "image_id,weight", lambda _: ["1"])])
    with pytest.raises(DataError) as error:
        data.read("auto", tmp_path)
    assert "the nearest is" not in str(error.value)


def write(root, **tables):
    for name, text in tables.items():
        (root / f"{name}.csv").write_text(text)
    return data.read("auto", root)


def test_a_second_table_gives_columns_to_the_images_of_its_own_folders_where_names_repeat(tmp_path):
    lay(tmp_path, ())
    for name in ("train/0.jpg", "train/1.jpg", "test/0.jpg", "test/1.jpg"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    labels = "image,label\ntrain/0.jpg,A\ntrain/1.jpg,B\ntest/0.jpg,A\ntest/1.jpg,B\n"
    table = write(tmp_path, labels=labels, patients="image,patient\ntrain\\0,P0\n./train/1.png,P1\n")
    assert table.groups == ("P0", "P1", "image:test/0.jpg", "image:test/1.jpg")
    table = write(tmp_path, labels=labels, patients="image,patient\n0.jpg,P0\n1.jpg,P1\n")
    assert any("names 0 of these images: not used" in note for note in table.origin.notes)


def parts(root, first="image,label,patient_id", second="Image,Label,PatientID", last="A"):
    for part in ("train", "test"):
        for n in range(4):
            (root / f"{part}{n}.jpg").touch()
    rows = {part: "".join(f"{part}{n}.jpg,{'AB'[n % 2]},P{part}{n}\n" for n in range(3)) for part in ("train", "test")}
    return write(root, test=f"{first}\n{rows['test']}", train=f"{second}\n{rows['train']}train3.jpg,{last},P9\n")


def test_columns_of_parts_that_are_spelled_otherwise_are_one(tmp_path):
    table = parts(tmp_path)
    assert (table.classes, len(table), len(set(table.groups))) == (("A", "B"), 7, 7)
    assert set(table.attributes) == {"split"}


def test_columns_within_parts_that_are_spelled_otherwise_are_one(tmp_path):
    for part, header in (("train", "image,label,Age"), ("test", "image,label,age")):
        lay(tmp_path / part, ("images",), each=2)
        (tmp_path / part / "labels.csv").write_text(f"{header}\nimages_0.jpg,A,40\nimages_1.jpg,B,50\n")
    assert data.read("auto", tmp_path).attributes["age"] == ("40", "50", "40", "50")


@pytest.mark.parametrize(
    ("last", "message"),
    [("", r"train\.csv, line 5: column 'label' is empty"), ("nan", r"train\.csv, line 5: column 'label' is 'nan'")],
)
def test_an_error_in_one_of_several_tables_names_this_one(tmp_path, last, message):
    with pytest.raises(DataError, match=message):
        parts(tmp_path, last=last)


def test_an_image_in_two_tables_names_both(tmp_path):
    parts(tmp_path)
    with pytest.raises(DataError, match=r"train\.csv, line 2: .* \(first in .*test\.csv, line 2\)"):
        write(tmp_path, train="image,label,patient_id\ntest0.jpg,B,P0\n")


@pytest.mark.parametrize("several", ["A B", "A & B", "A and B", "A&B", "A/B"])
def test_several_labels_in_a_cell_are_refused_where_each_occurs_alone(tmp_path, several):
    with pytest.raises(DataError, match=rf"line 5: column 'label' has 2 labels, '{several}'"):
        parts(tmp_path, last=several)
    assert "A C" in parts(tmp_path, last="A C").classes


def test_tables_in_parts_name_the_classes_where_the_images_lie_in_one_folder_of_any_name(tmp_path):
    """A folder ``x`` in each part is not a class that all images have."""
    for part, label in (("train", "NV"), ("test", "MEL")):
        (tmp_path / part / "x").mkdir(parents=True)
        for number in range(2):
            (tmp_path / part / "x" / f"{part}{number}.jpg").touch()
        rows = f"{part}0.jpg,{label}\n{part}1.jpg,BKL\n"
        (tmp_path / part / "labels.csv").write_text(f"image,label\n{rows}")
    table = data.read("auto", tmp_path)
    assert table.classes == ("BKL", "MEL", "NV")
    assert table.parts == ("test", "test", "train", "train")
