"""Stages made in Python, and the paths of a recipe."""

import pytest

from dspkd.recipes import schema
from dspkd.recipes.stage import StageConfig, TermConfig


@pytest.fixture
def plain(tmp_path):
    file = tmp_path / "recipe.toml"
    file.write_text(
        'name = "plain"\n[data]\npath = "data"\n[model]\nname = "tiny"\n'
        '[[stages]]\nname = "labels"\nepochs = 1\nlr = 1e-3\nterms = [{ method = "labels" }]\n'
    )
    return file


def test_a_stage_made_in_python_has_the_decay_of_its_optimiser():
    terms = (TermConfig(method="labels"),)
    stage = StageConfig(name="labels", epochs=1, lr=0.1, terms=terms, optimizer="sgd")
    assert stage.weight_decay == 1e-4
    assert StageConfig(name="labels", epochs=1, lr=0.1, terms=terms).weight_decay == 0.05


def test_a_path_from_the_users_home_is_expanded(plain, monkeypatch):
    monkeypatch.setenv("HOME", "/users/ada")
    read = schema.load(plain, ["data.path='~/images'", "model.weights='~/w.pth'", "teacher=['~/a', 'b']"])
    assert (read.data.path, read.model.weights) == ("/users/ada/images", "/users/ada/w.pth")
    assert read.teacher.run == ("/users/ada/a", "b")


def test_a_written_out_decay_of_sgd_does_not_stay_with_adamw(plain, tmp_path):
    written_out = tmp_path / "written_out.toml"
    written_out.write_text(schema.dump(schema.load(plain, ["stages.0.optimizer='sgd'"])))
    assert schema.load(written_out, ["stages.0.optimizer='adamw'"]) == schema.load(plain)
    (kept,) = schema.load(written_out, ["stages.0.optimizer='sgd'", "stages.0.lr=0.1"]).stages
    assert kept.weight_decay == 1e-4
