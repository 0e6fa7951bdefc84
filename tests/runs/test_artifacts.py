"""What a run keeps for its page while the networks are at hand."""

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
from dspkd.recipes import schema
from dspkd.runs import artifacts, build
from dspkd.runs.context import RunContext
from dspkd.runs.files import RunFiles
from dspkd.training.progress import NullProgress
from dspkd.training.teachers.ensemble import EnsembleTeacher
from dspkd.training.teachers.frozen import FrozenTeacher

CPU = torch.device("cpu")


def leaning(name, number, seed):
    """A network of initial weights that answers nearly every image with one class."""
    torch.manual_seed(seed)
    made = zoo.make(name, classes=8)
    with torch.no_grad():
        made.network.fc.bias[number] += 0.5
    return made.eval()


@pytest.fixture(scope="module")
def made(lesions):
    return schema.parse(
        {
            "name": "made",
            "data": {"path": str(lesions)},
            "model": {"name": "tiny"},
            "images": {"size": 48},
            "train": {"batch_size": 16},
            "stages": [{"name": "labels", "epochs": 1, "lr": 3e-3, "terms": [{"method": "labels"}]}],
        }
    )


@pytest.fixture(scope="module")
def images(made):
    dataset = build.load_data(made)
    return dataset.table, dataset.split


