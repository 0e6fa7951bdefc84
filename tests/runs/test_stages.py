"""What a stage may ask for besides its terms: ramps, layers carried over, a last epoch kept, a teacher that learns."""

import pytest
import torch
from safetensors.torch import load_file

from dspkd.errors import RecipeError
from dspkd.recipes import schema
from dspkd.runs import train as run
from dspkd.runs import validate
from dspkd.training.progress import NullProgress

LABELS = {"method": "labels"}
MGD = {"method": "mgd", "weight": 1e-3, "options": {"hidden": 8}}


def stage(name, *terms, **settings):
    return {"name": name, "epochs": 2, "lr": 3e-3, "terms": list(terms), **settings}


def parsed(lesions, *stages, **settings):
    plain = {
        "name": "student",
        "data": {"path": str(lesions)},
        "model": {"name": "tiny"},
        "images": {"size": 32, "randaugment": {"num_ops": 0}},
        "train": {"batch_size": 32},
        "stages": list(stages),
    }
    return schema.parse({**plain, **settings})


@pytest.fixture(scope="module")
def teacher(lesions, tmp_path_factory):
    out = tmp_path_factory.mktemp("runs") / "teacher"
    run.train(parsed(lesions, stage("labels", LABELS), model={"name": "tiny_wide"}), out)
    return out


class Killed(BaseException):
    pass


class Killer(NullProgress):
    """Dies in the middle of an epoch."""

    def __init__(self, stage, epoch):
        self.at = (stage, epoch)

    def step(self, stage, epoch, done, steps):
        if (stage, epoch) == self.at and done == steps // 2:
            raise Killed


def weights(out):
    return load_file(out / "model.safetensors")


def spied(monkeypatch):
    """Return a list that gets, for each stage, the distiller's state as the stage begins and as it ends."""
    seen = []
    fit = run.loop.fit

    def spy(stage, distiller, *rest, **settings):
        def state():
            return {name: value.clone() for name, value in distiller.state_dict().items()}

        before = state()
        progress = fit(stage, distiller, *rest, **settings)
        seen.append((before, state()))
        return progress

    monkeypatch.setattr(run.loop, "fit", spy)
    return seen


def part(state, prefix):
    return {name: value for name, value in state.items() if name.startswith(prefix)}


@pytest.mark.parametrize("start", ["previous", "initial"])
def test_a_term_that_carries_starts_from_the_layers_that_the_stage_before_kept(
    lesions, teacher, tmp_path, monkeypatch, start
):
    seen = spied(monkeypatch)
    two = stage("two", LABELS, {**MGD, "carry": True}, start=start)
    run.train(parsed(lesions, stage("one", MGD, keep="last"), two, teacher=str(teacher)), tmp_path / "run")
    (first, left), (started, _) = seen
    layers = part(left, "terms.mgd.")
    assert layers
    for name, value in layers.items():
        assert torch.equal(started[name], value), name
        assert not torch.equal(first[name], value), name
    student = part(left if start == "previous" else first, "student.")
    assert all(torch.equal(started[name], value) for name, value in student.items())


def test_without_carry_the_layers_are_new(lesions, teacher, tmp_path, monkeypatch):
    seen = spied(monkeypatch)
    run.train(parsed(lesions, stage("one", MGD), stage("two", MGD), teacher=str(teacher)), tmp_path / "run")
    (first, left), (started, _) = seen
    name = "terms.mgd.align.weight"
    assert not torch.equal(started[name], left[name])
    assert not torch.equal(started[name], first[name])


@pytest.mark.parametrize(
    ("stages", "message"),
    [
        ([stage("one", {**MGD, "carry": True})], r"^stages\.0\.terms\.0: carry = .* 'mgd' .* before; there is none"),
        (
            [stage("one", LABELS, MGD), stage("two", LABELS, MGD, {**MGD, "carry": True})],
            r"^stages\.1\.terms\.2: carry = true takes over the layers of 'mgd#2' .*; that has labels, mgd$",
        ),
        ([stage("one", LABELS, MGD, teacher_lr=1e-3)], r"^stages\.0\.teacher_lr: no term .* trains a teacher; .*eml"),
    ],
)
def test_what_cannot_be_is_refused_before_any_data_are_read(stages, message):
    with pytest.raises(RecipeError, match=message):
        validate.check(parsed("nowhere", *stages, teacher="nowhere"))


def test_layers_of_other_shapes_stop_the_run_before_the_first_stage(lesions, teacher, tmp_path):
    other = {**MGD, "options": {"hidden": 4}, "carry": True}
    made = parsed(lesions, stage("one", MGD), stage("two", other), teacher=str(teacher))
    with pytest.raises(RecipeError, match=r"stage 'two': the layers of 'mgd' have other shapes .*the same options"):
        run.train(made, tmp_path / "run")
    assert not (tmp_path / "run" / "stages").exists()


def mutual(lesions, teacher):
    """Return a recipe with a ramp, a teacher that learns and layers that are carried, all in its second stage."""
    eml = {"method": "eml", "options": {"width": 8}, "ramp": {"epochs": 2, "shape": "sigmoid"}}
    two = stage("two", LABELS, {**MGD, "carry": True, "ramp": {"epochs": 2}}, eml, teacher_lr=1e-3, keep="last")
    return parsed(lesions, stage("one", LABELS, MGD), two, teacher=str(teacher))


@pytest.fixture(scope="module")
def whole(lesions, teacher, tmp_path_factory):
    out = tmp_path_factory.mktemp("runs") / "whole"
    before = (teacher / "model.safetensors").read_bytes()
    run.train(mutual(lesions, teacher), out)
    assert (teacher / "model.safetensors").read_bytes() == before
    return out


@pytest.mark.parametrize("at", [("one", 1), ("two", 0), ("two", 1)])
def test_killed_with_ramp_carried_layers_and_learning_teacher_and_resumed_equals_unbroken(
    lesions, teacher, whole, tmp_path, at
):
    made = mutual(lesions, teacher)
    with pytest.raises(Killed):
        run.train(made, tmp_path / "run", Killer(*at))
    run.train(made, tmp_path / "run")
    for name, value in weights(whole).items():
        assert torch.equal(value, weights(tmp_path / "run")[name]), name
    states = [
        torch.load(out / "stages" / "1-two" / "last.pt", weights_only=True)["distiller"]
        for out in (whole, tmp_path / "run")
    ]
    assert {name.split(".")[0] for name in states[0]} == {"student", "terms", "trainable_copy"}
    for name, value in states[0].items():
        assert torch.equal(value, states[1][name]), name
