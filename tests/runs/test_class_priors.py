"""The class prior of a finished run, and the warning where labels pull against a corrected teacher."""

import json
from dataclasses import replace

import numpy as np
import pytest

from dspkd import data
from dspkd.data.sampling import class_draws
from dspkd.recipes import schema
from dspkd.runs import build, class_priors
from dspkd.runs import train as run
from dspkd.runs.run_folder import Run
from dspkd.training.progress import NullProgress
from tiny_runs import LABELS, recipe, stage, teacher_recipe, weights

WEIGHTED = {"method": "labels", "options": {"class_weights": "sqrt_inverse"}}
CORRECTED = {"method": "kd", "options": {"prior": "uniform"}}


class Notes(NullProgress):
    def __init__(self):
        self.warnings = []

    def note(self, text):
        self.warnings += [text] if text.startswith("warning: stage ") else []


@pytest.fixture(scope="module")
def teacher(lesions, tmp_path_factory):
    out = tmp_path_factory.mktemp("runs") / "teacher"
    run.train(teacher_recipe(lesions, stages=[stage("labels"), stage("weighted", WEIGHTED)]), out)
    return out


def counts_of(out):
    counts = json.loads((out / "data.json").read_text())["counts"]["train"]
    return np.array([counts[name][0] for name in Run(out).classes])


def loaded(out, lesions):
    dataset = data.load(lesions)
    return build.teacher([str(out)], dataset.table, dataset.split, build.torch.device("cpu"))


def test_a_teachers_prior_is_that_of_its_own_draws_and_of_the_weights_of_its_last_stage(teacher, lesions):
    counts = counts_of(teacher)
    assert counts.min() < counts.max()
    expected = class_draws(counts, balance=0.5) / np.sqrt(counts)
    assert loaded(teacher, lesions).spec.class_prior == pytest.approx(expected / expected.sum())


def test_an_ensembles_prior_is_the_mean(teacher, lesions, tmp_path):
    run.train(teacher_recipe(lesions), tmp_path / "other")
    members = [loaded(out, lesions) for out in (teacher, tmp_path / "other")]
    priors = [member.spec.class_prior for member in members]
    assert priors[0] != priors[1]
    mean = build.EnsembleTeacher(members).spec.class_prior
    assert mean == pytest.approx(np.mean(priors, axis=0))


def test_the_prior_of_a_teacher_of_soft_labels_is_unknown(teacher):
    """Its images are counted by their largest class, and it has learned their weights."""
    made_by = Run(teacher)
    assert class_priors.of_run(made_by, made_by.model.spec)
    soft = stage("soft", {"method": "labels", "options": {"soft_labels": True}})
    made_by.recipe = replace(made_by.recipe, stages=recipe("x", stages=[soft]).stages)
    assert class_priors.of_run(made_by, made_by.model.spec) == ()


ADJUSTED = {"method": "labels", "options": {"logit_adjustment": 1.0}}
SMOOTHED = {"method": "labels", "options": {"label_smoothing": 0.1}}


@pytest.mark.parametrize(
    ("stages", "as_of"),
    [
        ([[LABELS, ADJUSTED]], None),
        ([[ADJUSTED, LABELS]], None),
        ([[LABELS, WEIGHTED], [{"method": "head"}]], None),
        ([[LABELS, SMOOTHED]], LABELS),
        ([[LABELS, ADJUSTED], [WEIGHTED]], WEIGHTED),
        ([[ADJUSTED], [LABELS], [CORRECTED]], LABELS),
    ],
)
def test_terms_of_one_stage_that_learn_other_priors_leave_it_unknown(teacher, stages, as_of):
    made_by = Run(teacher)

    def prior(*stages):
        parsed = recipe("x", teacher="t", stages=[stage(f"s{s}", *terms) for s, terms in enumerate(stages)])
        made_by.recipe = replace(made_by.recipe, stages=parsed.stages)
        return class_priors.of_run(made_by, made_by.model.spec)

    assert prior(*stages) == (prior([as_of]) if as_of else ())


