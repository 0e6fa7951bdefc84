"""Outputs that are written for a teacher that answers otherwise in training than in evaluation."""

import csv

import numpy as np
import pytest
import torch

from command import call, refused
from dspkd.errors import DataError
from dspkd.evaluation.predictions import Predictions
from dspkd.runs import teacher_outputs
from dspkd.runs import train as run
from tiny_runs import LABELS, recipe, stage, teacher_recipe, trained, weights, write_recipe

KD = stage("kd", LABELS, {"method": "kd"})


@pytest.fixture(scope="module")
def teachers(lesions, tmp_path_factory):
    home = tmp_path_factory.mktemp("teachers")
    return [str(trained(teacher_recipe(lesions, seed=seed), home / f"t{seed}")) for seed in (0, 1)]


def student(lesions, teacher, cache=None, **settings):
    images = {"size": 32, "views": 1, "randaugment": {"num_ops": 1}}
    machine = {"machine": {"cache": str(cache)}} if cache else {}
    return recipe(lesions, **{"teacher": teacher, "images": images, "stages": [KD], **machine, **settings})


def logits_of(file):
    header, *rows = csv.reader(file.read_text().splitlines())
    assert header[0] == "id"
    return {row[0]: np.array(row[1:], float) for row in rows}


def parts_of(out):
    return {row["id"]: row["part"] for row in csv.DictReader((out / "split.csv").read_text().splitlines())}


@pytest.mark.parametrize("setting", [{"weights": "label"}, {"cross_fit": 2}])
def test_training_images_have_the_outputs_of_training_and_other_images_those_of_evaluation(
    lesions, teachers, tmp_path, setting
):
    runs = teachers if "weights" in setting else teachers[0]
    special, plain = (student(lesions, {"run": runs, **more}, tmp_path / "cache") for more in (setting, {}))
    for name, each in (("special", special), ("plain", plain)):
        call("teacher-outputs", write_recipe(tmp_path, each), "--out", tmp_path / f"{name}.csv")
    of_special, of_plain = (logits_of(tmp_path / f"{name}.csv") for name in ("special", "plain"))
    # From the cache that the command has filled, from an empty one, and from the file.
    run.train(special, tmp_path / "filled")
    run.train(student(lesions, {"run": runs, **setting}, tmp_path / "empty"), tmp_path / "clean")
    run.train(student(lesions, {"answers": str(tmp_path / "special.csv")}, tmp_path / "cache"), tmp_path / "file")
    filled, from_file, clean = (weights(tmp_path / name) for name in ("filled", "file", "clean"))
    for key, value in clean.items():
        assert torch.equal(filled[key], from_file[key]), key
        # A fold teacher's share of a batch depends on which images are missing, and rounding on the share's size.
        torch.testing.assert_close(filled[key], value, rtol=0, atol=1e-5 if "cross_fit" in setting else 0)
    same = {part: [] for part in ("train", "val", "test")}
    for image, part in parts_of(tmp_path / "clean").items():
        same[part].append(np.array_equal(of_special[image], of_plain[image]))
    assert all(same["val"] + same["test"])
    assert not any(same["train"])


@pytest.mark.parametrize("setting", [{"weights": "label"}, {"cross_fit": 2}])
@pytest.mark.parametrize("views", [2, "fresh"])
def test_a_file_that_cannot_hold_what_training_learns_is_refused(lesions, teachers, tmp_path, setting, views):
    runs = teachers if "weights" in setting else teachers[0]
    images = {"size": 32, "views": views}
    path = write_recipe(tmp_path, student(lesions, {"run": runs, **setting}, images=images))
    error = refused("teacher-outputs", path, "--out", tmp_path / "a.csv")
    assert f"teacher.{next(iter(setting))} = " in error
    assert f"set images.views = 1 (it is {views!r})" in error
    assert not (tmp_path / "a.csv").exists()


def test_outputs_as_evaluated_are_those_at_the_size_of_the_teacher(lesions, teachers, tmp_path):
    teacher = {"run": teachers[0], "size": 48}
    fresh = {"size": 32, "views": "fresh"}
    run.train(student(lesions, teacher, images=fresh), tmp_path / "run")
    outputs = {}
    for name, each in {
        "one view": student(lesions, teacher, tmp_path / "cache"),
        "fresh": student(lesions, teacher, images=fresh),
        "small": student(lesions, teachers[0], images=fresh),
    }.items():
        call("teacher-outputs", write_recipe(tmp_path, each), "--out", tmp_path / "a.csv")
        outputs[name] = logits_of(tmp_path / "a.csv")
    for part in ("val", "test"):
        evaluated = Predictions.load(tmp_path / f"run/predictions/teacher-{part}.csv")
        for image, logits in zip(evaluated.ids, evaluated.logits, strict=True):
            for name in ("one view", "fresh"):
                np.testing.assert_allclose(outputs[name][image], logits, atol=1e-5)
    assert not any(np.allclose(logits, outputs["small"][image]) for image, logits in outputs["fresh"].items())


@pytest.mark.parametrize("name", ["outputs.json", "outputs", "folder.csv"])
def test_a_file_that_cannot_be_written_is_refused_before_anything_is_computed(
    lesions, teachers, tmp_path, monkeypatch, name
):
    (tmp_path / "folder.csv").mkdir()
    monkeypatch.setattr(teacher_outputs, "prepare", None)
    path = write_recipe(tmp_path, student(lesions, teachers[0]))
    assert name in refused("teacher-outputs", path, "--out", tmp_path / name)


def test_the_folder_of_the_file_is_made(lesions, teachers, tmp_path, monkeypatch):
    """It is found missing before, not after, the outputs are computed."""

    def stop(*_):
        assert (tmp_path / "new").is_dir()
        raise DataError("enough")

    monkeypatch.setattr(teacher_outputs, "prepare", stop)
    path = write_recipe(tmp_path, student(lesions, teachers[0]))
    assert refused("teacher-outputs", path, "--out", tmp_path / "new" / "a.csv") == "error: enough"


def test_without_a_term_that_learns_from_the_teacher_all_outputs_are_as_in_evaluation(lesions, teachers, tmp_path):
    for name, stages in (("plain", [stage("labels")]), ("kd", [KD])):
        path = write_recipe(tmp_path, student(lesions, teachers[0], stages=stages))
        out, _ = call("teacher-outputs", path, "--out", tmp_path / f"{name}.csv")
        assert ("all as in evaluation" in out) is (name == "plain")
        assert ("training images in their one view" in out) is (name == "kd")
    plain, kd = (logits_of(tmp_path / f"{name}.csv") for name in ("plain", "kd"))
    assert any(not np.array_equal(plain[image], kd[image]) for image in plain)
