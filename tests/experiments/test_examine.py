"""The examination of a teacher on synthetic lesions: findings, and that the test set is not evaluated."""

import json
import re
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from command import call, refused
from dspkd.errors import DataError, RecipeError, RunError
from dspkd.evaluation.metrics import summarise
from dspkd.evaluation.predictions import Predictions
from dspkd.experiments.teacher_check import examine as doctor
from dspkd.experiments.teacher_check import students as plain_students
from dspkd.recipes import schema
from dspkd.runs import build, holdout
from dspkd.runs import train as run
from dspkd.runs.files import RunFiles

STAGE = {"name": "labels", "epochs": 1, "lr": 3e-3, "terms": [{"method": "labels"}]}


def plain_recipe(lesions, **changes):
    settings = {
        "name": "plain",
        "data": {"path": str(lesions)},
        "model": {"name": "tiny"},
        "images": {"size": 32, "randaugment": {"num_ops": 1}},
        "train": {"batch_size": 16, "balance": 0.5},
        "machine": {"device": "cpu", "cache": "none"},
        "stages": [STAGE],
    }
    return schema.parse({**settings, **changes})


def student(lesions, *teachers, **changes):
    terms = [{"method": "labels"}, {"method": "kd", "options": {"temperature": 4.0}}]
    settings = {"teacher": list(map(str, teachers)), "stages": [{**STAGE, "terms": terms}]}
    return plain_recipe(lesions, **{"name": "kd", **settings, **changes})


@pytest.fixture(scope="module")
def runs(lesions, tmp_path_factory):
    """A teacher and a plain student, side by side."""
    folder = tmp_path_factory.mktemp("runs")
    run.train(plain_recipe(lesions, name="teacher", model={"name": "tiny_wide"}), folder / "teacher")
    run.train(plain_recipe(lesions), folder / "plain")
    return folder


@pytest.fixture(scope="module")
def examined(lesions, runs):
    return doctor.examine(student(lesions, runs / "teacher"))


def about(examination, topic):
    return [finding for finding in examination.findings if finding.about == topic]


def test_the_teacher_is_compared_with_the_plain_run_beside_it(runs, examined):
    assert examined.students == (str(runs / "plain"),)
    assert about(examined, "plain students") == []
    scores = [summarise(Predictions.load(runs / name / "predictions/val.csv")) for name in ("teacher", "plain")]
    difference = scores[0].balanced_accuracy - scores[1].balanced_accuracy
    assert examined.margin.balanced_accuracy.value == pytest.approx(difference, abs=1e-6)
    assert examined.validation.balanced_accuracy[0] == pytest.approx(scores[0].balanced_accuracy, abs=1e-6)
    assert [row.name for row in examined.margin.classes] == [row.name for row in scores[0].per_class]


def test_an_untrained_teacher_must_not_teach_and_the_test_set_is_not_evaluated(runs, examined):
    assert not examined.teach
    assert examined.verdict.startswith("do not teach yet: not significantly better than the plain student")
    assert all(len(holdout.evaluations(runs / name)) == 1 for name in ("teacher", "plain"))


def test_test_rows_are_never_predicted(lesions, runs, monkeypatch):
    rows = []
    predicted = doctor._predicted
    monkeypatch.setattr(doctor, "_predicted", lambda *a: rows.append(set(a[3].tolist())) or predicted(*a))
    doctor.examine(student(lesions, runs / "teacher"))
    split = build.load_data(plain_recipe(lesions)).split
    assert not set().union(*rows) & set(split.places("test").tolist())
    assert set(split.rows("val").tolist()) in rows


def test_without_a_plain_student_the_verdict_is_not_to_teach(lesions, runs, tmp_path):
    shutil.copytree(runs / "teacher", tmp_path / "teacher")
    examination = doctor.examine(student(lesions, tmp_path / "teacher"))
    assert examination.margin is None
    assert "--student" in examination.verdict
    named = doctor.examine(student(lesions, tmp_path / "teacher"), [runs / "plain"])
    assert named.margin is not None


def test_a_student_of_other_images_or_unfinished_is_refused(lesions, runs, tmp_path):
    recipe = student(lesions, runs / "teacher")
    with pytest.raises(RunError, match="not a run folder"):
        doctor.examine(recipe, [tmp_path])
    lines = (runs / "plain/predictions/val.csv").read_text().splitlines()
    (tmp_path / "predictions").mkdir()
    (tmp_path / "predictions/val.csv").write_text("\n".join(lines[:-3]) + "\n")
    with pytest.raises(DataError, match=r"predictions/val\.csv: .*: 3 of"):
        doctor.examine(recipe, [tmp_path])


