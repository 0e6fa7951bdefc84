"""Settings of a stage besides its terms: ramps, carried layers, the epoch that is kept, a trainable teacher."""

import json
from dataclasses import replace

import pytest
import torch
from safetensors import safe_open

from dspkd.errors import RecipeError
from dspkd.runs import train as run
from dspkd.runs import validate
from dspkd.training.loggers._base import metrics
from tiny_runs import LABELS, Killed, Killer, recipe, trained, weights
from tiny_runs import stage as stage_of

MGD = {"method": "mgd", "weight": 1e-3, "options": {"hidden": 8}}


def stage(name, *terms, **settings):
    return stage_of(name, *terms, **{"epochs": 2, "lr": 3e-3, **settings})


def recipe_of(lesions, *stages, **settings):
    images = {"size": 32, "randaugment": {"num_ops": 0}}
    return recipe(lesions, stages=list(stages), images=images, train={"batch_size": 32}, **settings)


@pytest.fixture(scope="module")
def teacher(lesions, tmp_path_factory):
    wide = recipe_of(lesions, stage("labels"), model={"name": "tiny_wide"})
    return trained(wide, tmp_path_factory.mktemp("runs") / "teacher")


def record_states(monkeypatch):
    """Return a list that gets, for each stage, the distiller's state at its start and at its end."""
    states = []
    fit = run.loop.fit

    def spy(stage, distiller, *rest, **settings):
        def state():
            return {name: value.clone() for name, value in distiller.state_dict().items()}

        before = state()
        progress = fit(stage, distiller, *rest, **settings)
        states.append((before, state()))
        return progress

    monkeypatch.setattr(run.loop, "fit", spy)
    return states


def part(state, prefix):
    return {name: value for name, value in state.items() if name.startswith(prefix)}


@pytest.mark.parametrize("start", ["previous", "initial"])
def test_carry_starts_a_term_with_its_layers_of_the_stage_before(lesions, teacher, tmp_path, monkeypatch, start):
    states = record_states(monkeypatch)
    two = stage("two", LABELS, {**MGD, "carry": True}, start=start)
    run.train(recipe_of(lesions, stage("one", MGD, keep="last"), two, teacher=str(teacher)), tmp_path / "run")
    (first, left), (started, _) = states
    layers = part(left, "terms.mgd.")
    assert layers
    for name, value in layers.items():
        assert torch.equal(started[name], value), name
        assert not torch.equal(first[name], value), name
    student = part(left if start == "previous" else first, "student.")
    assert all(torch.equal(started[name], value) for name, value in student.items())


def test_without_carry_layers_are_initialised_again(lesions, teacher, tmp_path, monkeypatch):
    states = record_states(monkeypatch)
    run.train(recipe_of(lesions, stage("one", MGD), stage("two", MGD), teacher=str(teacher)), tmp_path / "run")
    (first, left), (started, _) = states
    name = "terms.mgd.align.weight"
    assert not torch.equal(started[name], left[name])
    assert not torch.equal(started[name], first[name])


@pytest.mark.parametrize(
    ("stages", "message"),
    [
        ([stage("one", {**MGD, "carry": True})], r"^stages\.0\.terms\.0: carry = .* 'mgd' .*none"),
        (
            [stage("one", LABELS, MGD), stage("two", LABELS, MGD, {**MGD, "carry": True})],
            r"^stages\.1\.terms\.2: carry = .* 'mgd#2' .* labels, mgd$",
        ),
        ([stage("one", LABELS, MGD, teacher_lr=1e-3)], r"^stages\.0\.teacher_lr: .*eml"),
    ],
)
def test_impossible_settings_are_refused_before_any_data_are_read(stages, message):
    with pytest.raises(RecipeError, match=message):
        validate.check(recipe_of("nowhere", *stages, teacher="nowhere"))


def test_carried_layers_of_other_shapes_stop_the_run_before_the_first_stage(lesions, teacher, tmp_path):
    other = {**MGD, "options": {"hidden": 4}, "carry": True}
    two_shapes = recipe_of(lesions, stage("one", MGD), stage("two", other), teacher=str(teacher))
    with pytest.raises(RecipeError, match=r"stage 'two': .*'mgd' .*the same options"):
        run.train(two_shapes, tmp_path / "run")
    assert not (tmp_path / "run" / "stages").exists()


def mutual(lesions, teacher):
    """Return a recipe with ramps, a trainable teacher and carried layers in its second stage."""
    eml = {"method": "eml", "options": {"width": 8}, "ramp": {"epochs": 2, "shape": "sigmoid"}}
    two = stage("two", LABELS, {**MGD, "carry": True, "ramp": {"epochs": 2}}, eml, teacher_lr=1e-3, keep="last")
    return recipe_of(lesions, stage("one", LABELS, MGD), two, teacher=str(teacher))


@pytest.fixture(scope="module")
def whole(lesions, teacher, tmp_path_factory):
    out = tmp_path_factory.mktemp("runs") / "whole"
    before = (teacher / "model.safetensors").read_bytes()
    run.train(mutual(lesions, teacher), out)
    assert (teacher / "model.safetensors").read_bytes() == before
    return out


