"""The doctor, end to end on synthetic lesions: what it looks at, what it says, and that the test part stays sealed."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch

from command import call, refused
from dspkd.errors import DataError, RecipeError, RunError
from dspkd.evaluation.metrics import summarise
from dspkd.evaluation.predictions import Predictions
from dspkd.experiments.teacher_check import examine as doctor
from dspkd.recipes import schema
from dspkd.runs import build, holdout
from dspkd.runs import train as run

STAGE = {"name": "labels", "epochs": 1, "lr": 3e-3, "terms": [{"method": "labels"}]}


def made(lesions, **changes):
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
    return made(lesions, **{"name": "kd", **settings, **changes})


@pytest.fixture(scope="module")
def runs(lesions, tmp_path_factory):
    """A teacher and a plain student, side by side."""
    folder = tmp_path_factory.mktemp("runs")
    run.train(made(lesions, name="teacher", model={"name": "tiny_wide"}), folder / "teacher")
    run.train(made(lesions), folder / "plain")
    return folder


@pytest.fixture(scope="module")
def examined(lesions, runs):
    return doctor.examine(student(lesions, runs / "teacher"))


def about(found, what):
    return [finding for finding in found.findings if finding.about == what]


def test_the_teacher_is_compared_with_the_plain_run_beside_it(runs, examined):
    assert examined.students == (str(runs / "plain"),)
    scores = [summarise(Predictions.load(runs / name / "predictions/val.csv")) for name in ("teacher", "plain")]
    difference = scores[0].balanced_accuracy - scores[1].balanced_accuracy
    assert examined.margin.balanced_accuracy.value == pytest.approx(difference, abs=1e-6)
    assert examined.validation.balanced_accuracy[0] == pytest.approx(scores[0].balanced_accuracy, abs=1e-6)
    assert [row.name for row in examined.margin.classes] == [row.name for row in scores[0].per_class]


def test_an_untrained_teacher_is_not_to_teach_and_the_test_part_stays_sealed(runs, examined):
    assert not examined.teach
    assert examined.verdict.startswith(
        "do not teach yet: it is not shown to be better than the plain student: balanced"
    )
    assert all(len(holdout.evaluations(runs / name)) == 1 for name in ("teacher", "plain"))


def test_test_rows_are_never_asked_for(lesions, runs, monkeypatch):
    judged = []
    predicted = doctor._predicted
    monkeypatch.setattr(doctor, "_predicted", lambda *a: judged.append(set(a[3].tolist())) or predicted(*a))
    doctor.examine(student(lesions, runs / "teacher"))
    split = build.load_data(made(lesions)).split
    assert not set().union(*judged) & set(split.places("test").tolist())
    assert set(split.rows("val").tolist()) in judged


def test_without_a_plain_student_nobody_knows(lesions, runs, tmp_path):
    shutil.copytree(runs / "teacher", tmp_path / "teacher")
    found = doctor.examine(student(lesions, tmp_path / "teacher"))
    assert found.margin is None
    assert "nobody knows whether it is better than its student" in found.verdict
    named = doctor.examine(student(lesions, tmp_path / "teacher"), [runs / "plain"])
    assert named.margin is not None


def test_a_student_of_other_images_or_unfinished_is_refused(lesions, runs, tmp_path):
    wanted = student(lesions, runs / "teacher")
    with pytest.raises(RunError, match=r"no predictions/val\.csv"):
        doctor.examine(wanted, [tmp_path])
    lines = (runs / "plain/predictions/val.csv").read_text().splitlines()
    (tmp_path / "predictions").mkdir()
    (tmp_path / "predictions/val.csv").write_text("\n".join(lines[:-3]) + "\n")
    with pytest.raises(DataError, match="not about the validation images of this recipe: 3 of"):
        doctor.examine(wanted, [tmp_path])


def test_plain_runs_of_other_networks_and_sizes_are_not_taken(lesions, runs, examined):
    found = doctor.examine(student(lesions, runs / "teacher", images={"size": 48, "randaugment": {"num_ops": 1}}))
    assert found.students == ()
    (images,) = about(found, "images")
    assert images.level == "note"
    assert "trained on 32 px and will be shown 48 px" in images.says
    (same,) = about(examined, "images")
    assert same.level == "ok"


def test_classes_in_another_order_are_in_the_way_and_a_finding(lesions, runs, tmp_path):
    shutil.copytree(runs / "teacher", tmp_path / "teacher")
    data = json.loads((tmp_path / "teacher/data.json").read_text())
    (tmp_path / "teacher/data.json").write_text(json.dumps({**data, "classes": data["classes"][::-1]}))
    found = doctor.examine(student(lesions, tmp_path / "teacher"))
    assert found.verdict.startswith("do not teach yet: teacher ")
    assert "the data's are" in found.verdict


def test_a_recipe_without_a_teacher_and_a_teacher_that_is_not_there_are_mistakes(lesions, tmp_path):
    with pytest.raises(RecipeError, match="plain: has no teacher to examine"):
        doctor.examine(made(lesions))
    with pytest.raises(RunError, match="no finished run"):
        doctor.examine(student(lesions, tmp_path / "nowhere"))


def test_turning_averages_the_eight_views(lesions, runs):
    dataset = build.load_data(made(lesions))
    table, split = dataset.table, dataset.split
    teacher = build.teacher([str(runs / "teacher")], table, split, torch.device("cpu"))
    images = torch.rand(2, 3, 32, 32)
    asked = doctor._Asked(teacher, doctor._TURNS)
    views = [torch.rot90(shown, k, dims=(2, 3)) for shown in (images, images.flip(3)) for k in range(4)]
    by_hand = torch.stack([teacher.network(view).logits.softmax(dim=1) for view in views]).mean(dim=0)
    torch.testing.assert_close(asked(images).logits.softmax(dim=1), by_hand, rtol=1e-4, atol=1e-6)
    rotated = torch.rot90(images, 1, dims=(2, 3)).flip(2)
    torch.testing.assert_close(asked(rotated).logits, asked(images).logits, rtol=1e-3, atol=1e-5)


def test_two_teachers_are_examined_as_their_mean(lesions, runs):
    found = doctor.examine(student(lesions, runs / "teacher", runs / "plain"), [runs / "plain"])
    one, two = (Predictions.load(runs / name / "predictions/val.csv") for name in ("teacher", "plain"))
    mean = (one.probabilities + two.probabilities) / 2
    right = np.mean(mean.argmax(axis=1) == one.labels)
    assert found.validation.accuracy[0] == pytest.approx(right, abs=1e-6)
    assert found.teacher == (str(runs / "teacher"), str(runs / "plain"))
    assert len(about(found, "images")) == 2


def test_the_command_says_it_and_exits_with_the_verdict(lesions, runs, tmp_path):
    file = Path(tmp_path / "kd.toml")
    file.write_text(schema.dump(student(lesions, runs / "teacher")))
    out, _ = call("doctor", file, code=1)
    assert "stop better than the student: it is not shown" in out
    assert "ok   classes and split: classes in the data's order: MEL, NV" in out
    assert out.splitlines()[-1].startswith("do not teach yet: ")
    told = json.loads(call("doctor", file, "--student", runs / "plain", "--json", code=1)[0])
    assert told["teach"] is False
    assert told["margin"]["classes"][0]["name"] == "MEL"
    assert "has no teacher to examine" in refused("doctor", runs / "plain" / "recipe.toml")
