"""Runs with cached teacher outputs: the same training as with the teacher itself, computed once for all seeds."""

import json
from dataclasses import replace

import numpy as np
import pytest
import torch

from dspkd import data
from dspkd.data.loader import TrainBatches
from dspkd.errors import DataError, RecipeError
from dspkd.recipes import schema
from dspkd.runs import build
from dspkd.runs import train as run
from dspkd.training.progress import NullProgress
from dspkd.training.teachers.frozen import FrozenTeacher
from tiny_runs import FUSION, IMAGES, LABELS, Killed, Notes, recipe, stage, weights

FEATURES = stage("features", LABELS, FUSION, epochs=2, lr=3e-3)
LOGITS = stage("logits", LABELS, {"method": "normkd"}, epochs=2)


def recipe_for(lesions, **settings):
    cached = {
        "images": {**IMAGES, "views": 2},
        "teacher_cache": {"maps": "float32"},
        "train": {"batch_size": 16, "balance": 0.5},
        "stages": [FEATURES, LOGITS],
    }
    return recipe(lesions, **{**cached, **settings})


@pytest.fixture(scope="module")
def teacher(lesions, tmp_path_factory):
    out = tmp_path_factory.mktemp("runs") / "teacher"
    labels = stage("labels", lr=3e-3)
    run.train(recipe_for(lesions, model={"name": "tiny_wide"}, stages=[labels], images=IMAGES), out)
    return out


@pytest.fixture
def machine(tmp_path):
    return {"cache": str(tmp_path / "cache")}


def count_teacher_images(monkeypatch):
    """Return a list of the sizes of all batches for which the teacher computes outputs in training."""
    computed = []
    monkeypatch.setattr(run.artifacts, "keep", lambda *_: None)  # it predicts on validation and test set
    answer = FrozenTeacher.answer
    monkeypatch.setattr(FrozenTeacher, "answer", lambda self, batch: computed.append(len(batch)) or answer(self, batch))
    return computed


def disable_cache(monkeypatch):
    monkeypatch.setattr(run.teacher_cache, "is_used", lambda recipe: False)


def equal(one, other):
    return all(torch.equal(value, other[name]) for name, value in one.items())


ROTATED = stage("rotated", LABELS, {"method": "ssd_kd", "options": {"self_supervision": 0.0}})
STRONG = stage("strong_aug", LABELS, {"method": "mlld"})
THREE = [{**FEATURES, "epochs": 1}, ROTATED, STRONG]


@pytest.mark.parametrize("stages", [[FEATURES, LOGITS], [ROTATED, STRONG]], ids=["dsp_kd", "derived views"])
def test_in_float32_training_with_the_cache_is_bit_identical(lesions, teacher, tmp_path, machine, monkeypatch, stages):
    recipe = recipe_for(lesions, teacher=str(teacher), machine=machine, stages=stages)
    run.train(recipe, tmp_path / "cached")
    disable_cache(monkeypatch)
    run.train(recipe, tmp_path / "uncached")
    assert equal(weights(tmp_path / "cached"), weights(tmp_path / "uncached"))
    first, second = ((tmp_path / name / "predictions" / "test.csv").read_text() for name in ("cached", "uncached"))
    assert first == second


def test_in_float16_training_with_the_cache_is_equal_within_rounding(lesions, teacher, tmp_path, machine, monkeypatch):
    one = {**FEATURES, "epochs": 1}
    recipe = recipe_for(lesions, teacher=str(teacher), machine=machine, stages=[one], teacher_cache={"maps": "float16"})
    run.train(recipe, tmp_path / "cached")
    disable_cache(monkeypatch)
    run.train(recipe, tmp_path / "uncached")
    assert not equal(weights(tmp_path / "cached"), weights(tmp_path / "uncached"))
    for name, value in weights(tmp_path / "cached").items():
        # float16 has 11 bits; AdamW's first steps turn the sign of a tiny gradient into a whole step of 3e-3.
        torch.testing.assert_close(value, weights(tmp_path / "uncached")[name], rtol=0, atol=0.02)


def test_teacher_outputs_are_computed_once_for_all_seeds_and_methods(lesions, teacher, tmp_path, machine, monkeypatch):
    computed = count_teacher_images(monkeypatch)
    images = sum(row.endswith(",train") for row in (teacher / "split.csv").read_text().splitlines())
    recipe = recipe_for(lesions, teacher=str(teacher), machine=machine)
    run.train(recipe, tmp_path / "first")
    first = sum(computed)
    assert images < first <= 2 * images + 2 + 16 + 2 * 2  # two views of nearly all, a padded batch, two of a trial
    computed.clear()
    for seed in (1, 2):
        run.train(recipe_for(lesions, teacher=str(teacher), machine=machine, seed=seed), tmp_path / f"seed{seed}")
    assert sum(computed) < first / 2  # only views that did not occur in the first run's epochs
    computed.clear()
    kd = [{**LOGITS, "epochs": 4, "terms": [{"method": "kd"}]}]
    run.train(recipe_for(lesions, teacher=str(teacher), machine=machine, stages=kd), tmp_path / "kd")
    assert sum(computed) == 2  # the trial that finds the fields that terms read
    records = [json.loads(line) for path in tmp_path.rglob("spent.jsonl") for line in path.read_text().splitlines()]
    assert sum(line["views"] for line in records) >= images
    # This run reads outputs that others computed, and records their cost all the same.
    cost = json.loads((tmp_path / "kd" / "result.json").read_text())["teacher_cache"]
    for key in ("seconds", "cpu_seconds"):
        rate = sum(line[key] for line in records) / sum(line["views"] for line in records)
        assert cost[key] == pytest.approx(cost["views"] * rate, abs=0.051)
    assert cost["seconds"] > 0


