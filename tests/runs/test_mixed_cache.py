"""Runs that mix images beside cached teacher outputs, with either optimiser."""

import pytest
import torch

from dspkd.errors import RecipeError
from dspkd.recipes import schema
from dspkd.runs import train as run
from dspkd.runs import validate
from dspkd.training.teachers.frozen import FrozenTeacher
from tiny_runs import FUSION, LABELS, Killed, Killer, dsp_kd_recipe, stage, teacher_recipe, trained, weights

MIXED = {"batch_size": 16, "balance": 0.5, "mixup": 0.4, "mix_teacher_outputs": True, "ema": 0.9}
VIEWS = {"size": 32, "views": 2}


@pytest.fixture(scope="module")
def teacher(lesions, tmp_path_factory):
    return trained(teacher_recipe(lesions, stages=[stage("labels")]), tmp_path_factory.mktemp("mixed") / "teacher")


def mixed_recipe(lesions, teacher, cache, **settings):
    sgd = {"optimizer": "sgd", "lr": 0.05, "weight_decay": 5e-4}
    stages = [
        stage("features", LABELS, {"method": "hierarchical_fusion", "share": 0.4, "options": FUSION["options"]}, **sgd),
        stage("logits", {"method": "labels", "weight": 0.5}, {"method": "normkd", "weight": 0.5}, epochs=2, **sgd),
    ]
    common = {"train": MIXED, "images": VIEWS, "machine": {"cache": str(cache)}, "stages": stages}
    return dsp_kd_recipe(lesions, teacher, **{**common, **settings})


def test_sgd_average_shares_and_mixed_cached_outputs_together_resume_bit_for_bit(
    lesions, teacher, tmp_path, monkeypatch
):
    monkeypatch.setattr(run.artifacts, "keep", lambda *_: None)
    recipe = mixed_recipe(lesions, teacher, tmp_path / "cache")
    run.train(recipe, tmp_path / "uninterrupted")
    computed = []
    answer = FrozenTeacher.answer
    monkeypatch.setattr(FrozenTeacher, "answer", lambda self, batch: computed.append(len(batch)) or answer(self, batch))
    with pytest.raises(Killed):
        run.train(recipe, tmp_path / "resumed", Killer("logits", 1, "after"))
    run.train(recipe, tmp_path / "resumed")
    assert computed == [2] * 4  # the trials of two stages that find what the terms read: everything else is cached
    expected = weights(tmp_path / "uninterrupted")
    for name, value in weights(tmp_path / "resumed").items():
        assert torch.equal(value, expected[name]), name


def test_mixing_beside_a_cache_is_named_in_the_recipe(lesions):
    recipe = dsp_kd_recipe(lesions, "teacher", images=VIEWS, train={"mixup": 0.2, "mix_teacher_outputs": True})
    validate.check(recipe)
    alone = dsp_kd_recipe(lesions, "teacher", images=VIEWS, train={"mixup": 0.2})
    with pytest.raises(RecipeError, match=r"images\.views = 2: .*train\.mix_teacher_outputs = true"):
        validate.check(alone)
    fresh = dsp_kd_recipe(lesions, "teacher", train={"mixup": 0.2, "mix_teacher_outputs": True})
    with pytest.raises(RecipeError, match=r'train\.mix_teacher_outputs = true: images\.views = "fresh".*a number'):
        validate.check(fresh)
    assert alone.digest != recipe.digest
    without_teacher = {**{"name": "plain", "data": {"path": "x"}, "model": {"name": "tiny"}, "train": MIXED}}
    validate.check(schema.parse({**without_teacher, "stages": [stage("labels")]}))


def test_cutmix_beside_cached_maps_is_refused_before_training(lesions, teacher, tmp_path):
    recipe = mixed_recipe(lesions, teacher, tmp_path / "cache", train={**MIXED, "cutmix": 1.0})
    with pytest.raises(RecipeError, match=r"train\.cutmix = 1: .*\(last.*use train\.mixup instead"):
        run.train(recipe, tmp_path / "run")
    assert not list((tmp_path / "run").glob("stages/*"))
    logits = [stage("logits", LABELS, {"method": "kd"})]
    run.train(
        mixed_recipe(lesions, teacher, tmp_path / "cache", train={**MIXED, "cutmix": 1.0}, stages=logits),
        tmp_path / "kd",
    )
    assert (tmp_path / "kd" / "result.json").exists()
