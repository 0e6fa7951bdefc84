"""Labels as annotation tools and benchmarks write them: COCO, Label Studio, other JSON, lists without a header."""

import json

import pytest

from dspkd import data
from dspkd.errors import DataError

ROWS = [(f"{n}.jpg", ("mel", "nv", "bcc")[n % 3]) for n in range(6)]
NAMES = {"bcc": 7, "mel": 3, "nv": 12}  # ids of categories are neither sorted nor without gaps


def lay(root, *names):
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).touch()


def read(folder, name, content, *, images=tuple(name for name, _ in ROWS)):
    lay(folder, *(f"images/{image}" for image in images))
    (folder / name).write_text(content if isinstance(content, str) else json.dumps(content))
    return data.read("auto", folder)


def labels(table):
    return [(path.name, table.classes[label]) for path, label in zip(table.paths, table.labels.tolist(), strict=True)]


def coco(rows=ROWS, **changes):
    """Return a file of COCO whose ids of images are one ahead of the numbers in their names."""
    images = [{"id": n + 1, "file_name": name, "width": 24, "height": 24} for n, (name, _) in enumerate(rows)]
    annotations = [
        {"id": n, "image_id": n + 1, "category_id": NAMES[label], "bbox": [0, 0, 9, n], "iscrowd": 0}
        for n, (_, label) in enumerate(rows)
    ]
    categories = [{"id": number, "name": name} for name, number in {"lesion": 0, **NAMES}.items()]
    return {"info": {}, "images": images, "annotations": annotations, "categories": categories, **changes}


def test_coco_names_the_class_of_each_image(tmp_path):
    table = read(tmp_path, "annotations.json", coco())
    assert labels(table) == ROWS
    assert table.classes == ("bcc", "mel", "nv")


def test_coco_of_each_part_as_roboflow_exports_it(tmp_path):
    for number, part in enumerate(("train", "valid", "test")):
        rows = ROWS[2 * number : 2 * number + 2]
        lay(tmp_path, *(f"{part}/{name}" for name, _ in rows))
        (tmp_path / part / "_annotations.coco.json").write_text(json.dumps(coco(rows)))
    table = data.read("auto", tmp_path)
    part_of = dict(zip((path.name for path in table.paths), table.parts, strict=True))
    assert sorted(labels(table)) == ROWS
    assert part_of == dict(
        zip((name for name, _ in ROWS), ("train", "train", "val", "val", "test", "test"), strict=True)
    )


def test_patients_of_coco_stand_with_the_image_or_the_annotation(tmp_path):
    of_images, of_annotations = coco(), coco()
    for n in range(len(ROWS)):
        of_images["images"][n]["patient_id"] = f"p{n // 2}"
        of_annotations["annotations"][n]["attributes"] = {"patient_id": f"p{n // 2}"}
    groups = [read(tmp_path / str(n), "a.json", each).groups for n, each in enumerate((of_images, of_annotations))]
    assert groups[0] == groups[1] == ("p0", "p0", "p1", "p1", "p2", "p2")


def test_several_outlines_of_one_category_are_one_label(tmp_path):
    again = coco()["annotations"][0] | {"id": 99, "bbox": [1, 1, 2, 2]}
    assert labels(read(tmp_path, "a.json", coco(annotations=[*coco()["annotations"], again]))) == ROWS


@pytest.mark.parametrize(
    ("annotation", "line"),
    [
        ({"image_id": 1, "category_id": 12}, "mel.*nv.*one class"),
        ({"image_id": 77, "category_id": 12}, "annotation 7: image_id 77 is no image of this file, which has 6"),
        ({"image_id": 1, "category_id": 5}, "annotation 7: category_id 5 is no category of this file, which has 4"),
        ({"category_id": 12}, "annotation 7: image_id None is no image"),
    ],
)
def test_annotations_that_do_not_name_one_class_are_refused(annotation, line, tmp_path):
    with pytest.raises(DataError, match=line):
        read(tmp_path, "a.json", coco(annotations=[*coco()["annotations"], annotation]))


def test_an_image_without_annotation_has_no_class(tmp_path):
    with pytest.raises(DataError, match=r"a\.json, line 6: column 'category' is .*missing value"):
        read(tmp_path, "a.json", coco(annotations=coco()["annotations"][:-1]))


def task(name, *choices, **more):
    results = [{"type": "choices", "value": {"choices": [choice]}} for choice in choices]
    outline = {"type": "rectanglelabels", "value": {"x": 1, "rectanglelabels": ["hair"]}}
    data = {"image": f"/data/upload/4/{name}", "patient": name[0]}
    return {"id": 5, "data": data, "annotations": [{"result": [outline, *results]}], **more}


def test_tasks_of_label_studio_name_class_and_patient(tmp_path):
    table = read(tmp_path, "export.json", [task(*row) for row in ROWS])
    assert labels(table) == ROWS
    assert table.origin.group == "patient"


