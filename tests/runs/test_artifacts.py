"""Artifacts that a run saves for its report: teacher predictions, Grad-CAM maps, features, small images."""

import json

import numpy as np
import pytest
import torch
from PIL import Image

from dspkd.evaluation.fidelity import agreement
from dspkd.evaluation.gradcam import grad_cam
from dspkd.evaluation.inference import predict
from dspkd.evaluation.predictions import Predictions
from dspkd.models import zoo
from dspkd.runs import artifacts, build
from dspkd.runs.context import RunContext
from dspkd.runs.files import RunFiles
from dspkd.training.progress import NullProgress
from dspkd.training.teachers.ensemble import EnsembleTeacher
from dspkd.training.teachers.frozen import FrozenTeacher
from tiny_runs import recipe as recipe_for

CPU = torch.device("cpu")


def biased_network(name, number, seed):
    """Return an untrained network that predicts class `number` for nearly every image."""
    torch.manual_seed(seed)
    network = zoo.make(name, classes=8)
    with torch.no_grad():
        network.network.fc.bias[number] += 0.5
    return network.eval()


@pytest.fixture(scope="module")
def recipe(lesions):
    return recipe_for(lesions, images={"size": 48})


@pytest.fixture(scope="module")
def images(recipe):
    dataset = build.load_data(recipe)
    return dataset.table, dataset.split


def context(out, images, recipe, teacher, student):
    return RunContext(
        recipe=recipe,
        files=RunFiles(out),
        listener=NullProgress(),
        table=images[0],
        split=images[1],
        student=student,
        teacher=teacher,
        device=CPU,
        bf16=False,
        compiled=False,
        to_train=None,
        to_evaluate=None,
    )


def save_artifacts(out, images, recipe, teacher, student):
    """Save the artifacts of a run into `out`; return the student's predictions."""
    run = context(out, images, recipe, teacher, student)
    rows = {part: np.flatnonzero(images[1].parts == part) for part in ("val", "test")}
    predictions = {
        part: predict(student, images[0], run.eval_loader(of_part), device=CPU) for part, of_part in rows.items()
    }
    artifacts.keep(run, predictions, rows)
    return predictions


@pytest.fixture(scope="module")
def student(images):
    return biased_network("tiny", images[0].classes.index("NV"), 1)


@pytest.fixture(scope="module")
def teacher(images):
    network = biased_network("tiny_wide", images[0].classes.index("MEL"), 2)
    return FrozenTeacher(network, network.spec)


@pytest.fixture(scope="module")
def saved(tmp_path_factory, images, recipe, teacher, student):
    """The folder of a run whose teacher predicts MEL and whose student NV, and the student's predictions."""
    out = tmp_path_factory.mktemp("saved")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(artifacts, "LISTED", 3)
        patch.setattr(artifacts, "MELANOMAS", 2)
        return out, save_artifacts(out, images, recipe, teacher, student)


def index(folder):
    return json.loads((folder / "artifacts/images.json").read_text())["images"]


@pytest.mark.parametrize("part", ["val", "test"])
def test_teacher_predictions_for_the_students_images_are_saved(saved, teacher, images, recipe, part):
    folder, student_predictions = saved
    teacher_predictions = Predictions.load(folder / f"predictions/teacher-{part}.csv")
    rows = np.flatnonzero(images[1].parts == part)
    loader = context(folder, images, recipe, teacher, teacher.network).eval_loader(rows)
    expected = predict(teacher.network, images[0], loader, device=CPU)
    assert teacher_predictions.ids == expected.ids == student_predictions[part].ids
    assert np.array_equal(teacher_predictions.logits, expected.logits)


def test_an_ensemble_predicts_mean_probabilities_and_has_maps_of_its_first_member(
    tmp_path, images, recipe, teacher, student
):
    other = biased_network("tiny", images[0].classes.index("BCC"), 3)
    both = EnsembleTeacher([teacher, FrozenTeacher(other, other.spec)])
    predictions = save_artifacts(tmp_path, images, recipe, both, student)
    single = [tmp_path / name for name in ("one", "two")]
    for folder, member in zip(single, both.members, strict=True):
        save_artifacts(folder, images, recipe, member, student)
    p = [Predictions.load(folder / "predictions/teacher-test.csv").probabilities for folder in (tmp_path, *single)]
    np.testing.assert_allclose(p[0], (p[1] + p[2]) / 2, rtol=1e-4)
    first = {each["id"]: each["looks"]["teacher"] for each in index(single[0]) if each["looks"]}
    assert [each for each in index(tmp_path) if each["looks"] and first.get(each["id"]) == each["looks"]["teacher"]]
    assert len(predictions["test"]) == len(p[0])


