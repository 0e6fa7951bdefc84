"""Evaluation on copies of the run's own images under other names."""

import csv
import shutil
from pathlib import Path

import pytest
from PIL import Image

from dspkd.data import copies
from dspkd.data.synthetic.dataset import synthesize
from dspkd.runs import evaluate, holdout
from dspkd.training.progress import NullProgress
from tiny_runs import recipe, trained


class Notes(NullProgress):
    def __init__(self):
        self.lines = []

    def note(self, text):
        self.lines.append(text)


@pytest.fixture(scope="module")
def data(lesions, tmp_path_factory):
    return shutil.copytree(lesions, tmp_path_factory.mktemp("own") / "data")


@pytest.fixture(scope="module")
def finished(data, tmp_path_factory):
    return trained(recipe(data), tmp_path_factory.mktemp("runs") / "student")


@pytest.fixture(scope="module")
def parts(finished):
    """The images of each part: (id, class)."""
    with (finished / "split.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    return {
        part: [(row["id"], row["label"]) for row in rows if row["part"] == part] for part in ("train", "val", "test")
    }


def rotated(image):
    return image.transpose(Image.Transpose.ROTATE_90)


def smaller(image):
    return image.resize((40, 40))


def renamed(data, images, target, **table):
    """Copy images into a folder for each class, under other names; `table` has a value of each for metadata.csv."""
    names = []
    for n, (image, label) in enumerate(images):
        (target / label).mkdir(parents=True, exist_ok=True)
        names.append(f"IMG_{n:04}")
        content = (data / "ISIC_2019_Training_Input" / f"{image}.jpg").read_bytes()
        (target / label / f"{names[-1]}.jpg").write_bytes(content)
    if table:
        rows = zip(names, *table.values(), strict=True)
        lines = [",".join(row) for row in [("image", *table), *rows]]
        (target / "metadata.csv").write_text("\n".join(lines) + "\n")
    return target


@pytest.mark.parametrize("part", ["train", "val", "test"])
def test_copies_under_other_names_are_recognised_by_content(data, finished, parts, tmp_path, part):
    before = len(holdout.evaluations(finished))
    images, listener = parts[part][:6], Notes()
    got = evaluate.evaluate(finished, folder=renamed(data, images, tmp_path / "new"), listener=listener)
    assert got.trained_on == (6 if part == "train" else 0)
    assert len(holdout.evaluations(finished)) == before + (part == "test")
    assert got.test_evaluations == (before + 1 if part == "test" else 0)
    assert not any("by their names" in line for line in listener.lines)
    if part == "test":
        assert holdout.evaluations(finished)[-1].images == 6


def test_others_of_a_patient_with_a_copy_of_a_training_image_count_too(data, finished, parts, tmp_path):
    images = [*parts["train"][:1], *parts["val"][:3]]
    folder = renamed(data, images, tmp_path / "new", patient_id=["p1", "p1", "p2", "p2"])
    assert evaluate.evaluate(finished, folder=folder).trained_on == 2


@pytest.mark.parametrize("change", [lambda image: image, rotated, smaller])
def test_copies_that_were_saved_again_are_recognised(data, finished, parts, tmp_path, change):
    before = len(holdout.evaluations(finished))
    folder = renamed(data, [*parts["train"][:3], *parts["test"][:3]], tmp_path / "new")
    for path in folder.rglob("*.jpg"):
        with Image.open(path) as image:
            change(image.convert("RGB")).save(path, quality=85)
    assert evaluate.evaluate(finished, folder=folder).trained_on == 3
    assert len(holdout.evaluations(finished)) == before + 1
    assert holdout.evaluations(finished)[-1].images == 3


def test_other_lesions_are_no_copies(finished, tmp_path):
    before = len(holdout.evaluations(finished))
    synthesize(tmp_path / "new", images=40, size=48, seed=11)
    for path in (tmp_path / "new").rglob("*.csv"):
        path.write_text(path.read_text().replace("SYN_", "NEW_"))
    for path in (tmp_path / "new").rglob("*.jpg"):
        path.rename(path.with_name(path.name.replace("SYN_", "NEW_")))
    assert evaluate.evaluate(finished, folder=tmp_path / "new").trained_on == 0
    assert len(holdout.evaluations(finished)) == before


def test_the_runs_own_files_are_not_searched(data, finished, monkeypatch):
    monkeypatch.setattr(copies, "among", None)
    assert evaluate.evaluate(finished, folder=data).trained_on > 0


def test_an_unrelated_folder_at_the_path_of_the_recipe_is_not_taken_for_the_runs_own(
    data, parts, tmp_path, monkeypatch, finished
):
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    shutil.copytree(data, "data")
    run = trained(recipe("data"), tmp_path / "run")
    copies_of = renamed(data, parts["train"][:6], tmp_path / "there/data")
    listener = Notes()
    assert evaluate.evaluate(run, folder=copies_of, listener=listener).trained_on == 6
    assert not any("by their names" in line for line in listener.lines)
    monkeypatch.chdir(tmp_path / "there")
    evaluate.evaluate(run, folder=Path("data"), listener=listener)
    (warning,) = [line for line in listener.lines if "by their names alone" in line]
    assert f"220 of its 220 images are not in {tmp_path / 'there/data'}" in warning


def test_without_the_runs_own_images_names_alone_count_and_a_warning_says_so(data, finished, parts, tmp_path):
    folder = renamed(data, parts["train"][:3], tmp_path / "new")
    listener = Notes()
    data.rename(data.with_name("elsewhere"))
    try:
        assert evaluate.evaluate(finished, folder=folder, listener=listener).trained_on == 0
    finally:
        data.with_name("elsewhere").rename(data)
    (warning,) = [line for line in listener.lines if "recognised by their names alone" in line]
    assert str(data) in warning
