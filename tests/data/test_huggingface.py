import pytest

from dspkd import data
from dspkd.data import official_split
from dspkd.errors import DataError

ROOT_CSV = {
    "metadata.csv": "file_name,label,lesion_id,sex\ntrain/1.jpg,NV,L1,f\nvalidation/2.jpg,MEL,L2,\ntest/3.jpg,NV,,m\n",
    "train/1.jpg": "",
    "validation/2.jpg": "",
    "test/3.jpg": "",
}
JSONL = {
    "train/metadata.jsonl": '{"file_name": "1.jpg", "label": "NV", "age": 40}\n\n'
    '{"file_name": "x/2.jpg", "label": "MEL", "age": null, "box": [1, 2]}\n',
    "test/metadata.jsonl": '{"file_name": "1.jpg", "label": "NV"}\n',
    "train/1.jpg": "",
    "train/x/2.jpg": "",
    "test/1.jpg": "",
}
BARE = {"train/NV/1.jpg": "", "train/MEL/2.jpg": "", "val/NV/1.jpg": "", "test/NV/4.png": "", ".cache/a/b.jpg": ""}


def lay(root, files):
    for name, text in files.items():
        (root / name).parent.mkdir(exist_ok=True, parents=True)
        (root / name).write_text(text)
    return root


@pytest.mark.parametrize("layout", ["auto", "imagefolder"])
def test_metadata_in_csv_are_read(tmp_path, layout):
    table = data.read(layout, lay(tmp_path, ROOT_CSV))
    assert (table.classes, table.labels.tolist()) == (("MEL", "NV"), [1, 0, 1])
    assert table.ids == ("train/1.jpg", "validation/2.jpg", "test/3.jpg")
    assert table.groups == ("L1", "L2", "image:test/3.jpg")
    assert table.attributes == {"sex": ("f", "", "m"), "split": ("train", "val", "test")}
    assert table.paths[0] == tmp_path / "train/1.jpg"


@pytest.mark.parametrize("layout", ["auto", "imagefolder"])
def test_metadata_in_json_are_read_from_subfolders(tmp_path, layout):
    table = data.read(layout, lay(tmp_path, JSONL))
    assert table.ids == ("test/1.jpg", "train/1.jpg", "train/x/2.jpg")
    assert [table.classes[label] for label in table.labels] == ["NV", "NV", "MEL"]
    assert table.attributes["age"] == ("", "40", "")
    assert table.attributes["box"] == ("", "", "[1, 2]")
    assert table.attributes["split"] == ("test", "train", "train")
    assert all(path.exists() for path in table.paths)


@pytest.mark.parametrize("layout", ["auto", "imagefolder"])
def test_without_metadata_the_folder_is_the_class(tmp_path, layout):
    table = data.read(layout, lay(tmp_path, BARE))
    classes = {name: table.classes[label] for name, label in zip(table.ids, table.labels, strict=True)}
    assert classes == {"train/NV/1.jpg": "NV", "train/MEL/2.jpg": "MEL", "val/NV/1.jpg": "NV", "test/NV/4.png": "NV"}
    assert official_split.from_column(table, "split")[0].parts.tolist() == ["test", "train", "train", "val"]


def test_without_a_column_of_labels_the_folder_is_the_class(tmp_path):
    files = {"metadata.csv": "file_name,age\nNV/1.jpg,4\n", "NV/1.jpg": ""}
    table = data.read("imagefolder", lay(tmp_path, files))
    assert (table.classes, table.attributes) == (("NV",), {"age": ("4",)})
    assert "split" not in table.attributes


def test_label_and_group_may_be_named(tmp_path):
    files = {"metadata.csv": "file_name,dx,who\n1.jpg,NV,P1\n", "1.jpg": ""}
    table = data.read("imagefolder", lay(tmp_path, files), label="dx", group="who")
    assert (table.classes, table.groups, table.attributes) == (("NV",), ("P1",), {})


@pytest.mark.parametrize(
    ("files", "message"),
    [
        (ROOT_CSV | {"metadata.jsonl": "{}"}, r"holds both metadata\.csv and metadata\.jsonl"),
        ({name: text for name, text in ROOT_CSV.items() if "test" not in name}, r"1 of 3 image files are missing"),
        ({"train/1.jpg": "", "1.jpg": ""}, r"no column 'label', .*1\.jpg; .*PART/CLASS/IMAGE"),
        ({"metadata.jsonl": "{"}, r"metadata\.jsonl, line 1: not JSON"),
        ({"metadata.jsonl": "[1]"}, r"line 1: .*got \[1\]"),
        ({"metadata.jsonl": "\n"}, "the table is empty"),
        ({"metadata.csv": "file,label\n1.jpg,NV\n"}, "no column 'file_name'"),
        (JSONL | {"metadata.csv": "file_name,label\ntest/1.jpg,NV\n"}, r"test/1\.jpg: in the metadata of two folders"),
        ({"metadata.jsonl": '{"file_name": "1.jpg"}\n{"file_name": "2.jpg", "label": "a"}', "1.jpg": "", "2.jpg": ""},
         "line 1: column 'label' is empty"),
        ({"a.txt": ""}, r"no image here, nor metadata\.csv or metadata\.jsonl"),
    ],
)  # fmt: skip
def test_metadata_that_do_not_match_the_images_are_refused(tmp_path, files, message):
    with pytest.raises(DataError, match=message):
        data.read("imagefolder", lay(tmp_path, files))


def test_a_group_needs_metadata(tmp_path):
    with pytest.raises(DataError, match="cannot be grouped by 'lesion_id'"):
        data.read("imagefolder", lay(tmp_path, BARE), group="lesion_id")
    with pytest.raises(DataError, match="no column 'dx'"):
        data.read("imagefolder", tmp_path, label="dx")


