"""Images that a table of exact paths does not name are counted."""

import json

import pytest

from dspkd import data


def images(root, folder, numbers, suffix=".jpg"):
    (root / folder).mkdir(parents=True, exist_ok=True)
    for n in numbers:
        (root / folder / f"{n}{suffix}").touch()


def lines(table):
    return [note for note in table.origin.notes if "are not used" in note]


@pytest.mark.parametrize("absolute", [False, True])
@pytest.mark.parametrize("linked", [False, True])
def test_images_that_a_table_of_paths_does_not_name_are_counted(absolute, linked, tmp_path):
    root = tmp_path / "data"
    images(root, "images", range(6))
    before = f"{root}/" if absolute else ""
    rows = [f"{before}images/{n}.jpg,{'ab'[n % 2]}" for n in range(4)]
    (root / "t.csv").write_text("\n".join(["path,label", *rows]) + "\n")
    if linked:
        (tmp_path / "link").symlink_to(root)
        root = tmp_path / "link"
    table = data.read("auto", root)
    assert [line[:23] for line in lines(table)] == ["2 image files below " + str(root)[:3]]
    images(root, "images", range(3), ".heix")
    assert [file.name for file in data.read("auto", root).origin.unread] == ["0.heix", "1.heix", "2.heix"]
    (root / "images/4.jpg").unlink()
    (root / "images/5.jpg").unlink()
    assert lines(data.read("auto", root)) == []


def test_a_table_of_images_elsewhere_counts_none_beside_itself(tmp_path):
    images(tmp_path, "images", range(4))
    images(tmp_path, "work", range(3), ".png")
    rows = [f"../images/{n}.jpg,{'ab'[n % 2]}" for n in range(4)]
    (tmp_path / "work/t.csv").write_text("\n".join(["path,label", *rows]) + "\n")
    assert lines(data.read("auto", tmp_path / "work/t.csv")) == []


@pytest.mark.parametrize("kind", ["csv", "jsonl"])
@pytest.mark.parametrize("folder", [".", "train"])
def test_images_that_metadata_do_not_name_are_counted(kind, folder, tmp_path):
    images(tmp_path, folder, range(6))
    images(tmp_path, "test", range(10, 13))
    cells = [(f"{n}.jpg", "ab"[n % 2]) for n in range(4)]
    text = [json.dumps({"file_name": name, "label": label}) for name, label in cells]
    if kind == "csv":
        text = ["file_name,label", *(f"{name},{label}" for name, label in cells)]
    (tmp_path / folder / f"metadata.{kind}").write_text("\n".join(text) + "\n")
    table = data.read("auto", tmp_path)
    assert (table.origin.layout, len(table)) == ("imagefolder", 4)
    assert [line.partition(" image files below")[0] for line in lines(table)] == ["5"]
