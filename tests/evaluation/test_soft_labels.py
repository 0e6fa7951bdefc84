"""Predictions against labels that are weights of several classes, from numbers to the command and the report."""

import csv
import json
from math import log

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

from dspkd import data
from dspkd.cli.main import app
from dspkd.data import Columns
from dspkd.evaluation import soft_labels
from dspkd.evaluation.predictions import Predictions
from dspkd.experiments import single_run
from dspkd.recipes import schema
from dspkd.runs import evaluate


def predictions(probabilities):
    logits = np.log(np.array(probabilities)).astype(np.float32)
    names = tuple(f"i{row}" for row in range(len(logits)))
    return Predictions(("a", "b", "c")[: logits.shape[1]], names, names, np.zeros(len(logits), np.int64), logits)


def test_the_figures_of_two_images():
    weights = np.array([[0.75, 0.25], [0.0, 1.0]], dtype=np.float32)
    scores = soft_labels.of(predictions([[0.4, 0.6], [0.2, 0.8]]), weights)
    first = -(0.75 * log(0.4) + 0.25 * log(0.6))
    assert scores.cross_entropy == pytest.approx((first - log(0.8)) / 2, rel=1e-6)
    assert scores.lowest_cross_entropy == pytest.approx(-(0.75 * log(0.75) + 0.25 * log(0.25)) / 2, rel=1e-6)
    assert (scores.weight_of_predicted, scores.highest_weight) == (pytest.approx(0.625), pytest.approx(0.875))


def test_predicting_the_weights_is_best():
    weights = np.array([[0.5, 0.3, 0.2], [0.1, 0.1, 0.8]], dtype=np.float32)
    scores = soft_labels.of(predictions(weights), weights)
    assert scores.cross_entropy == pytest.approx(scores.lowest_cross_entropy, rel=1e-5)
    assert scores.weight_of_predicted == scores.highest_weight


def test_images_of_one_class_each_have_none():
    assert soft_labels.of(predictions([[0.4, 0.6]]), None) is None


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    folder = tmp_path_factory.mktemp("soft")
    generator = np.random.default_rng(0)
    with (folder / "labels.csv").open("w", newline="") as file:
        rows = csv.writer(file)
        rows.writerow(["image", "patient", "mole", "melanoma"])
        for number in range(40):
            Image.fromarray(generator.integers(0, 256, (24, 24, 3), dtype=np.uint8)).save(folder / f"{number}.png")
            rows.writerow([f"{number}.png", f"p{number}", *((0.7, 0.3) if number % 2 else (0.1, 0.9))])
    recipe = schema.parse(
        {
            "name": "soft",
            "data": {
                "path": str(folder / "labels.csv"),
                "columns": {"image": "image", "label": ["mole", "melanoma"], "group": "patient"},
            },
            "model": {"name": "tiny"},
            "images": {"size": 16, "randaugment": {"num_ops": 0}},
            "train": {"batch_size": 8},
            "machine": {"threads": 1},
            "stages": [
                {
                    "name": "labels",
                    "epochs": 1,
                    "lr": 1e-3,
                    "terms": [{"method": "labels", "options": {"soft_labels": True}}],
                }
            ],
        }
    )
    out = folder / "run"
    single_run.train(recipe, out)
    return folder, out


def test_the_result_the_report_and_the_command_have_the_same_figures(run):
    _, out = run
    kept = json.loads((out / "result.json").read_text())["soft_labels"]
    test = Predictions.load(out / "predictions" / "test.csv")
    heavy = {"mole": [0.7, 0.3], "melanoma": [0.1, 0.9]}
    weights = np.array([heavy[test.classes[label]] for label in test.labels])
    order = [("mole", "melanoma").index(name) for name in test.classes]
    expected = soft_labels.of(test, weights[:, order].astype(np.float32))
    assert kept["cross_entropy"] == pytest.approx(expected.cross_entropy, rel=1e-6)
    assert kept["weight_of_predicted"] == pytest.approx(expected.weight_of_predicted, rel=1e-6)
    assert expected.sentence in (out / "report.html").read_text()
    shown = CliRunner().invoke(app, ["evaluate", str(out)], terminal_width=200)
    assert expected.sentence in " ".join(shown.output.split())


def test_weights_of_other_images_are_in_the_order_of_the_students_classes(run):
    folder, _ = run
    columns = Columns(image="image", label=("mole", "melanoma"), group="patient")
    table = data.read("auto", folder / "labels.csv", columns=columns)
    renumbered = evaluate._numbered_by(("other", *reversed(table.classes)), table)
    np.testing.assert_allclose(renumbered.soft_labels[:, :0:-1], table.soft_labels, rtol=1e-6)
    assert not renumbered.soft_labels[:, 0].any()
