"""Columns of lesion and patient ids, near copies without ids, and files that are no readable images."""

import numpy as np
import pytest
from PIL import Image

from dspkd import data
from dspkd.data import assumptions, copies, image_files
from dspkd.data.readers._columns import grouping
from dspkd.data.split import split
from dspkd.data.table import is_named
from dspkd.errors import DataError

IDS = ("a1", "b2", "a1", "c3", "e4", "d5", "f6", "b2") * 3


def pixels(seed):
    coarse = np.random.default_rng(seed).integers(0, 255, (12, 12, 3), dtype=np.uint8)
    fine = np.random.default_rng(seed + 99).integers(-25, 25, (96, 96, 1))
    large = np.asarray(Image.fromarray(coarse).resize((96, 96), Image.Resampling.BICUBIC)).astype(int)
    return Image.fromarray((large + fine).clip(0, 255).astype(np.uint8))


PATIENTS = ["patient", "Patient ID", "patient_id", "PatientID", "subject", "Person-ID", "anon_patient_id"]
LESIONS = ["case_id", "case", "Lesion", "lesion_no", "LESION ID"]


@pytest.mark.parametrize("name", [*PATIENTS, *LESIONS])
def test_a_column_of_ids_is_used_by_its_name(tmp_path, name):
    chosen = grouping({"age": ("40",) * 24, name: IDS}, None, tmp_path)
    assert (chosen.column, chosen.notes) == (name, ())


@pytest.mark.parametrize("name", ["patient_age", "lesion_type", "case_control", "subject_area", "personality"])
def test_a_column_about_a_patient_is_no_id(tmp_path, name):
    assert grouping({name: IDS}, None, tmp_path).column is None


def test_of_several_columns_the_patient_is_used_and_the_rule_is_stated(tmp_path):
    chosen = grouping({"lesion_id": IDS, "case": IDS, "Patient": IDS}, None, tmp_path)
    assert chosen.column == "Patient"
    assert "'Patient' is used and not 'case', 'lesion_id'" in chosen.notes[0]
    assert "data.group" in chosen.notes[0]
    assert grouping({"lesion_id": IDS, "Patient": IDS}, "LESION ID", tmp_path).column == "lesion_id"


def test_a_column_that_looks_like_ids_is_named_and_not_used(tmp_path):
    numbers = tuple(f"K{n // 2}" for n in range(24))
    others = {"sex": ("m", "f") * 12, "age": numbers, "unique": tuple(map(str, range(24)))}
    chosen = grouping({"kundennr": numbers, **others}, None, tmp_path)
    assert chosen.column is None
    (doubt,) = chosen.doubts
    assert "'kundennr' looks like" in doubt
    assert "data.group = 'kundennr'" in doubt
    assert chosen.notes == ()


@pytest.mark.parametrize(
    ("name", "cells"),
    [
        ("pT", ("pT1a", "pT1b", "pT2a", "pTis", "T3b", "pT4a N1", "pTx") * 6),
        ("lesion", ("nv", "bkl", "df", "vasc", "bcc", "mel", "scc") * 6),
        ("visit", ("1", "2", "3", "4", "5", "6", "7") * 6),
        ("visit", tuple(f"{n}.0" for n in range(9)) * 6),
        ("num_lesions", ("71", "72", "73", "74", "75", "76", "77") * 6),
        ("No. Lesions", ("71", "72", "73", "74", "75", "76", "77") * 6),
        ("Case", ("c1", "c2", "c3") * 14),
    ],
)
def test_stages_kinds_of_lesions_and_numbers_of_visits_are_no_ids(tmp_path, name, cells):
    chosen = grouping({name: cells}, None, tmp_path)
    assert (chosen.column, chosen.notes) == (None, ())
    assert len(chosen.doubts) == (name in ("lesion", "Case") or cells[0] == "1")


def test_a_column_called_group_comes_after_the_patient_and_before_the_lesion(tmp_path):
    arms = ("arm0", "arm1", "arm2") * 8
    chosen = grouping({"group": arms, "lesion_id": IDS, "patient_id": IDS}, None, tmp_path)
    assert chosen.column == "patient_id"
    assert "'patient_id' is used and not 'group', 'lesion_id'" in chosen.notes[0]
    assert grouping({"lesion_id": IDS, "group": arms}, None, tmp_path).column == "group"
    chosen = grouping({"group": ("control", "treated") * 20}, None, tmp_path)
    assert chosen.column is None
    assert "2 values" in chosen.notes[0]


