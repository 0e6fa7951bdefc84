"""A run that is killed at any point and resumed ends exactly as one that was not."""

from dataclasses import replace

import pytest
import torch

from dspkd.recipes import schema
from dspkd.runs import holdout
from dspkd.runs import train as run
from dspkd.training import checkpoint
from tiny_runs import Killed, Killer, dsp_kd_recipe, teacher_recipe, trained, weights, write_recipe


@pytest.fixture(scope="module")
def teacher(lesions, tmp_path_factory):
    return trained(teacher_recipe(lesions), tmp_path_factory.mktemp("runs") / "teacher")


@pytest.fixture(scope="module")
def finished(lesions, teacher, tmp_path_factory):
    return trained(dsp_kd_recipe(lesions, teacher), tmp_path_factory.mktemp("runs") / "dsp_kd")


@pytest.mark.parametrize("when", ["within", "after"])
@pytest.mark.parametrize("at", [("features", 1), ("features", 2), ("logits", 1), ("logits", 2)])
def test_killed_anywhere_and_resumed_equals_uninterrupted(lesions, teacher, finished, tmp_path, at, when):
    out = tmp_path / "run"
    recipe = dsp_kd_recipe(lesions, teacher)
    with pytest.raises(Killed):
        run.train(recipe, out, Killer(*at, when))
    run.train(recipe, out)
    for name, value in weights(finished).items():
        assert torch.equal(value, weights(out)[name]), name
    for part in ("val", "test"):
        name = f"predictions/{part}.csv"
        assert (out / name).read_bytes() == (finished / name).read_bytes()
    assert len((out / "metrics.jsonl").read_text().splitlines()) == 4


def test_killed_after_the_test_set_evaluation_and_resumed_counts_it_once(lesions, tmp_path, monkeypatch):
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


def test_killed_in_stage_one_the_initial_layers_of_stage_two_are_the_same(lesions, teacher, tmp_path):
    """Initial layers of the second stage's terms must not depend on random numbers of the first stage."""
    recipe = schema.load(write_recipe(tmp_path, dsp_kd_recipe(lesions, teacher)))
    swapped = replace(recipe, stages=tuple(reversed(recipe.stages)))
    run.train(swapped, tmp_path / "uninterrupted")
    with pytest.raises(Killed):
        run.train(swapped, tmp_path / "resumed", Killer("features", 1, "within"))
    run.train(swapped, tmp_path / "resumed")
    for name, value in weights(tmp_path / "uninterrupted").items():
        assert torch.equal(value, weights(tmp_path / "resumed")[name]), name


def test_killed_while_saving_a_checkpoint_loses_only_its_epoch(lesions, tmp_path, monkeypatch):
    save, calls = torch.save, []

    def dying(state, file):
        calls.append(1)
        if len(calls) == 2:
            file.write(b"half a checkpoint")
            raise Killed
        save(state, file)

    run.train(teacher_recipe(lesions), tmp_path / "uninterrupted")
    monkeypatch.setattr(checkpoint.torch, "save", dying)
    with pytest.raises(Killed):
        run.train(teacher_recipe(lesions), tmp_path / "resumed")
    run.train(teacher_recipe(lesions), tmp_path / "resumed")
    for name, value in weights(tmp_path / "uninterrupted").items():
        assert torch.equal(value, weights(tmp_path / "resumed")[name]), name