def test_with_fixed_views_seeds_differ_in_order_but_not_in_images(lesions, machine):
    table = data.load_table(lesions)
    epochs = []
    for seed in (0, 1):
        batches = TrainBatches(
            table, np.arange(48), build.augmentation(schema.ImagesConfig(size=32)), batch_size=48, seed=seed, views=3
        )
        (batch,) = batches.epoch(4)
        assert set(batch.views.tolist()) == {1}
        epochs.append(batch)
    assert not torch.equal(epochs[0].index, epochs[1].index)
    first, second = (batch.images[batch.index.argsort()] for batch in epochs)
    assert torch.equal(first, second)


def test_filling_the_cache_reports_fields_size_and_progress(lesions, teacher, tmp_path, machine):
    listener = Notes()
    run.train(recipe_for(lesions, teacher=str(teacher), machine=machine), tmp_path / "run", listener)
    (note,) = [note for note in listener.notes if "last, logits" in note]
    assert "MB" in note or "kB" in note
    progress = [(done, of) for what, done, of in listener.prepared if "tiny_wide" in what]
    assert progress[-1][0] == progress[-1][1]
    listener = Notes()
    run.train(recipe_for(lesions, teacher=str(teacher), machine=machine), tmp_path / "again", listener)
    assert not any("last, logits" in note for note in listener.notes)


class KilledWhileFilling(NullProgress):
    def prepare(self, what, done, of):
        if "tiny_wide" in what and done > of // 2:
            raise Killed


def test_filling_continues_where_it_was_killed(lesions, teacher, tmp_path, machine, monkeypatch):
    recipe = recipe_for(lesions, teacher=str(teacher), machine=machine)
    computed = count_teacher_images(monkeypatch)
    with pytest.raises(Killed):
        run.train(recipe, tmp_path / "run", KilledWhileFilling())
    before = sum(computed)
    computed.clear()
    run.train(recipe, tmp_path / "run")
    rest = sum(computed)
    computed.clear()
    run.train(recipe_for(lesions, teacher=str(teacher), machine={"cache": str(tmp_path / "new")}), tmp_path / "whole")
    assert before + rest <= sum(computed) + 16 + 2
    assert rest < sum(computed) * 2 / 3
    assert equal(weights(tmp_path / "run"), weights(tmp_path / "whole"))


class KilledAtFilling(NullProgress):
    def prepare(self, what, done, of):
        if "tiny_wide" in what:
            raise Killed


@pytest.fixture(scope="module")
def filled(lesions, teacher, tmp_path_factory):
    """Return the machine settings of a cache that a run of one epoch has filled, and the stages of that run."""
    one = [{**LOGITS, "epochs": 1}]
    machine = {"cache": str(tmp_path_factory.mktemp("cache"))}
    recipe = recipe_for(lesions, teacher=str(teacher), machine=machine, stages=one)
    run.train(recipe, tmp_path_factory.mktemp("runs") / "first")
    return {"machine": machine, "stages": one}


@pytest.fixture(scope="module")
def other_teacher(lesions, tmp_path_factory):
    out = tmp_path_factory.mktemp("runs") / "other"
    run.train(recipe_for(lesions, model={"name": "tiny_wide"}, stages=[stage("labels")]), out)
    return out


def test_the_same_run_again_computes_no_outputs(lesions, teacher, filled, tmp_path):
    run.train(recipe_for(lesions, teacher=str(teacher), **filled), tmp_path / "again", KilledAtFilling())


@pytest.mark.parametrize(
    "changes",
    [
        {"teacher": "OTHER"},
        {"teacher": ["TEACHER", "OTHER"]},
        {"teacher": {"run": ["TEACHER", "OTHER"], "weights": "label"}},
        {"teacher": {"run": "TEACHER", "views": 2}},
        {"teacher": {"run": "TEACHER", "size": 40}},
        {"teacher": {"run": "TEACHER", "size": 48}},
        {"teacher": {"run": "TEACHER", "cross_fit": 2}},
        {"images": {"size": 32, "randaugment": {"num_ops": 2}, "views": 2}},
        {"images": {"size": 40, "randaugment": {"num_ops": 1}, "views": 2}},
        {"images": {"size": 32, "randaugment": {"num_ops": 1}, "views": 2, "erasing": 0.5}},
        {"train": {"batch_size": 16, "balance": 0.5, "precision": "bfloat16"}},
    ],
    ids=str,
)
def test_other_weights_and_other_transforms_are_not_read_from_the_cache(
    lesions, teacher, other_teacher, filled, tmp_path, changes
):
    text = json.dumps({"teacher": "TEACHER", **changes})
    settings = json.loads(text.replace("TEACHER", str(teacher)).replace("OTHER", str(other_teacher)))
    with pytest.raises(Killed):
        run.train(recipe_for(lesions, **filled, **settings), tmp_path / "run", KilledAtFilling())


