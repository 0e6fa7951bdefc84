"""Augmented copies by their names: which are of one original, and that no split separates them."""

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

from dspkd import data
from dspkd.cli.main import app
from dspkd.data import copies, copies_by_name
from dspkd.data.copies_by_name import original
from dspkd.data.dataset import Dataset, SplitOptions

UUID = "0a1b2c3d-0a1b-0a1b-0a1b-0a1b2c3d4e5f"


def lay(folder, *names):
    """Write images of noise, none like another, as JPEG."""
    for number, name in enumerate(names):
        path = folder / f"{name}.jpg"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(np.random.default_rng(number).integers(0, 255, (64, 64, 3), np.uint8)).save(path)
    return folder


def together(folder, layout="auto"):
    """Return the sets of names in one group, of those with two or more."""
    table = copies.merge(data.read(layout, folder))
    sets = {}
    for name, group in zip(table.ids, table.groups, strict=True):
        sets.setdefault(group, set()).add(name.removesuffix(".jpg"))
    return sorted(sorted(names) for names in sets.values() if len(names) > 1)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("IMG_7_jpg.rf.0a1b2c3d4e5f0a1b2c3d4e5f0a1b2c3d", "IMG_7"),
        ("IMG_7_JPEG.rf.AbCdEf0123", "IMG_7"),
        (f"mel_original_ISIC_0024306.jpg_{UUID}", "ISIC_0024306"),
        ("7_hflip", "7"),
        ("7_h_flip", "7"),
        ("7 flipped horizontally", "7"),
        ("ISIC_0024306-rotated-90", "ISIC_0024306"),
        ("ISIC_0024306_rot-15", "ISIC_0024306"),
        ("7_rotated_90deg_bright", "7"),
        ("7_brightness_1.2", "7"),
        ("7_aug_12", "7"),
        ("aug_12_ISIC_0024306", "ISIC_0024306"),
        ("Flip_LR_7", "7"),
        ("augmented-IMG_7", "IMG_7"),
    ],
)
def test_the_original_of_a_copy(name, expected):
    assert original(name) == expected


@pytest.mark.parametrize(
    "name",
    ["IMG_7", "ISIC_0024306", "PAT_8_15_820", "mel_crop2", "rotated", "7_scar", "7_scale_bar", "7_dark_skin", "7 (1)",
     "scalp_7", "brightfield_7", "100_cropland", "7_rotunda", "IMG_7_jpg", "a_original_b"],
)  # fmt: skip
def test_names_that_are_of_no_copy(name):
    assert original(name) == name


def test_copies_share_a_group_with_their_original_and_each_other(tmp_path):
    lay(tmp_path / "d", "mel/1", "mel/1_flipped", "mel/1_rot90", "mel/2_crop", "mel/2_zoom", "mel/3", "mel/4_blur",
        "mel/6", "nv/1", "nv/5", "nv/7")  # fmt: skip
    expected = [["mel/1", "mel/1_flipped", "mel/1_rot90"], ["mel/2_crop", "mel/2_zoom"]]
    assert together(tmp_path / "d") == expected
    (note,) = copies.merge(data.read("auto", tmp_path / "d")).origin.notes
    assert note.startswith("5 images are augmented copies or their originals by their names, such as 1.jpg and 1_")


def test_copies_in_another_folder_are_found(tmp_path):
    lay(tmp_path / "d", *(f"mel/{k}" for k in range(4)), *(f"nv/{k}" for k in range(4)), "mel/augmented/1_flipped")
    (tmp_path / "d/labels.csv").write_text(
        "image,label\n" + "".join(f"{c}/{k}.jpg,{c}\n" for c in ("mel", "nv") for k in range(4))
        + "mel/augmented/1_flipped.jpg,mel\n"
    )  # fmt: skip
    assert together(tmp_path / "d") == [["mel/1", "mel/augmented/1_flipped"]]


def test_of_equal_names_in_several_folders_copies_belong_to_that_in_their_own(tmp_path):
    names = [f"{folder}/{stem}" for folder in ("a", "b") for stem in ("1", "1_flipped", "2", "3")]
    lay(tmp_path / "d", *names)
    (tmp_path / "d/labels.csv").write_text("image,label\n" + "".join(f"{n}.jpg,{n[-1] in '23'}\n" for n in names))
    assert together(tmp_path / "d", "csv") == [["a/1", "a/1_flipped"], ["b/1", "b/1_flipped"]]