@pytest.mark.parametrize("cell", ["-", "--", "?", "n.a.", "Not available", "not provided", "missing"])
def test_placeholders_are_no_patient(tmp_path, cell):
    for n in range(6):
        (tmp_path / f"{n}.jpg").touch()
    rows = "".join(f"{n}.jpg,{'ab'[n % 2]},{cell if n else 'P1'}\n" for n in range(6))
    (tmp_path / "labels.csv").write_text(f"image,label,patient\n{rows}")
    assert sum(map(is_named, data.read("auto", tmp_path).groups)) == 1


@pytest.mark.parametrize(
    ("training", "test", "merged"),
    [("1", "1.0", True), ("007", "7", True), ("P1", "p01", True), ("1.1", "1.10", False), ("P1", "P10", False)],
)
def test_spellings_of_one_patient_are_one_group_where_they_meet(tmp_path, training, test, merged):
    for part, ids in (("train", [training, "P05"]), ("test", [test, "7b"])):
        for n in range(2):
            (tmp_path / f"{part}{n}.jpg").touch()
        rows = "".join(f"{part}{n}.jpg,{'ab'[n]},{ids[n]}\n" for n in range(2))
        (tmp_path / f"{part}.csv").write_text(f"image,label,patient\n{rows}")
    table = data.read("auto", tmp_path)
    assert {"P05", "7b"} < set(table.groups)
    assert len(set(table.groups)) == 4 - merged
    assert any("are taken as one" in note for note in table.origin.notes) == merged


def test_a_flag_is_no_id(tmp_path):
    chosen = grouping({"case": ("0", "1") * 20}, None, tmp_path)
    assert chosen.column is None
    assert "2 values" in chosen.notes[0]


@pytest.fixture
def folder(tmp_path):
    """Eight photographs in two classes, the first of them twice, once smaller and mirrored."""
    for n in range(8):
        file = tmp_path / "data" / "ab"[n % 2] / f"{n}.png"
        file.parent.mkdir(parents=True, exist_ok=True)
        pixels(n).save(file)
    pixels(0).transpose(Image.Transpose.FLIP_LEFT_RIGHT).resize((88, 88)).save(tmp_path / "data/a/copy.png")
    return tmp_path / "data"


def test_near_copies_without_ids_share_a_group_and_are_searched_once(folder, tmp_path, monkeypatch):
    said = []
    monkeypatch.setattr(copies, "_LONG", 9)
    table = data.load_table(folder, cache=tmp_path / "cache", log=said.append)
    group = dict(zip(table.ids, table.groups, strict=True))
    assert group["a/0.png"] == group["a/copy.png"] == "copies:a/0.png"
    assert len(set(table.groups)) == 8
    assert not any(map(is_named, table.groups))
    assert table.origin.merged == 2
    assert "searching 9 images" in said[0]
    again = data.load_table(folder, cache=tmp_path / "cache", log=said.append)
    assert (again.digest, len(said)) == (table.digest, 1)
    pixels(50).save(folder / "a/copy.png")
    assert data.load_table(folder, cache=tmp_path / "cache").origin.merged == 0


def test_copies_may_stay_apart(folder):
    assert len(set(data.load_table(folder, merge_copies=False).groups)) == 9


def test_known_ids_need_no_search(folder, monkeypatch):
    rows = "".join(f"{path.name},P{n}\n" for n, path in enumerate(sorted(folder.rglob("*.png"))))
    (folder / "meta.csv").write_text("file,patient\n" + rows)
    monkeypatch.setattr(copies, "_search", None)
    assert data.load_table(folder).origin.group == "patient"


def test_missing_ids_are_said(folder):
    table = data.load_table(folder, merge_copies=False)
    assert assumptions.warnings(table) == (assumptions.NO_IDS,)
    assert "no lesion or patient ids" in assumptions.NO_IDS


def test_classes_absent_from_a_part_are_said(folder):
    table = data.load_table(folder, merge_copies=False)
    apart = split(table, val=0.15, test=0.2)
    apart.parts[apart.parts == "val"] = "train"
    apart.parts[0] = "val"
    said = " ".join(assumptions.warnings(table, apart))
    assert "no validation image of b (4 images)" in said
    assert "data.classes" in said