@pytest.mark.parametrize("at", [("one", 2), ("two", 1), ("two", 2)])
def test_killed_with_ramp_carried_layers_and_trainable_teacher_and_resumed_equals_uninterrupted(
    lesions, teacher, whole, tmp_path, at
):
    with_all = mutual(lesions, teacher)
    with pytest.raises(Killed):
        run.train(with_all, tmp_path / "run", Killer(*at))
    run.train(with_all, tmp_path / "run")
    for name, value in weights(whole).items():
        assert torch.equal(value, weights(tmp_path / "run")[name]), name
    states = [
        torch.load(out / "stages" / "1-two" / "last.pt", weights_only=True)["distiller"]
        for out in (whole, tmp_path / "run")
    ]
    assert {name.split(".")[0] for name in states[0]} == {"student", "terms", "trainable_copy"}
    for name, value in states[0].items():
        assert torch.equal(value, states[1][name]), name


@pytest.fixture(scope="module")
def averaged(lesions, teacher, tmp_path_factory):
    """A run like `whole`, its student averaged."""
    out = tmp_path_factory.mktemp("runs") / "averaged"
    run.train(with_average(mutual(lesions, teacher)), out)
    return out


def with_average(recipe):
    return replace(recipe, train=replace(recipe.train, ema=0.9))


def test_the_average_of_a_stage_is_what_the_next_one_starts_from_and_what_is_saved(
    lesions, teacher, averaged, whole, tmp_path, monkeypatch
):
    states = record_states(monkeypatch)
    run.train(with_average(mutual(lesions, teacher)), tmp_path / "run")
    (_, left), (started, kept) = states
    for name, value in part(left, "student.").items():
        assert torch.equal(started[name], value), name
    saved = weights(tmp_path / "run")
    for name, value in part(kept, "student.").items():
        assert torch.equal(saved[name.removeprefix("student.network.")], value), name
    assert any(not torch.equal(value, saved[name]) for name, value in weights(whole).items())
    with safe_open(averaged / "model.safetensors", "pt") as file:
        said = file.metadata()
    assert (said.pop("network"), said.pop("ema")) == ("tiny", "0.9")
    assert said == {"mean": "[0.485, 0.456, 0.406]", "std": "[0.229, 0.224, 0.225]"}
    lines = [json.loads(line) for line in (averaged / "metrics.jsonl").read_text().splitlines()]
    steps = len(lines) // 2  # epochs of each stage
    last = [line["ema"] for line in lines]
    assert last[:steps] == last[steps:]  # the second stage counts its steps from 0
    first = torch.load(averaged / "stages/0-one/last.pt", weights_only=True)
    second = torch.load(averaged / "stages/1-two/last.pt", weights_only=True)
    assert first["progress"]["average"].keys() == second["progress"]["average"].keys()


@pytest.mark.parametrize("at", [("one", 1), ("two", 1)])
def test_an_average_killed_and_resumed_equals_an_uninterrupted_one(lesions, teacher, averaged, tmp_path, at):
    recipe = with_average(mutual(lesions, teacher))
    with pytest.raises(Killed):
        run.train(recipe, tmp_path / "run", Killer(*at))
    run.train(recipe, tmp_path / "run")
    for name, value in weights(averaged).items():
        assert torch.equal(value, weights(tmp_path / "run")[name]), name


def keeping_shares(lesions, teacher):
    """Return a recipe whose first stage has a share, measured in its first and eleventh step."""
    shared = {"method": "hierarchical_fusion", "share": 0.4, "options": {"target": "stride8", "width": 8}}
    one = stage("one", LABELS, shared, epochs=3, keep="last")
    return recipe_of(lesions, one, stage("two", LABELS), teacher=str(teacher))


def test_killed_with_a_share_and_resumed_equals_uninterrupted_and_each_epoch_is_logged(lesions, teacher, tmp_path):
    recipe = keeping_shares(lesions, teacher)
    run.train(recipe, tmp_path / "whole")
    with pytest.raises(Killed):
        run.train(recipe, tmp_path / "run", Killer("one", 2))
    run.train(recipe, tmp_path / "run")
    for name, value in weights(tmp_path / "whole").items():
        assert torch.equal(value, weights(tmp_path / "run")[name]), name
    logged = [
        [json.loads(line).get("share") for line in (tmp_path / out / "metrics.jsonl").read_text().splitlines()]
        for out in ("whole", "run")
    ]
    assert logged[0] == logged[1]
    one, two = logged[0][:3], logged[0][3:]
    assert two == [None, None]
    assert all(0 < epoch["gradient"]["hierarchical_fusion"] < 1 for epoch in one)
    assert len({epoch["weight"]["hierarchical_fusion"] for epoch in one}) > 1
    header = (tmp_path / "run" / "metrics.jsonl").read_text().splitlines()[0]
    assert "share/weight/hierarchical_fusion" in metrics(json.loads(header))