def test_a_name_that_most_images_of_a_class_have_is_that_of_no_image(tmp_path):
    names = [f"image1_jpg.rf.{k:08d}" for k in range(6)]
    lay(tmp_path / "d", *(f"mel/{name}" for name in names), *(f"nv/{k}" for k in range(6)))
    assert together(tmp_path / "d") == []


def test_images_of_one_name_and_two_formats_are_no_augmented_copies(tmp_path):
    lay(tmp_path / "d", *(f"{c}/{k}" for c in ("mel", "nv") for k in range(5)))
    Image.new("RGB", (64, 64), (200, 90, 90)).save(tmp_path / "d/mel/1.png")
    assert together(tmp_path / "d") == []


def test_no_split_separates_an_original_and_its_copies(tmp_path):
    lay(tmp_path / "d", *(f"{c}/{c}{k}_jpg.rf.{n}{k:07d}" for c in ("mel", "nv") for k in range(12) for n in range(3)))
    table = data.load_table(tmp_path / "d")
    split = Dataset.of(table, SplitOptions()).split
    parts = [{original(table.paths[row].stem) for row in split.places(part)} for part in ("train", "val", "test")]
    assert all(parts)
    assert sum(map(len, parts)) == 24 == len(set.union(*parts))
    apart = data.load_table(tmp_path / "d", merge_copies=False)
    assert len(set(apart.groups)) == 72


def test_named_patients_keep_their_groups_and_copies_without_one_join_their_original(tmp_path):
    names = ["1", "1_flipped", "1_crop", "2", "2_flipped", "29", "3", "4", "5"]
    lay(tmp_path / "d", *names)
    patients = {"1": "A", "1_flipped": "B", "2": "C", "3": "D"}
    rows = (f"{name}.jpg,{'mel' if name < '3' else 'nv'},{patients.get(name, '')}\n" for name in names)
    (tmp_path / "d/labels.csv").write_text("image,label,patient_id\n" + "".join(rows))
    table = copies.merge(data.read("auto", tmp_path / "d"))
    groups = {name.removesuffix(".jpg"): group for name, group in zip(table.ids, table.groups, strict=True)}
    assert [groups[name] for name in ("1", "1_flipped", "2", "2_flipped")] == ["A", "B", "C", "C"]
    assert groups["1_crop"] == "A"


def test_the_audit_keeps_them_together_in_what_it_writes(tmp_path):
    lay(tmp_path / "d", "mel/1", "mel/1_flipped", "mel/3", "mel/4", "nv/5", "nv/6")
    done = CliRunner().invoke(app, ["data", "audit", str(tmp_path / "d"), "--merge", str(tmp_path / "merged.csv")])
    assert (done.exit_code, "5 groups, 1 fewer than before" in done.output) == (0, True), done.output
    assert copies_by_name.together(data.read("auto", tmp_path / "merged.csv", group="group")).groups.count(
        "copies:mel/1.jpg"
    ) == 2  # fmt: skip


def test_the_audit_finds_copies_that_a_split_separates(tmp_path):
    names = [f"{c}/{k}" for c in ("mel", "nv") for k in range(6)]
    lay(tmp_path / "d", *names, "mel/1_rot15")
    part = {"mel/1": "test", "nv/1": "test", "mel/2": "val", "nv/2": "val"}
    rows = (f"{n}.jpg,image:{n}.jpg,{n.split('/')[0]},{part.get(n, 'train')}\n" for n in [*names, "mel/1_rot15"])
    (tmp_path / "split.csv").write_text("id,group,label,part\n" + "".join(rows))
    done = CliRunner().invoke(app, ["data", "audit", str(tmp_path / "d"), "--split", str(tmp_path / "split.csv")])
    assert done.exit_code == 1
    assert "invalidates: 1 set of copies, by their names, in more than one part" in " ".join(done.output.split())
    assert "lesions or patients in more" not in done.output
