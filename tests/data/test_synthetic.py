import csv
from collections import Counter

import numpy as np
import pytest
from PIL import Image, ImageOps

from dspkd.data.readers.class_folders import read as read_folder
from dspkd.data.readers.isic2019 import read as read_isic
from dspkd.data.synthetic.dataset import CLASSES, synthesize
from dspkd.data.synthetic.photo import SITES
from dspkd.errors import DataError

SMALL = {"images": 160, "size": 32, "duplicates": 0.15, "missing_ids": 0.1}


def rows(path):
    with path.open(newline="") as file:
        return list(csv.DictReader(file, delimiter="\t" if path.suffix == ".tsv" else ","))


def files_of(folder):
    return {p.relative_to(folder).as_posix(): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


def pixels(path):
    with Image.open(path) as image:
        assert image.format == "JPEG"
        return np.asarray(image.convert("RGB"), dtype=float)


@pytest.fixture(scope="module")
def isic(tmp_path_factory):
    return synthesize(tmp_path_factory.mktemp("isic") / "data", **SMALL)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return synthesize(tmp_path_factory.mktemp("folder") / "data", classes="common", layout="folder", **SMALL)


def test_the_isic_layout_is_that_of_the_challenge(isic):
    truth = isic.folder / "ISIC_2019_Training_GroundTruth.csv"
    about = isic.folder / "ISIC_2019_Training_Metadata.csv"
    assert truth.read_text().splitlines()[0] == "image,MEL,NV,BCC,AK,BKL,DF,VASC,SCC,UNK"
    assert about.read_text().splitlines()[0] == "image,age_approx,anatom_site_general,lesion_id,sex"
    names = [row["image"] for row in rows(truth)]
    assert names == [row["image"] for row in rows(about)]
    assert sorted(f"{n}.jpg" for n in names) == sorted(
        p.name for p in (isic.folder / "ISIC_2019_Training_Input").iterdir()
    )
    counted = Counter()
    for row in rows(truth):
        values = Counter(v for k, v in row.items() if k != "image")
        assert values == {"1.0": 1, "0.0": 8}
        counted.update(k for k, v in row.items() if v == "1.0")
    assert counted == isic.counts
    assert sum(counted.values()) == 160 + 24
    for row in rows(about):
        assert row["age_approx"] == "" or int(row["age_approx"]) in range(5, 90, 5)
        assert row["sex"] in {"", "male", "female"}
    assert 0 < sum(row["anatom_site_general"] == "" for row in rows(about)) < 50
    assert sum(row["lesion_id"] == "" for row in rows(about)) == isic.without_id


def test_the_folder_layout_has_class_folders_and_a_table(folder):
    table = rows(folder.folder / "metadata.csv")
    assert {p.name for p in folder.folder.iterdir() if p.is_dir()} == set(CLASSES["common"])
    assert sorted(row["file"] for row in table) == sorted(
        p.relative_to(folder.folder).as_posix() for p in folder.folder.rglob("*.jpg")
    )
    assert all(row["file"].startswith(f"{row['label']}/") for row in table)
    assert {row["source"] for row in table} == {site.name for site in SITES}
    assert Counter(row["label"] for row in table) == folder.counts
    assert all(bool(row["lesion_id"]) == bool(row["patient_id"]) for row in table)


@pytest.mark.parametrize("made", ["isic", "folder"])
def test_every_image_can_be_read_and_matches_the_ground_truth(made, request):
    summary = request.getfixturevalue(made)
    copies = {row["image"] for row in rows(summary.folder / "planted_duplicates.tsv")}
    for row in rows(summary.folder / "synthetic_truth.tsv"):
        assert pixels(summary.folder / row["file"]).shape == (32, 32, 3)
    originals = [row for row in rows(summary.folder / "synthetic_truth.tsv") if row["image"] not in copies]
    assert len({row["lesion_id"] for row in originals}) == summary.lesions
    assert {row["hair"] for row in originals} == {row["dark_corners"] for row in originals} == {"0", "1"}


@pytest.mark.parametrize("made", ["isic", "folder"])
def test_planted_duplicates_are_duplicates_and_are_listed(made, request):
    summary = request.getfixturevalue(made)
    truth = {row["image"]: row for row in rows(summary.folder / "synthetic_truth.tsv")}
    listed = rows(summary.folder / "planted_duplicates.tsv")
    path = {image: summary.folder / row["file"] for image, row in truth.items()}
    assert len(listed) == summary.planted == 24
    assert Counter(row["kind"] for row in listed) == {"exact": 8, "re-encoded": 8, "flipped": 8}
    assert Counter(row["lesion_id"] == "" for row in listed) == {True: 12, False: 12}
    for row in listed:
        copy, original = path[row["image"]], path[row["copy_of"]]
        assert copy != original
        assert (copy.read_bytes() == original.read_bytes()) == (row["kind"] == "exact")
        seen = np.asarray(ImageOps.mirror(Image.open(copy)), dtype=float) if row["kind"] == "flipped" else pixels(copy)
        assert np.corrcoef(seen.ravel(), pixels(original).ravel())[0, 1] > 0.93
        assert row["lesion_id"] != row["true_lesion_id"] == truth[row["copy_of"]]["lesion_id"]
        assert truth[row["copy_of"]]["label"] == truth[row["image"]]["label"]
    listed_files = {path[row["image"]] for row in listed if row["kind"] == "exact"}
    unplanted = [p.read_bytes() for p in path.values() if p not in listed_files]
    assert len(set(unplanted)) == len(unplanted)


def test_the_readers_of_real_data_read_it(isic, folder):
    for made, table in ((isic, read_isic(isic.folder)), (folder, read_folder(folder.folder))):
        counts = dict(zip(table.classes, np.bincount(table.labels).tolist(), strict=True))
        assert counts == made.counts
        assert all(path.is_file() for path in table.paths)
        assert len(set(table.groups)) < len(table.ids)


def test_the_note_says_that_the_images_are_synthetic_and_how_they_were_made(isic):
    note = (isic.folder / "SYNTHETIC.md").read_text()
    assert note.startswith("# These images are synthetic")
    assert "seed=0" in note
    assert f"| NV | {isic.counts['NV']} |" in note
    assert f"{isic.planted} are planted duplicates" in note
    assert f"{isic.without_id} have no lesion id" in note


def test_the_same_arguments_write_the_same_bytes_and_another_seed_other_images(tmp_path):
    options = {"images": 24, "size": 32, "duplicates": 0.2}
    first, again, other = (
        files_of(synthesize(tmp_path / name, seed=seed, **options).folder)
        for name, seed in (("a", 7), ("b", 7), ("c", 8))
    )
    assert first == again
    assert not {v for k, v in first.items() if k.endswith("jpg")} & set(other.values())


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"classes": "isic2018"}, r"classes .*'isic2018' .*did you mean 'isic2019'"),
        ({"classes": "x"}, r"known: isic2019, common"),
        ({"layout": "folders"}, r"layout .*did you mean 'folder'"),
        ({"images": 7}, r"images .*: 7; at least 8"),
        ({"images": 5, "classes": "common", "layout": "folder"}, r"at least 6"),
        ({"classes": "common"}, r"layout 'isic2019' has no columns .*'common'; use layout 'folder'"),
        ({"size": 31}, r"31 pixels; at least 32"),
        ({"temper": 1.5}, r"temper .*1\.5; it must lie between 0 and 1"),
        ({"duplicates": -0.1}, r"duplicates .*-0\.1"),
        ({"missing_ids": float("nan")}, r"missing_ids .*nan"),
    ],
)
def test_an_invalid_argument_is_refused_before_anything_is_written(tmp_path, options, message):
    with pytest.raises(DataError, match=message):
        synthesize(tmp_path / "new", **options)
    assert not (tmp_path / "new").exists()


def test_a_folder_that_is_not_empty_is_refused(tmp_path):
    synthesize(tmp_path, images=8, size=32)
    before = files_of(tmp_path)
    with pytest.raises(DataError, match="not an empty folder"):
        synthesize(tmp_path, images=8, size=32)
    assert files_of(tmp_path) == before
    with pytest.raises(DataError, match="not an empty folder"):
        synthesize(tmp_path / "SYNTHETIC.md", images=8)
