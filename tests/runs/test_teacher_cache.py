"""Runs with a cache: the same training as with the live teacher, asked once, by runs of every seed."""

import json

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from dspkd import data
from dspkd.data.loader import TrainBatches
from dspkd.errors import DataError, RecipeError
from dspkd.recipes import schema
from dspkd.runs import build
from dspkd.runs import train as run
from dspkd.training.progress import NullProgress
from dspkd.training.teachers.frozen import FrozenTeacher

LABELS = {"method": "labels"}
FUSION = {"method": "hierarchical_fusion", "weight": 1e-3, "options": {"width": 8, "hidden": 8}}
FEATURES = {"name": "features", "epochs": 2, "lr": 3e-3, "terms": [LABELS, FUSION]}
LOGITS = {"name": "logits", "epochs": 2, "lr": 1e-3, "terms": [LABELS, {"method": "normkd"}]}


def recipe_for(lesions, **changes):
    settings = {
        "name": "cached",
        "data": {"path": str(lesions)},
        "model": {"name": "tiny"},
        "images": {"size": 32, "randaugment": {"num_ops": 1}, "views": 2},
        "teacher_cache": {"maps": "float32"},
        "train": {"batch_size": 16, "balance": 0.5},
        "stages": [FEATURES, LOGITS],
    }
    return schema.parse({**settings, **changes})


@pytest.fixture(scope="module")
def teacher(lesions, tmp_path_factory):
    out = tmp_path_factory.mktemp("runs") / "teacher"
    labels = {"name": "labels", "epochs": 1, "lr": 3e-3, "terms": [LABELS]}
    images = {"size": 32, "randaugment": {"num_ops": 1}}
    run.train(recipe_for(lesions, model={"name": "tiny_wide"}, stages=[labels], images=images), out)
    return out


@pytest.fixture
def cached(tmp_path):
    return {"cache": str(tmp_path / "cache")}


def weights(out):
    return load_file(out / "model.safetensors")


def count_answers(monkeypatch):
    """Return a list that grows by the number of images of each batch that a live teacher answers for training."""
    answered = []
    monkeypatch.setattr(run.artifacts, "keep", lambda *_: None)  # it asks about the images that judge
    answer = FrozenTeacher.answer
    monkeypatch.setattr(FrozenTeacher, "answer", lambda self, batch: answered.append(len(batch)) or answer(self, batch))
    return answered


class Notes(NullProgress):
    def __init__(self):
        self.notes, self.seen = [], []

    def note(self, text):
        self.notes.append(text)

    def prepare(self, what, done, of):
        self.seen.append((what, done, of))


def live_instead_of_banked(monkeypatch):
    monkeypatch.setattr(run.teacher_cache, "wanted", lambda recipe: False)


def same(one, other):
    return all(torch.equal(value, other[name]) for name, value in one.items())


ROTATED = {"name": "rotated", "epochs": 1, "lr": 1e-3, "terms": [LABELS, {"method": "ssd_kd"}]}
STRONG = {"name": "strong_aug", "epochs": 1, "lr": 1e-3, "terms": [LABELS, {"method": "mlld"}]}


@pytest.mark.parametrize("stages", [[FEATURES, LOGITS], [ROTATED, STRONG]], ids=["dsp_kd", "made images"])
def test_bank_and_live_teacher_give_the_same_training_bit_for_bit_in_float32(
    lesions, teacher, tmp_path, cached, monkeypatch, stages
):
    made = recipe_for(lesions, teacher=str(teacher), machine=cached, stages=stages)
    run.train(made, tmp_path / "cached")
    live_instead_of_banked(monkeypatch)
    run.train(made, tmp_path / "live")
    assert same(weights(tmp_path / "cached"), weights(tmp_path / "live"))
    first, second = ((tmp_path / name / "predictions" / "test.csv").read_text() for name in ("cached", "live"))
    assert first == second


