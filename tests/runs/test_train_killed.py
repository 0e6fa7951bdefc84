"""A run that is killed, anywhere, and goes on: it ends as if it had not been."""

import pytest
import torch

from distilled import dsp_kd_recipe, teacher_recipe, weights, written
from dspkd.recipes import schema
from dspkd.runs import holdout
from dspkd.runs import train as run
from dspkd.training import checkpoint
from dspkd.training.progress import NullProgress


@pytest.fixture(scope="module")
def teacher(lesions, tmp_path_factory):
    out = tmp_path_factory.mktemp("runs") / "teacher"
    run.train(teacher_recipe(lesions), out)
    return out


@pytest.fixture(scope="module")
def finished(lesions, teacher, tmp_path_factory):
    out = tmp_path_factory.mktemp("runs") / "dsp_kd"
    run.train(dsp_kd_recipe(lesions, teacher), out)
    return out


class Killed(BaseException):
    pass


class Killer(NullProgress):
    """Dies at a step, or once an epoch is saved."""

    def __init__(self, stage, epoch, when):
        self.at, self.when = (stage, epoch), when

    def step(self, stage, epoch, done, steps):
        if self.when == "within" and (stage, epoch) == self.at and done == steps // 2:
            raise Killed

    def epoch(self, record):
        if self.when == "after" and (record["stage"], record["epoch"]) == self.at:
            raise Killed


@pytest.mark.parametrize("when", ["within", "after"])
@pytest.mark.parametrize("at", [("features", 0), ("features", 1), ("logits", 0), ("logits", 1)])
def test_killed_anywhere_and_resumed_equals_unbroken(lesions, teacher, finished, tmp_path, at, when):
    out = tmp_path / "run"
    made = dsp_kd_recipe(lesions, teacher)
    with pytest.raises(Killed):
        run.train(made, out, Killer(*at, when))
    run.train(made, out)
    for name, value in weights(finished).items():
        assert torch.equal(value, weights(out)[name]), name
    for part in ("val", "test"):
        name = f"predictions/{part}.csv"
        assert (out / name).read_bytes() == (finished / name).read_bytes()
    assert len((out / "metrics.jsonl").read_text().splitlines()) == 4


def test_killed_once_the_test_is_opened_and_resumed_it_is_opened_once(lesions, tmp_path, monkeypatch):
    write = run.write_json

    def dying(path, content):
        if path.name == "result.json":
            raise Killed
        write(path, content)

    with monkeypatch.context() as patch:
        patch.setattr(run, "write_json", dying)
        with pytest.raises(Killed):
            run.train(teacher_recipe(lesions), tmp_path / "run")
    assert len(holdout.evaluations(tmp_path / "run")) == 1
    run.train(teacher_recipe(lesions), tmp_path / "run")
    assert len(holdout.evaluations(tmp_path / "run")) == 1


def test_killed_before_the_first_checkpoint_of_stage_two_its_new_layers_are_the_same(lesions, teacher, tmp_path):
    """Layers of the second stage's terms must not depend on what the first stage drew before the kill."""
    stages = dsp_kd_recipe(lesions, teacher).stages
    swapped = tuple(reversed([*stages]))
    made = schema.load(written(tmp_path, dsp_kd_recipe(lesions, teacher)))
    made = type(made)(**{**vars(made), "stages": swapped})
    run.train(made, tmp_path / "whole")
    with pytest.raises(Killed):
        run.train(made, tmp_path / "broken", Killer("features", 0, "within"))
    run.train(made, tmp_path / "broken")
    for name, value in weights(tmp_path / "whole").items():
        assert torch.equal(value, weights(tmp_path / "broken")[name]), name


def test_a_killed_save_of_the_checkpoint_costs_no_more_than_its_epoch(lesions, tmp_path, monkeypatch):
    save, calls = torch.save, []

    def dying(state, file):
        calls.append(1)
        if len(calls) == 2:
            file.write(b"half a checkpoint")
            raise Killed
        save(state, file)

    run.train(teacher_recipe(lesions), tmp_path / "whole")
    monkeypatch.setattr(checkpoint.torch, "save", dying)
    with pytest.raises(Killed):
        run.train(teacher_recipe(lesions), tmp_path / "broken")
    run.train(teacher_recipe(lesions), tmp_path / "broken")
    for name, value in weights(tmp_path / "whole").items():
        assert torch.equal(value, weights(tmp_path / "broken")[name]), name