def test_an_official_split_is_checked(tmp_path):
    table = data.read("auto", lay(tmp_path, ROOT_CSV))
    assert official_split.from_column(table, "split")[0].parts.tolist() == ["train", "val", "test"]
    with pytest.raises(DataError, match=r"'spilt'.*did you mean 'split'"):
        official_split.from_column(table, "spilt")
    with pytest.raises(DataError, match=r"'split' names no validation and no test set; .*split\.official = false"):
        official_split.from_column(table.take([0]), "split")
    with pytest.raises(DataError, match=r"'sex' has 'f', 'm', which names no known part for 3 of 3 .*train/1\.jpg"):
        official_split.from_column(table, "sex")
    lay(tmp_path, {"metadata.csv": ROOT_CSV["metadata.csv"].replace("L2", "L1")})
    leaking = data.read("auto", tmp_path)
    with pytest.raises(DataError, match=r"split: 1 lesion or patient .*: L1; split by group"):
        official_split.from_column(leaking, "split")
    assert official_split.from_column(leaking, "split", by="image")[0].parts.tolist() == ["train", "val", "test"]


NESTED = [
    *(f"{name}/{n}.jpg" for name in ("mel", "nv") for n in range(3)),
    "mel/more/3.jpg",
    "mel/more/old/4.jpg",
    "x.jpg",
]


def test_folders_within_a_class_belong_to_it_and_images_beside_the_classes_are_not_used(tmp_path):
    table = data.read("auto", lay(tmp_path, dict.fromkeys(NESTED, "")))
    assert {name: images for name, (images, _) in table.counts().items()} == {"mel": 5, "nv": 3}
    assert table.origin.notes == (
        "in no class folder and not used: 1 images, such as x.jpg",
        "2 images in folders within class folders, such as mel/more, count as images of that class",
    )
    with pytest.raises(DataError, match=r"2 images .* such as mel/more; set data\.layout = 'imagefolder'"):
        data.read("folder", tmp_path)


def test_folders_within_a_class_of_a_part_belong_to_it(tmp_path):
    names = [f"{part}/{name}" for part in ("train", "test") for name in ("mel/1.jpg", "nv/2.jpg", "mel/phone2/3.jpg")]
    assert data.read("auto", lay(tmp_path, dict.fromkeys(names, ""))).classes == ("mel", "nv")


@pytest.mark.parametrize("parts", [[""], ["train/", "test/"]])
def test_patients_beside_images_of_a_class_are_groups(tmp_path, parts):
    names = [
        f"{part}{name}"
        for number, part in enumerate(parts)
        for name in ("mel/1.jpg", f"mel/patient_{number}3/2.jpg", f"mel/patient_{number}4/visit 2/3.jpg", "nv/4.jpg")
    ]
    table = data.read("auto", lay(tmp_path, dict.fromkeys(names, "")))
    assert table.classes == ("mel", "nv")
    assert {group for group in table.groups if "/" not in group} == {
        f"patient_{n}{k}" for n in range(len(parts)) for k in (3, 4)
    }
    assert any(f"of {2 * len(parts)} of {4 * len(parts)} images" in note for note in table.origin.notes)


@pytest.mark.parametrize(
    ("folder", "hint"),
    [("masks", "or give it another name"), ("Ground_Truth", ""), ("unlabelled", r"set data\.unlabelled to its new")],
)
@pytest.mark.parametrize("part", ["", "train/"])
def test_folders_of_masks_or_unlabelled_images_are_no_classes(tmp_path, folder, hint, part):
    names = [f"{part}{name}/{n}.jpg" for name in ("mel", "nv", folder) for n in range(2)]
    with pytest.raises(DataError, match=rf"the folder '{folder}' .*no class; move it out of .*{hint}"):
        data.read("auto", lay(tmp_path, dict.fromkeys(names, "")))


def test_a_table_beside_images_and_masks_is_read(tmp_path):
    names = {f"{folder}/{n}.jpg": "" for folder in ("images", "lesion_masks", "unlabelled") for n in range(2)}
    lay(tmp_path, names | {"labels.csv": "image,label\nimages/0,mel\nimages/1,nv\n"})
    assert data.read("auto", tmp_path).ids == ("images/0", "images/1")


@pytest.mark.parametrize("train", [("0", "1"), ("0.0", "1.0"), ("3", "700")])
def test_classes_in_metadata_may_be_numbers_as_a_spreadsheet_has_them(tmp_path, train):
    rows = [f"{part}{n}.jpg,{cell}" for part in ("train", "test") for n, cell in enumerate(train)]
    rows[-1] = rows[-1].removesuffix(".0")
    lay(tmp_path, {"metadata.csv": "\n".join(["file_name,label", *rows]), **{row.split(",")[0]: "" for row in rows}})
    assert data.read("auto", tmp_path).classes == tuple(cell.removesuffix(".0") for cell in train)


def test_two_labels_in_a_cell_of_metadata_are_refused_with_the_line(tmp_path):
    rows = '1.jpg,mel\n2.jpg,nv\n3.jpg,"mel, nv"\n'
    lay(tmp_path, {"metadata.csv": f"file_name,label\n{rows}", "1.jpg": "", "2.jpg": "", "3.jpg": ""})
    with pytest.raises(DataError, match=r"metadata\.csv, line 4: .*2 labels"):
        data.read("auto", tmp_path)


def test_files_of_metadata_may_be_in_other_case(tmp_path):
    table = data.read("auto", lay(tmp_path, {"metadata.csv": "file_name,label\n1.jpg,a\n", "1.JPG": ""}))
    assert (table.ids, table.paths) == (("1.JPG",), (tmp_path / "1.JPG",))