@pytest.mark.parametrize("views", ["fresh", 2])
def test_a_student_learns_from_the_corrected_teacher(teacher, lesions, tmp_path, views):
    """Two epochs: the correction changes the weights, from a live teacher and from cached outputs."""
    images, machine = {"size": 32, "views": views}, {"cache": str(tmp_path / "cache")}
    for name, term in (("plain", {"method": "kd"}), ("corrected", CORRECTED)):
        student = recipe(
            lesions, teacher=str(teacher), images=images, machine=machine, stages=[stage("kd", LABELS, term)]
        )
        run.train(student, tmp_path / name)
    plain, corrected = weights(tmp_path / "plain"), weights(tmp_path / "corrected")
    assert any(not np.array_equal(value, corrected[name]) for name, value in plain.items())


@pytest.mark.parametrize(
    ("labels", "term", "warned"),
    [
        ({}, CORRECTED, True),
        ({}, {"method": "bkd"}, True),
        ({}, {"method": "bkd", "options": {"effective_beta": 0.0}}, False),
        ({"class_weights": "inverse"}, {"method": "mgd"}, False),
        ({"class_weights": "inverse"}, CORRECTED, False),
        ({"logit_adjustment": 1.0}, CORRECTED, False),
        ({}, {"method": "kd"}, False),
    ],
)
def test_labels_that_favour_common_classes_beside_a_corrected_teacher_are_warned_about(
    teacher, lesions, tmp_path, labels, term, warned
):
    listener = Notes()
    stages = [stage("kd", {"method": "labels", "options": labels}, term)]
    run.train(recipe(lesions, teacher=str(teacher), stages=stages), tmp_path / "run", listener)
    assert bool(listener.warnings) == warned, listener.warnings
    if warned:
        (warning,) = listener.warnings
        counts = counts_of(tmp_path / "run")
        assert f"labels as if NV were {counts.max() / counts.min():.0f} times as common" in warning
        assert "logit_adjustment = 1, or set train.balance = 1" in warning


@pytest.mark.parametrize(
    ("labels", "balance", "term", "remedy"),
    [
        ({"logit_adjustment": 1.0}, 0.0, {"method": "kd"}, "set the option prior = 1 of kd"),
        ({}, 1.0, {"method": "normkd"}, "set the option prior = 1 of normkd"),
        ({}, 1.0, {"method": "mlld"}, "use kd with prior = 1 instead"),
        ({"logit_adjustment": 1.0}, 0.0, {"method": "bkd", "options": {"effective_beta": 0.0}}, "use kd with prior"),
        ({"logit_adjustment": 1.0}, 0.0, CORRECTED, ""),
        ({"logit_adjustment": 1.0}, 0.0, {"method": "rkd"}, ""),
    ],
)
def test_labels_of_equally_common_classes_beside_a_teacher_that_favours_some_are_warned_about(
    lesions, labels, balance, term, remedy
):
    table = data.load(lesions).table
    counts = tuple(images for images, _ in table.counts().values())
    network, student = (build.student(schema.ModelConfig(name="tiny"), 8, seed=seed) for seed in (0, 1))
    shares = tuple(count / sum(counts) for count in counts)
    taught = build.FrozenTeacher(network, replace(network.spec, class_prior=shares))
    stages = recipe("x", teacher="t", stages=[stage("s", {"method": "labels", "options": labels}, term)]).stages
    objective = build.distiller(stages[0], student, taught, counts, seed=0, balance=balance)
    warning = class_priors.opposition(objective, table.classes)
    assert bool(warning) == bool(remedy)
    assert remedy in warning
    if remedy:
        times = f"as if NV were {max(counts) / min(counts):.0f} times as common"
        assert f"labels teaches as if all classes were equally common, {term['method']} {times}" in warning


def test_a_stage_without_labels_is_not_warned_about(teacher, lesions, tmp_path):
    listener = Notes()
    run.train(recipe(lesions, teacher=str(teacher), stages=[stage("kd", CORRECTED)]), tmp_path / "run", listener)
    assert listener.warnings == []