def test_plain_runs_of_other_image_sizes_are_not_used(lesions, runs, examined):
    examination = doctor.examine(student(lesions, runs / "teacher", images={"size": 48, "randaugment": {"num_ops": 1}}))
    assert examination.students == ()
    assert [finding.severity for finding in about(examination, "plain students")] == ["note"]
    (images,) = about(examination, "images")
    assert images.severity == "note"
    assert re.search("32 px.* 48 px", images.message)
    (same,) = about(examined, "images")
    assert same.severity == "ok"


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"stages": [{**STAGE, "epochs": 50}]}, "the number of epochs is 1, but the recipe has 50"),
        ({"images": {"size": 32, "randaugment": {"num_ops": 2}}}, r"images.randaugment.num_ops is 1, .* has 2"),
        ({"split": {"seed": 1}}, "other data or another split"),
    ],
)
def test_plain_runs_that_differ_are_left_out_and_named_ones_are_used_with_a_note(lesions, runs, changes, reason):
    recipe = plain_recipe(lesions, **changes)
    recipe = replace(recipe, teacher=student(lesions, runs / "teacher").teacher)
    dataset = build.load_data(recipe)
    validation = Predictions.load(runs / "plain/predictions/val.csv")
    compared, (note,) = plain_students.of(recipe, dataset, validation, [])
    assert compared == {}
    assert re.search(rf"{runs / 'plain'}: .*{reason}.*--student", note.message)
    compared, (note,) = plain_students.of(recipe, dataset, validation, [runs / "plain"])
    assert list(compared) == [str(runs / "plain")]
    assert (note.about, note.severity) == ("plain students", "note")
    assert re.search(reason, note.message)


def test_a_plain_teacher_is_not_its_own_student(lesions, runs):
    """As in self-distillation, where the teacher has the student's network."""
    recipe = student(lesions, runs / "plain")
    validation = Predictions.load(runs / "plain/predictions/val.csv")
    assert plain_students.of(recipe, build.load_data(recipe), validation, []) == ({}, [])


def test_classes_in_another_order_are_a_finding_that_stops(lesions, runs, tmp_path):
    shutil.copytree(runs / "teacher", tmp_path / "teacher")
    data = json.loads((tmp_path / "teacher/data.json").read_text())
    with RunFiles(tmp_path / "teacher").manifest.recording(tmp_path / "teacher/data.json"):
        (tmp_path / "teacher/data.json").write_text(json.dumps({**data, "classes": data["classes"][::-1]}))
    examination = doctor.examine(student(lesions, tmp_path / "teacher"))
    assert examination.verdict.startswith("do not teach yet: teacher ")
    assert str(tmp_path / "teacher") in examination.verdict


def test_a_recipe_without_a_teacher_and_a_missing_teacher_are_errors(lesions, tmp_path):
    with pytest.raises(RecipeError, match=r"plain: .*teacher = "):
        doctor.examine(plain_recipe(lesions))
    with pytest.raises(RunError, match="nowhere"):
        doctor.examine(student(lesions, tmp_path / "nowhere"))


def test_the_mean_over_rotations_and_flips_is_over_eight_views(lesions, runs):
    dataset = build.load_data(plain_recipe(lesions))
    table, split = dataset.table, dataset.split
    teacher = build.teacher([str(runs / "teacher")], table, split, torch.device("cpu"))
    images = torch.rand(2, 3, 32, 32)
    network = doctor._TeacherNetwork(teacher.averaging(8))
    views = [torch.rot90(flipped, k, dims=(2, 3)) for flipped in (images, images.flip(3)) for k in range(4)]
    by_hand = torch.stack([teacher.network(view).logits.softmax(dim=1) for view in views]).mean(dim=0)
    torch.testing.assert_close(network(images).logits.softmax(dim=1), by_hand, rtol=1e-4, atol=1e-6)
    rotated = torch.rot90(images, 1, dims=(2, 3)).flip(2)
    torch.testing.assert_close(network(rotated).logits, network(images).logits, rtol=1e-3, atol=1e-5)


def test_two_teachers_are_examined_as_their_mean(lesions, runs):
    examination = doctor.examine(student(lesions, runs / "teacher", runs / "plain"), [runs / "plain"])
    one, two = (Predictions.load(runs / name / "predictions/val.csv") for name in ("teacher", "plain"))
    mean = (one.probabilities + two.probabilities) / 2
    accuracy = np.mean(mean.argmax(axis=1) == one.labels)
    assert examination.validation.accuracy[0] == pytest.approx(accuracy, abs=1e-6)
    assert examination.teacher == (str(runs / "teacher"), str(runs / "plain"))
    assert len(about(examination, "images")) == 2


def test_the_command_prints_findings_and_exits_with_the_verdict(lesions, runs, tmp_path):
    file = Path(tmp_path / "kd.toml")
    file.write_text(schema.dump(student(lesions, runs / "teacher")))
    out, _ = call("doctor", file, code=1)
    assert "stop better than the student: " in out
    assert re.search("ok   classes and split: .*MEL, NV", out)
    assert out.splitlines()[-1].startswith("do not teach yet: ")
    payload = json.loads(call("doctor", file, "--student", runs / "plain", "--json", code=1)[0])
    assert payload["teach"] is False
    assert payload["margin"]["classes"][0]["name"] == "MEL"
    assert "teacher = " in refused("doctor", runs / "plain" / "recipe.toml")