def test_files_of_systems_are_no_images(folder):
    for name in ("a/._0.png", "a/.DS_Store", "a/Thumbs.db", "__MACOSX/a/._0.png", "README"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(b"\0\5\x16\7")
    table = data.read("auto", folder)
    assert len(table) == 9
    assert table.origin.unread == ()


def test_files_that_cannot_be_read_are_counted_and_named(folder):
    for name in ("a/IMG_1.CR2", "a/IMG_2.cr2", "b/clip.mp4", "b/notes.txt"):
        (folder / name).touch()
    frames = [pixels(n) for n in range(2)]
    frames[0].save(folder / "b/moving.gif", save_all=True, append_images=frames[1:])
    (said,) = [text for text in assumptions.warnings(data.read("auto", folder)) if "not read" in text]
    assert said.startswith("4 files are not read")
    assert "2 .cr2 (a/IMG_1.CR2, a/IMG_2.cr2)" in said
    assert "1 .mp4 (b/clip.mp4)" in said
    assert "1 animated .gif (b/moving.gif)" in said


@pytest.mark.parametrize("suffix", [".jfif", ".GIF", ".TIF", ".webp", ".BMP", ".jpe"])
def test_what_pillow_reads_is_read(folder, suffix):
    kind = {".jfif": "JPEG", ".jpe": "JPEG", ".tif": "TIFF"}.get(suffix.lower(), suffix[1:].upper())
    pixels(9).save(folder / f"b/other{suffix}", format=kind)
    assert f"b/other{suffix}" in data.read("auto", folder).ids
    from dspkd.data.decode import decode

    assert decode(folder / f"b/other{suffix}").shape == (96, 96, 3)


def test_heic_is_read_where_pillow_heif_is(folder):
    heif = pytest.importorskip("pillow_heif", reason="needs pillow-heif: pip install 'dspkd[heic]'")
    from dspkd.data.decode import decode

    heif.from_pillow(pixels(9)).save(folder / "b/IMG_1.HEIC", quality=90)
    (folder / "b/IMG_1.HEIC").with_suffix(".jpg").write_bytes((folder / "b/IMG_1.HEIC").read_bytes())
    table = data.read("auto", folder)
    assert {"b/IMG_1.HEIC", "b/IMG_1.jpg"} <= set(table.ids)
    for name in ("IMG_1.HEIC", "IMG_1.jpg"):
        assert np.abs(decode(folder / "b" / name).astype(int) - np.asarray(pixels(9)).astype(int)).mean() < 12


def test_heic_without_pillow_heif_is_named_with_the_remedy(folder, monkeypatch):
    monkeypatch.setattr(image_files, "SUFFIXES", image_files.SUFFIXES - image_files.HEIF)
    (folder / "b/IMG_1.HEIC").touch()
    (said,) = [text for text in assumptions.warnings(data.read("auto", folder)) if "not read" in text]
    assert "1 .heic (b/IMG_1.HEIC; to read them: pip install 'dspkd[heic]')" in said


def test_linked_folders_are_followed_and_loops_are_not(folder, tmp_path):
    (tmp_path / "linked").mkdir()
    for name in "ab":
        (tmp_path / "linked" / name).symlink_to(folder / name)
    (folder / "a/up").symlink_to(folder)
    assert len(data.read("auto", tmp_path / "linked")) == 9
    assert len(image_files.images_below(folder)) == 9


def test_a_table_beside_one_folder_of_images_is_no_class_folder(folder, tmp_path):
    (tmp_path / "t/images").mkdir(parents=True)
    for n in range(6):
        (tmp_path / f"t/images/{n:03d}.jpg").touch()
    with pytest.raises(DataError, match="a single folder, 'images', is no class"):
        data.read("auto", tmp_path / "t")
    rows = "".join(f"{n:03d}.jpg;{'ab'[n % 2]};{('train', 'valid', 'test')[n // 2]}\n" for n in range(6))
    (tmp_path / "t/list.csv").write_bytes(("\ufeffImage;Label;Split\n" + rows + ";;\n").encode())
    table = data.read("auto", tmp_path / "t")
    assert (table.classes, table.origin.parts) == (("a", "b"), "column 'Split'")
    assert table.parts == ("train", "train", "val", "val", "test", "test")
    assert "separated by semicolons, 1 empty rows" in " ".join(table.origin.notes)
    assert "images from column 'Image', classes from column 'Label'" in " ".join(table.origin.notes)