def test_in_float16_the_training_is_the_same_within_rounding(lesions, teacher, tmp_path, cached, monkeypatch):
    one = {**FEATURES, "epochs": 1}
    made = recipe_for(lesions, teacher=str(teacher), machine=cached, stages=[one], teacher_cache={"maps": "float16"})
    run.train(made, tmp_path / "cached")
    live_instead_of_banked(monkeypatch)
    run.train(made, tmp_path / "live")
    assert not same(weights(tmp_path / "cached"), weights(tmp_path / "live"))
    for name, value in weights(tmp_path / "cached").items():
        # float16 has 11 bits; AdamW's first steps turn the sign of a tiny gradient into a whole step of 3e-3.
        torch.testing.assert_close(value, weights(tmp_path / "live")[name], rtol=0, atol=0.02)


def test_the_teacher_is_asked_about_each_image_once_whatever_the_seed_and_the_method(
    lesions, teacher, tmp_path, cached, monkeypatch
):
    answered = count_answers(monkeypatch)
    images = sum(row.endswith(",train") for row in (teacher / "split.csv").read_text().splitlines())
    made = recipe_for(lesions, teacher=str(teacher), machine=cached)
    run.train(made, tmp_path / "first")
    asked = sum(answered)
    assert images < asked <= 2 * images + 2 + 16 + 2 * 2  # both views of nearly all, one padded batch, two of a trial
    answered.clear()
    for seed in (1, 2):
        run.train(recipe_for(lesions, teacher=str(teacher), machine=cached, seed=seed), tmp_path / f"seed{seed}")
    assert sum(answered) < asked / 2  # only views that the first run's epochs did not happen to show
    answered.clear()
    kd = [{**LOGITS, "epochs": 4, "terms": [{"method": "kd"}]}]
    run.train(recipe_for(lesions, teacher=str(teacher), machine=cached, stages=kd), tmp_path / "kd")
    assert sum(answered) == 2  # the trial that finds out what the terms read
    told = [json.loads(line) for path in tmp_path.rglob("spent.jsonl") for line in path.read_text().splitlines()]
    assert sum(line["views"] for line in told) >= images
    spent = json.loads((tmp_path / "kd" / "result.json").read_text())[
        "teacher_cache"
    ]  # charged with what others waited for
    for key in ("seconds", "cpu_seconds"):
        rate = sum(line[key] for line in told) / sum(line["views"] for line in told)
        assert spent[key] == pytest.approx(spent["views"] * rate, abs=0.051)
    assert spent["seconds"] > 0


def test_runs_with_a_bank_differ_by_seed_in_order_but_not_in_images(lesions, cached):
    table = data.load_table(lesions)
    shown = []
    for seed in (0, 1):
        batches = TrainBatches(
            table, np.arange(48), build.augmentation(schema.ImagesConfig(size=32)), batch_size=48, seed=seed, views=3
        )
        (batch,) = batches.epoch(4)
        assert set(batch.views.tolist()) == {1}
        shown.append(batch)
    assert not torch.equal(shown[0].index, shown[1].index)
    first, second = (batch.images[batch.index.argsort()] for batch in shown)
    assert torch.equal(first, second)


def test_it_says_what_it_will_store_and_how_it_goes(lesions, teacher, tmp_path, cached):
    listener = Notes()
    run.train(recipe_for(lesions, teacher=str(teacher), machine=cached), tmp_path / "run", listener)
    (note,) = [note for note in listener.notes if "caching" in note]
    assert "keeping last, logits" in note
    assert "MB" in note or "kB" in note
    done = [(done, of) for what, done, of in listener.seen if what == "caching outputs of tiny_wide"]
    assert done[-1][0] == done[-1][1]
    listener = Notes()
    run.train(recipe_for(lesions, teacher=str(teacher), machine=cached), tmp_path / "again", listener)
    assert not any("caching" in note for note in listener.notes)


class Killed(BaseException):
    pass


class Killer(NullProgress):
    def prepare(self, what, done, of):
        if "caching" in what and done > of // 2:
            raise Killed