def test_the_key_of_the_cache_has_the_removed_artefacts():
    """A teacher with other artefacts removed is refused, so no run can show it."""
    removed = [(), ("colour_constancy",)]
    about = [build.augmentation(schema.ImagesConfig(artefacts=artefacts)).about for artefacts in removed]
    assert about[0] != about[1]


def keys_of(cache):
    return {path.name for path in cache.glob("teacher-*")}


@pytest.mark.parametrize("package", ["dspkd", "torch", "torchvision", "timm"])
def test_outputs_of_another_version_are_not_read(lesions, teacher, filled, tmp_path, monkeypatch, package):
    real = run.teacher_cache.version
    monkeypatch.setattr(run.teacher_cache, "version", lambda name: "0.0" if name == package else real(name))
    with pytest.raises(Killed):
        run.train(recipe_for(lesions, teacher=str(teacher), **filled), tmp_path / "run", KilledAtFilling())


def test_a_cache_needs_a_folder(lesions, teacher, tmp_path):
    recipe = recipe_for(lesions, teacher=str(teacher), machine={"cache": "none"})
    with pytest.raises(RecipeError, match=r'machine\.cache = "none"'):
        run.train(recipe, tmp_path / "run")


def test_a_trainable_copy_of_the_teacher_works_with_fixed_views(lesions, teacher, tmp_path, machine):
    mutual = stage("mutual", LABELS, {"method": "eml"}, teacher_lr=1e-4)
    run.train(recipe_for(lesions, teacher=str(teacher), machine=machine, stages=[mutual, LOGITS]), tmp_path / "run")
    assert (tmp_path / "run" / "result.json").exists()


def test_a_damaged_cache_stops_the_run_and_names_the_folder_to_delete(lesions, teacher, tmp_path, machine):
    recipe = recipe_for(lesions, teacher=str(teacher), machine=machine)
    run.train(recipe, tmp_path / "first")
    (arrays,) = (tmp_path / "cache").glob("teacher-*/logits-float32/arrays.bin")
    content = bytearray(arrays.read_bytes())
    content[100] ^= 1
    arrays.write_bytes(content)
    with pytest.raises(DataError, match=r"logits-float32: .*damaged .*delete this folder"):
        run.train(recipe, tmp_path / "second")


def test_outputs_for_derived_views_are_added_to_a_filled_cache(lesions, teacher, tmp_path, machine):
    kd = {**ROTATED, "name": "kd", "terms": [LABELS, {"method": "kd"}]}
    for name, only in (("plain", kd), ("rotated", ROTATED), ("strong_aug", STRONG)):
        run.train(recipe_for(lesions, teacher=str(teacher), machine=machine, stages=[only]), tmp_path / name)
        assert (tmp_path / name / "result.json").exists()


def test_an_output_weighted_by_the_label_is_found_by_it(lesions):
    table = data.load_table(lesions)
    other = replace(table, labels=(table.labels + 1) % 8)
    names = [run.teacher_cache._names(each, by_label=True) for each in (table, other)]
    assert not set(names[0]) & set(names[1])
    assert run.teacher_cache._names(table, by_label=False) == table.ids


def test_views_that_no_term_reads_cost_nothing(lesions, teacher, tmp_path, machine):
    """Maps are those of the image as it is, so the cache of a teacher without views serves."""
    for views in (1, 8):
        averaging = {"run": str(teacher), "views": views}
        run.train(recipe_for(lesions, teacher=averaging, machine=machine, stages=[FEATURES]), tmp_path / f"{views}")
    assert len(keys_of(tmp_path / "cache")) == 1
    assert equal(weights(tmp_path / "1"), weights(tmp_path / "8"))


def test_a_larger_teacher_is_cached_and_live_the_same(lesions, teacher, tmp_path, machine, monkeypatch):
    """In float32 the student's training is bit for bit that with the live teacher, which sees larger images."""
    larger = {"run": str(teacher), "size": 48, "views": 2}
    recipe = recipe_for(lesions, teacher=larger, machine=machine, stages=THREE)
    run.train(recipe, tmp_path / "cached")
    disable_cache(monkeypatch)
    run.train(recipe, tmp_path / "uncached")
    assert equal(weights(tmp_path / "cached"), weights(tmp_path / "uncached"))
    assert json.loads((tmp_path / "cached/environment.json").read_text())["teacher"] == (
        f"{teacher}, mean of 2 views, on 48 px"
    )
    monkeypatch.undo()
    run.train(recipe_for(lesions, teacher=str(teacher), machine=machine, stages=THREE), tmp_path / "same")
    assert not equal(weights(tmp_path / "cached"), weights(tmp_path / "same"))
