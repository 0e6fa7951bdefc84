"""Networks trained elsewhere, used as they are: recipes without stages."""

import json
import tomllib

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import save_file

from dspkd.errors import RecipeError, RunError, WeightsError
from dspkd.evaluation.predictions import Predictions
from dspkd.experiments import single_run
from dspkd.models import zoo
from dspkd.recipes import schema
from dspkd.runs import class_order, validate
from dspkd.runs import train as run
from dspkd.runs.explain import explain
from dspkd.runs.plan import plan
from dspkd.runs.run_folder import Run
from tiny_runs import dsp_kd_recipe, recipe, stage

COLOURS = {"blue": (30, 40, 200), "green": (40, 190, 50), "red": (200, 40, 30)}


@pytest.fixture(scope="module")
def coloured(tmp_path_factory):
    """Return class folders of 24 images each, of one colour with noise."""
    folder = tmp_path_factory.mktemp("coloured") / "images"
    random = np.random.default_rng(0)
    for name, colour in COLOURS.items():
        (folder / name).mkdir(parents=True)
        for number in range(24):
            pixels = np.clip(np.array(colour) + random.normal(0, 30, (32, 32, 3)), 0, 255).astype(np.uint8)
            Image.fromarray(pixels).save(folder / name / f"{name}{number}.png")
    return folder


@pytest.fixture(scope="module")
def elsewhere(coloured, tmp_path_factory):
    """Return a run that learnt the colours; its weights stand for a checkpoint of another program."""
    out = tmp_path_factory.mktemp("elsewhere") / "run"
    images = {"size": 32, "randaugment": {"num_ops": 0}, "flips": False, "rotation": 0.0}
    taught = recipe(coloured, stages=[stage("labels", epochs=8, lr=1e-2)], images=images, train={"batch_size": 8})
    run.train(taught, out)
    return Run(out)


def as_is(folder, weights, **settings):
    return recipe(folder, stages=[], model={"name": "tiny", "weights": str(weights)}, **settings)


@pytest.fixture(scope="module")
def teacher(coloured, elsewhere, tmp_path_factory):
    """Return the run of that checkpoint, used as it is, with its report."""
    out = tmp_path_factory.mktemp("as_it_is") / "run"
    single_run.train(as_is(coloured, elsewhere.files.weights), out)
    return Run(out)


def test_it_has_the_predictions_of_the_network_and_is_finished(teacher, elsewhere):
    assert elsewhere.test.balanced_accuracy > 0.8
    for part in ("val", "test"):
        np.testing.assert_allclose(teacher.predictions(part).logits, elsewhere.predictions(part).logits, rtol=1e-5)
    assert teacher.require_finished().result.stages == ()


def test_its_report_warns_in_its_head_and_shows_no_curves(teacher):
    page = teacher.report.read_text(encoding="utf-8")
    head = page[: page.index("<nav")]
    assert "trained elsewhere and is used as it is" in head
    assert "None here: the network was trained elsewhere" in page


def test_it_teaches(teacher, coloured, tmp_path):
    taught = dsp_kd_recipe(coloured, teacher.folder, images={"size": 32}, train={"batch_size": 16})
    assert explain(taught).teacher.name == "tiny"
    run.train(taught, tmp_path / "student")
    assert Run(tmp_path / "student").result.teacher == str(teacher.folder)


def test_it_is_planned_and_explained(coloured, elsewhere):
    made = as_is(coloured, elsewhere.files.weights)
    assert explain(made).stages == plan(made).stages == ()


def test_a_recipe_without_stages_survives_a_round_trip(coloured):
    made = as_is(coloured, "file.pth")
    assert schema.parse(tomllib.loads(schema.dump(made))) == made


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"model": {"name": "tiny"}}, "model.weights = 'none' knows none of the classes"),
        ({"model": {"name": "tiny", "weights": "imagenet"}}, "'imagenet' knows none of the classes"),
        ({"model": {"name": "tiny", "weights": "a.pth"}, "teacher": "runs/t"}, "nothing learns from the teacher"),
    ],
)
def test_what_would_train_nothing_is_refused(settings, message):
    with pytest.raises(RecipeError, match=message):
        validate.check(recipe("images", stages=[], **settings))


def test_a_classifier_of_another_width_is_refused(coloured, tmp_path):
    save_file(zoo.make("tiny", classes=5).library_state(), tmp_path / "five.safetensors")
    with pytest.raises(WeightsError, match=r"its classifier is for 5 classes, and the data have 3.*add a stage"):
        run.train(as_is(coloured, tmp_path / "five.safetensors"), tmp_path / "out")
    assert not (tmp_path / "out" / "result.json").exists()


def test_a_file_without_a_classifier_is_refused(coloured, elsewhere, tmp_path):
    state = {name: t for name, t in elsewhere.model.library_state().items() if not name.startswith("fc.")}
    save_file(state, tmp_path / "bare.safetensors")
    with pytest.raises(WeightsError, match=r"it lacks fc\.weight"):
        run.train(as_is(coloured, tmp_path / "bare.safetensors"), tmp_path / "out")


@pytest.mark.parametrize(
    ("names", "message"),
    [(["red", "green", "blue"], "another order"), (["NV", "MEL", "BCC"], "renames")],
)
def test_a_folder_that_names_other_classes_is_refused(coloured, elsewhere, tmp_path, names, message):
    save_file(elsewhere.model.library_state(), tmp_path / "model.safetensors")
    (tmp_path / "config.json").write_text(json.dumps({"architecture": "tiny", "label_names": names}))
    expected = rf"has the classes {', '.join(names)}, and the data blue, green, red.*{message}"
    with pytest.raises(WeightsError, match=expected):
        run.train(as_is(coloured, tmp_path), tmp_path / "out")


def rotated(elsewhere, path, order):
    """Save the network with its outputs in another order."""
    state = {name: tensor.clone() for name, tensor in elsewhere.model.library_state().items()}
    state["fc.weight"], state["fc.bias"] = state["fc.weight"][order], state["fc.bias"][order]
    save_file(state, path)
    return path


def test_outputs_in_another_order_are_refused_with_the_order_that_fits(coloured, elsewhere, tmp_path):
    weights = rotated(elsewhere, tmp_path / "rotated.safetensors", [2, 0, 1])
    with pytest.raises(WeightsError, match=r"not shown to be better than guessing") as error:
        run.train(as_is(coloured, weights), tmp_path / "out")
    assert "fit better in the order red, blue, green" in str(error.value)
    assert not (tmp_path / "out" / "test_evaluations.jsonl").exists()


@pytest.mark.parametrize("order", [(0, 1, 2, 3), (2, 0, 3, 1), (1, 0, 2, 3)])
def test_the_order_that_fits_better_is_found(order):
    random = np.random.default_rng(1)
    labels = random.integers(0, 4, 400)
    outputs = np.where(random.random(400) < 0.7, np.argsort(order)[labels], random.integers(0, 4, 400))
    ids = tuple(map(str, range(400)))
    made = Predictions(tuple("ABCD"), ids, ids, labels, np.eye(4, dtype=np.float32)[outputs])
    expected = () if order == (0, 1, 2, 3) else tuple("ABCD"[k] for k in order)
    assert class_order.better_order(made) == expected


@pytest.mark.parametrize("suffix", [".pth", ".safetensors"])
def test_a_file_in_the_place_of_a_teachers_run_is_told_what_to_do(tmp_path, suffix):
    path = tmp_path / f"mine{suffix}"
    torch.save({}, path)
    with pytest.raises(RunError, match=r"weights, not a run folder.*stages = \[\]"):
        Run(path)