def test_filling_goes_on_where_it_was_killed(lesions, teacher, tmp_path, cached, monkeypatch):
    made = recipe_for(lesions, teacher=str(teacher), machine=cached)
    answered = count_answers(monkeypatch)
    with pytest.raises(Killed):
        run.train(made, tmp_path / "run", Killer())
    before = sum(answered)
    answered.clear()
    run.train(made, tmp_path / "run")
    rest = sum(answered)
    answered.clear()
    run.train(recipe_for(lesions, teacher=str(teacher), machine={"cache": str(tmp_path / "new")}), tmp_path / "whole")
    assert before + rest <= sum(answered) + 16 + 2
    assert rest < sum(answered) * 2 / 3
    assert same(weights(tmp_path / "run"), weights(tmp_path / "whole"))


def test_other_weights_another_transform_or_another_image_are_never_answered_from_the_bank(
    lesions, teacher, tmp_path, cached, monkeypatch
):
    one = [{**LOGITS, "epochs": 1}]
    run.train(recipe_for(lesions, teacher=str(teacher), machine=cached, stages=one), tmp_path / "first")
    answered = count_answers(monkeypatch)
    other = tmp_path / "other"
    labels = {"name": "labels", "epochs": 1, "lr": 1e-3, "terms": [LABELS]}
    run.train(recipe_for(lesions, model={"name": "tiny_wide"}, stages=[labels]), other)
    for n, changes in enumerate(
        [
            {"teacher": str(other)},
            {"teacher": [str(teacher), str(other)]},
            {"images": {"size": 32, "randaugment": {"num_ops": 2}, "views": 2}},
            {"images": {"size": 40, "randaugment": {"num_ops": 1}, "views": 2}},
            {"images": {"size": 32, "randaugment": {"num_ops": 1}, "views": 2, "erasing": 0.5}},
        ]
    ):
        answered.clear()
        settings = {"teacher": str(teacher), "machine": cached, "stages": one, **changes}
        run.train(recipe_for(lesions, **settings), tmp_path / f"changed{n}")
        assert sum(answered) > 100, changes
    # A teacher is refused where other artefacts are taken out, so these are looked at where the cache's name is made.
    said = [build.augmentation(schema.ImagesConfig(artefacts=removed)).about for removed in ((), ("colour_constancy",))]
    assert said[0] != said[1]


def test_a_bank_needs_a_folder(lesions, teacher, tmp_path):
    made = recipe_for(lesions, teacher=str(teacher), machine={"cache": "none"})
    with pytest.raises(RecipeError, match=r'machine\.cache = "none"'):
        run.train(made, tmp_path / "run")


def test_a_copy_of_the_teacher_may_learn_where_views_are_fixed(lesions, teacher, tmp_path, cached):
    mutual = {"name": "mutual", "epochs": 1, "lr": 1e-3, "teacher_lr": 1e-4, "terms": [LABELS, {"method": "eml"}]}
    run.train(recipe_for(lesions, teacher=str(teacher), machine=cached, stages=[mutual, LOGITS]), tmp_path / "run")
    assert (tmp_path / "run" / "result.json").exists()


def test_a_damaged_bank_stops_the_run_and_says_what_to_delete(lesions, teacher, tmp_path, cached):
    made = recipe_for(lesions, teacher=str(teacher), machine=cached)
    run.train(made, tmp_path / "first")
    (arrays,) = (tmp_path / "cache").glob("teacher-*/logits-float32/arrays.bin")
    content = bytearray(arrays.read_bytes())
    content[100] ^= 1
    arrays.write_bytes(content)
    with pytest.raises(DataError, match=r"is damaged .* delete this folder"):
        run.train(made, tmp_path / "second")


def test_images_made_from_others_are_asked_about_also_where_the_others_were(lesions, teacher, tmp_path, cached):
    kd = {**ROTATED, "name": "kd", "terms": [LABELS, {"method": "kd"}]}
    for name, stage in (("plain", kd), ("rotated", ROTATED), ("strong_aug", STRONG)):
        run.train(recipe_for(lesions, teacher=str(teacher), machine=cached, stages=[stage]), tmp_path / name)
        assert (tmp_path / name / "result.json").exists()