def context(out, images, made, teacher, student):
    return RunContext(
        recipe=made,
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


def kept(out, images, made, teacher, student):
    """Save the artifacts of a student that predicts NV; return the student's predictions."""
    run = context(out, images, made, teacher, student)
    rows = {part: np.flatnonzero(images[1].parts == part) for part in ("val", "test")}
    predictions = {
        part: predict(student, images[0], run.eval_loader(of_part), device=CPU) for part, of_part in rows.items()
    }
    artifacts.keep(run, predictions, rows)
    return predictions


@pytest.fixture(scope="module")
def student(images):
    return leaning("tiny", images[0].classes.index("NV"), 1)


@pytest.fixture(scope="module")
def teacher(images):
    network = leaning("tiny_wide", images[0].classes.index("MEL"), 2)
    return FrozenTeacher(network, network.spec)


@pytest.fixture(scope="module")
def taught(tmp_path_factory, images, made, teacher, student):
    """The folder of a run whose teacher says MEL and whose student says NV, and the student's predictions."""
    out = tmp_path_factory.mktemp("taught")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(artifacts, "LISTED", 3)
        patch.setattr(artifacts, "MELANOMAS", 2)
        return out, kept(out, images, made, teacher, student)


def index(folder):
    return json.loads((folder / "artifacts/images.json").read_text())["images"]


@pytest.mark.parametrize("part", ["val", "test"])
def test_the_teachers_answers_to_the_students_images_are_written(taught, teacher, images, made, part):
    folder, said = taught
    got = Predictions.load(folder / f"predictions/teacher-{part}.csv")
    rows = np.flatnonzero(images[1].parts == part)
    loader = context(folder, images, made, teacher, teacher.network).eval_loader(rows)
    alone = predict(teacher.network, images[0], loader, device=CPU)
    assert got.ids == alone.ids == said[part].ids
    assert np.array_equal(got.logits, alone.logits)


def test_several_teachers_say_the_mean_of_their_probabilities_and_the_first_shows_its_maps(
    tmp_path, images, made, teacher, student
):
    other = leaning("tiny", images[0].classes.index("BCC"), 3)
    both = EnsembleTeacher([teacher, FrozenTeacher(other, other.spec)])
    said = kept(tmp_path, images, made, both, student)
    single = [tmp_path / name for name in ("one", "two")]
    for folder, member in zip(single, both.members, strict=True):
        kept(folder, images, made, member, student)
    p = [Predictions.load(folder / "predictions/teacher-test.csv").probabilities for folder in (tmp_path, *single)]
    np.testing.assert_allclose(p[0], (p[1] + p[2]) / 2, rtol=1e-4)
    shared = {each["id"]: each["looks"]["teacher"] for each in index(single[0]) if each["looks"]}
    assert [each for each in index(tmp_path) if each["looks"] and shared.get(each["id"]) == each["looks"]["teacher"]]
    assert len(said["test"]) == len(p[0])


def test_forgotten_melanomas_come_first_then_one_of_each_class_then_the_rest_of_the_ledger(taught):
    folder, said = taught
    images = index(folder)
    val = said["val"]
    fates = {part: agreement(said[part], Predictions.load(folder / f"predictions/teacher-{part}.csv")) for part in said}
    forgotten = {
        part: {row.student.ids[k] for k in np.flatnonzero(row.fates == "forgotten")} for part, row in fates.items()
    }
    looked = [each for each in images if each["looks"]]
    classes = [val.classes[val.labels[val.ids.index(each["id"])]] for each in looked]
    assert looked == images[: len(looked)]
    assert {each["part"] for each in looked} == {"val"}
    assert classes[:2] == ["MEL", "MEL"]
    assert {each["id"] for each in looked[:2]} <= forgotten["val"]
    assert set(classes) == {val.classes[k] for k in np.unique(val.labels)}
    assert len(looked) <= 2 + len(set(classes))
    rest = [(each["part"], each["id"]) for each in images[len(looked) :]]
    assert [part for part, _ in rest].count("test") == 3
    assert [part for part, _ in rest].count("val") <= 3
    assert all(name in forgotten[part] for part, name in rest)
    assert len({(each["part"], each["id"]) for each in images}) == len(images)


def test_images_are_small_and_where_both_look_are_maps_from_0_to_1(taught):
    folder, _ = taught
    for each in index(folder):
        file = folder / "artifacts" / each["file"]
        with Image.open(file) as image:
            assert image.size == (160, 160)
        assert file.stat().st_size < 20_000
        assert set(each["looks"]) in ({"student", "teacher"}, set())
        for heat in each["looks"].values():
            assert np.array(heat).shape == (2, 2)
            assert 0 <= np.min(heat) <= np.max(heat) <= 1


def test_a_map_is_of_its_own_image_and_network(taught, teacher, student, images, made):
    looked = [each for each in index(taught[0]) if each["looks"]]
    rows = np.array([list(images[0].ids).index(each["id"]) for each in looked])
    (shown,) = context(taught[0], images, made, teacher, student).eval_loader(rows)
    for name, network in (("student", student), ("teacher", teacher.network)):
        wanted = grad_cam(network, shown.images, shown.labels)
        np.testing.assert_allclose([each["looks"][name] for each in looked], wanted, atol=1e-3)
    assert any(each["looks"]["student"] != each["looks"]["teacher"] for each in looked)


def test_pooled_vectors_are_those_of_the_validation_images(taught, student, images, made, monkeypatch, tmp_path):
    folder, said = taught
    with np.load(folder / "artifacts/features.npz") as features:
        assert tuple(features["ids"]) == said["val"].ids
        assert features["labels"].tolist() == said["val"].labels.tolist()
        assert features["student"].shape == (len(said["val"]), 96)
        assert features["teacher"].shape == (len(said["val"]), 192)
        assert features["teacher"].dtype == np.float16
        # A linear classifier reads them: what they give is what the student answered.
        weight, bias = (value.detach().numpy() for value in student.network.fc.parameters())
        np.testing.assert_allclose(features["student"] @ weight.T + bias, said["val"].logits, atol=2e-3)
    monkeypatch.setattr(artifacts, "FEATURES", 10)
    kept(tmp_path, images, made, None, student)
    with np.load(tmp_path / "artifacts/features.npz") as features:
        assert len(set(features["ids"].tolist())) == 10
        assert set(features["ids"].tolist()) < set(said["val"].ids)


def test_where_nobody_taught_there_are_the_students_own_maps_and_no_answers_of_a_teacher(
    tmp_path, images, made, student
):
    said = kept(tmp_path, images, made, None, student)["val"]
    assert not (tmp_path / "predictions").exists()
    assert all(set(each["looks"]) == {"student"} and each["part"] == "val" for each in index(tmp_path))
    missed = {name for name, label in zip(said.ids, said.labels, strict=True) if said.classes[label] == "MEL"}
    assert {each["id"] for each in index(tmp_path)[: min(len(missed), artifacts.MELANOMAS)]} <= missed
    with np.load(tmp_path / "artifacts/features.npz") as features:
        assert set(features) == {"ids", "labels", "student"}