def test_annotators_of_label_studio_who_agree_are_one_label_and_others_are_refused(tmp_path):
    agreeing = [task(name, label, label) for name, label in ROWS]
    assert labels(read(tmp_path, "export.json", agreeing)) == ROWS
    with pytest.raises(DataError, match=r"mel.*nv.*one class"):
        read(tmp_path, "export.json", [*agreeing[1:], task("0.jpg", "mel", "nv")])


def test_a_cancelled_annotation_of_label_studio_is_none(tmp_path):
    cancelled = {"was_cancelled": True, "result": [{"value": {"choices": ["nv"]}}]}
    tasks = [task(*row) for row in ROWS]
    tasks[0]["annotations"].append(cancelled)
    assert labels(read(tmp_path, "export.json", tasks)) == ROWS


@pytest.mark.parametrize("header", ["image,id,choice,annotator", "image,id,choices,annotator"])
def test_the_table_of_label_studio_has_its_classes_in_choice(header, tmp_path):
    rows = [f"/data/upload/4/{name},{n},{label},1" for n, (name, label) in enumerate(ROWS)]
    assert labels(read(tmp_path, "project.csv", "\n".join([header, *rows]))) == ROWS


IMAGES, CLASSES = map(list, zip(*ROWS, strict=True))


@pytest.mark.parametrize(
    "content",
    [
        dict(ROWS),
        {name: [label] for name, label in ROWS},
        {name: {"diagnosis": label, "age": 40} for name, label in ROWS},
        {"image": dict(enumerate(IMAGES)), "label": dict(enumerate(CLASSES))},
        {"image": IMAGES, "label": CLASSES},
        {"version": 1, "classes": ["mel", "nv"], "images": [{"file": name, "label": label} for name, label in ROWS]},
    ],
    ids=["names", "lists of one", "objects", "pandas", "columns", "a list within"],
)
def test_other_objects_of_json_that_are_a_table(content, tmp_path):
    assert labels(read(tmp_path, "labels.json", content)) == ROWS


@pytest.mark.parametrize(
    "content",
    [
        {"0": "mel", "1": "nv"},
        {"lr": [0.1, 0.2], "epochs": [3, 4]},
        {"image": [224, 224], "mean": [0.5, 0.5, 0.5]},
        {"runs": [{"seed": 0, "label": "a"}]},
        {"0.jpg": {"label": "mel"}, "1.jpg": "nv"},
        coco(annotations=[{"image_id": 1, "caption": "a naevus"}]),
    ],
)
def test_json_of_other_things_is_no_table(content, tmp_path):
    lay(tmp_path, *(f"{label}/{name}" for name, label in ROWS))
    (tmp_path / "other.json").write_text(json.dumps(content))
    table = data.read("auto", tmp_path)
    assert (table.origin.layout, table.attributes, table.origin.doubts) == ("folder", {}, ())


@pytest.mark.parametrize(
    ("name", "line"),
    [
        ("labels.txt", "images/{} {}"),
        ("labels.txt", "{}\t{}"),
        ("labels.csv", "{},{}"),
        ("labels.csv", '"images/{}";"{}"'),
    ],
)
def test_a_list_without_header_names_images_and_classes_and_says_so(name, line, tmp_path):
    table = read(tmp_path, name, "\n".join(line.format(*row) for row in ROWS))
    assert labels(table) == ROWS
    assert any(note.startswith(f"{name}: no header") for note in table.origin.notes)


def test_lists_of_parts_keep_their_parts_and_every_line(tmp_path):
    lay(tmp_path, *(f"my images/{name}" for name, _ in ROWS))
    for part, rows in {"train": ROWS[:3], "val": ROWS[3:5], "test": ROWS[5:]}.items():
        (tmp_path / f"{part}.txt").write_text("".join(f"my images/{name} {label} naevus\n" for name, label in rows))
    (tmp_path / "classes.txt").write_text("bcc naevus\nmel naevus\nnv naevus\n")
    table = data.read("auto", tmp_path)
    assert sorted(labels(table)) == [(name, f"{label} naevus") for name, label in ROWS]
    assert [table.parts.count(part) for part in ("train", "val", "test")] == [3, 2, 1]


@pytest.mark.parametrize(
    "lines",
    [
        "0.jpg,mel,45\n1.jpg,nv,50\n",
        "0.jpg 0 1 0\n1.jpg 1 0 0\n",
        "0.jpg,0_mask.png\n1.jpg,1_mask.png\n",
        "0.jpg\n1.jpg\n",
    ],
)
def test_lines_of_an_image_and_something_else_than_a_class_are_no_list(lines, tmp_path):
    with pytest.raises(DataError, match=r"labels\.(csv|txt)"):
        read(tmp_path, "labels.csv" if "," in lines else "labels.txt", lines, images=("0.jpg", "1.jpg"))


def test_a_line_of_a_list_that_lacks_its_class_is_named(tmp_path):
    with pytest.raises(DataError, match=r"labels\.csv, line 4: expected an image and its class, got 2\.jpg"):
        read(tmp_path, "labels.csv", "0.jpg,mel\n1.jpg,nv\n\n2.jpg,\n")