def test_images_are_forgotten_melanomas_then_one_of_each_class_then_other_forgotten_images(saved):
    folder, student_predictions = saved
    images = index(folder)
    val = student_predictions["val"]
    forgotten = {}
    for part, student in student_predictions.items():
        compared = agreement(student, Predictions.load(folder / f"predictions/teacher-{part}.csv"))
        forgotten[part] = {student.ids[k] for k in np.flatnonzero(compared.outcomes == "forgotten")}
    mapped = [each for each in images if each["looks"]]
    classes = [val.classes[val.labels[val.ids.index(each["id"])]] for each in mapped]
    assert mapped == images[: len(mapped)]
    assert {each["part"] for each in mapped} == {"val"}
    assert classes[:2] == ["MEL", "MEL"]
    assert {each["id"] for each in mapped[:2]} <= forgotten["val"]
    assert set(classes) == {val.classes[k] for k in np.unique(val.labels)}
    assert len(mapped) <= 2 + len(set(classes))
    rest = [(each["part"], each["id"]) for each in images[len(mapped) :]]
    assert [part for part, _ in rest].count("test") == 3
    assert [part for part, _ in rest].count("val") <= 3
    assert all(name in forgotten[part] for part, name in rest)
    assert len({(each["part"], each["id"]) for each in images}) == len(images)


def test_images_are_small_and_maps_are_from_0_to_1(saved):
    folder, _ = saved
    for each in index(folder):
        file = folder / "artifacts" / each["file"]
        with Image.open(file) as image:
            assert image.size == (160, 160)
        assert file.stat().st_size < 20_000
        assert set(each["looks"]) in ({"student", "teacher"}, set())
        for heat in each["looks"].values():
            assert np.array(heat).shape == (2, 2)
            assert 0 <= np.min(heat) <= np.max(heat) <= 1


def test_each_map_is_of_its_own_image_and_network(saved, teacher, student, images, recipe):
    mapped = [each for each in index(saved[0]) if each["looks"]]
    rows = np.array([list(images[0].ids).index(each["id"]) for each in mapped])
    (batch,) = context(saved[0], images, recipe, teacher, student).eval_loader(rows)
    for name, network in (("student", student), ("teacher", teacher.network)):
        expected = grad_cam(network, batch.images, batch.labels)
        np.testing.assert_allclose([each["looks"][name] for each in mapped], expected, atol=1e-3)
    assert any(each["looks"]["student"] != each["looks"]["teacher"] for each in mapped)


def test_features_are_the_pooled_features_of_validation_images(saved, student, images, recipe, monkeypatch, tmp_path):
    folder, student_predictions = saved
    with np.load(folder / "artifacts/features.npz") as features:
        assert tuple(features["ids"]) == student_predictions["val"].ids
        assert features["labels"].tolist() == student_predictions["val"].labels.tolist()
        assert features["student"].shape == (len(student_predictions["val"]), 96)
        assert features["teacher"].shape == (len(student_predictions["val"]), 192)
        assert features["teacher"].dtype == np.float16
        # The student's linear classifier gives its logits from them.
        weight, bias = (value.detach().numpy() for value in student.network.fc.parameters())
        np.testing.assert_allclose(features["student"] @ weight.T + bias, student_predictions["val"].logits, atol=2e-3)
    monkeypatch.setattr(artifacts, "FEATURES", 10)
    save_artifacts(tmp_path, images, recipe, None, student)
    with np.load(tmp_path / "artifacts/features.npz") as features:
        assert len(set(features["ids"].tolist())) == 10
        assert set(features["ids"].tolist()) < set(student_predictions["val"].ids)


def test_without_a_teacher_there_are_maps_of_the_student_alone(tmp_path, images, recipe, student):
    val = save_artifacts(tmp_path, images, recipe, None, student)["val"]
    assert not (tmp_path / "predictions").exists()
    assert all(set(each["looks"]) == {"student"} and each["part"] == "val" for each in index(tmp_path))
    missed = {name for name, label in zip(val.ids, val.labels, strict=True) if val.classes[label] == "MEL"}
    assert {each["id"] for each in index(tmp_path)[: min(len(missed), artifacts.MELANOMAS)]} <= missed
    with np.load(tmp_path / "artifacts/features.npz") as features:
        assert set(features) == {"ids", "labels", "student"}
