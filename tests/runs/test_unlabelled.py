"""Runs that also learn from unlabelled images: cache, resumption, their choice, and stages without a teacher."""

import csv
import shutil
from dataclasses import replace

import pytest
import torch

from dspkd.data.sampling import in_passes
from dspkd.data.synthetic.dataset import synthesize
from dspkd.errors import RecipeError, RunError
from dspkd.recipes import schema
from dspkd.runs import plan, validate
from dspkd.runs import train as run
from dspkd.training.distiller import Distiller
from dspkd.training.teachers.frozen import FrozenTeacher
from tiny_runs import LABELS, Killed, Killer, Notes, dsp_kd_recipe, stage, teacher_recipe, trained, weights


@pytest.fixture(scope="module")
def teacher(lesions, tmp_path_factory):
    return trained(teacher_recipe(lesions, stages=[stage("labels")]), tmp_path_factory.mktemp("pool") / "teacher")


@pytest.fixture(scope="module")
def pool(lesions, teacher, tmp_path_factory):
    """Return a folder of forty images, and a copy of one test image."""
    folder = tmp_path_factory.mktemp("pool") / "images"
    synthesize(folder, images=40, size=48, seed=79, layout="folder")
    for file in folder.rglob("*/*.jpg"):
        file.rename(file.with_name(f"other_{file.name}"))
    with (teacher / "split.csv").open() as file:
        name = next(row["id"] for row in csv.DictReader(file) if row["part"] == "test")
    (source,) = lesions.rglob(f"{name}.*")
    shutil.copy(source, folder / "a_test_image.jpg")
    return folder


def student(lesions, teacher, pool, cache, **settings):
    stages = [
        stage("labels", {"method": "labels"}),
        stage("kd", LABELS, {"method": "kd"}, {"method": "dkd"}),
    ]
    common = {
        "data": {"path": str(lesions), "unlabelled": str(pool), "unlabelled_ratio": 0.5},
        "images": {"size": 32, "views": 2}, "train": {"batch_size": 16, "ema": 0.9},
        "machine": {"cache": str(cache)}, "stages": stages,
    }  # fmt: skip
    return dsp_kd_recipe(lesions, teacher, **{**common, **settings})


def test_a_killed_run_ends_like_an_uninterrupted_one_and_each_stage_has_its_images(
    lesions, teacher, pool, tmp_path, monkeypatch
):
    monkeypatch.setattr(run.artifacts, "keep", lambda *_: None)
    recipe, listener, sizes = student(lesions, teacher, pool, tmp_path / "cache"), Notes(), []
    forward = Distiller.forward

    def seen(self, batch, *rest):
        sizes.append((len(self.terms), len(batch), batch.labelled))
        return forward(self, batch, *rest)

    monkeypatch.setattr(Distiller, "forward", seen)
    run.train(recipe, tmp_path / "whole", listener)
    assert set(sizes) == {(1, 16, None), (3, 24, 16)}
    (note,) = [note for note in listener.notes if note.startswith("unlabelled: ")]
    assert f"40 of 41 images in {pool}; left out: 1 copies of validation or test images" in note
    rows = (tmp_path / "whole" / "unlabelled.csv").read_text().splitlines()
    assert len(rows) == 42
    assert "unlabelled/a_test_image.jpg,copy" in rows
    computed = []
    answer = FrozenTeacher.answer
    monkeypatch.setattr(FrozenTeacher, "answer", lambda self, batch: computed.append(len(batch)) or answer(self, batch))
    with pytest.raises(Killed):
        run.train(recipe, tmp_path / "killed", Killer("kd", 1))
    run.train(recipe, tmp_path / "killed")
    assert max(computed) == 2  # the trials: outputs for unlabelled images are cached, too
    expected = weights(tmp_path / "whole")
    assert all(torch.equal(value, expected[name]) for name, value in weights(tmp_path / "killed").items())


def test_other_unlabelled_images_are_refused_when_a_run_goes_on(lesions, teacher, pool, tmp_path):
    folder = tmp_path / "images"
    shutil.copytree(pool, folder)
    recipe = student(lesions, teacher, folder, tmp_path / "cache")
    with pytest.raises(Killed):
        run.train(recipe, tmp_path / "run", Killer("labels", 1, when="after"))
    next(folder.rglob("*/*.jpg")).unlink()
    with pytest.raises(RunError, match=r"unlabelled images have changed since this run began"):
        run.train(recipe, tmp_path / "run")


def test_where_nothing_learns_from_them_they_are_not_loaded_and_that_is_printed(lesions, teacher, pool, tmp_path):
    only = student(lesions, teacher, pool, tmp_path / "c", stages=[stage("labels", LABELS, {"method": "dkd"})])
    alone = student(lesions, teacher, pool, tmp_path / "c", stages=[stage("labels")])
    for recipe in (only, replace(alone, teacher=None)):
        listener = Notes()
        context = run.prepare(recipe, run.RunFiles(tmp_path), listener)
        assert context.unlabelled is None
        assert any("are not used: no term has a teacher and reads no labels" in note for note in listener.notes)
        assert not (tmp_path / "unlabelled.csv").exists()


def test_a_plan_counts_them_and_recipes_are_checked(lesions, teacher, pool, tmp_path):
    recipe = student(lesions, teacher, pool, tmp_path / "cache")
    alone = student(lesions, teacher, pool, tmp_path / "cache", data={"path": str(lesions)})
    plans = [plan.plan(each, steps=1) for each in (alone, recipe)]
    # The second stage alone learns from them: eight beside each sixteen labelled images, 41 before screening.
    drawn = in_passes(41, 8 * plans[0].stages[1].steps, seed=0, epoch=1, views=2)
    assert plans[1].teacher_outputs.count - plans[0].teacher_outputs.count == len(set(zip(*drawn, strict=True)))
    weighed = replace(recipe, teacher=replace(recipe.teacher, run=("a", "b"), weights="label"))
    with pytest.raises(RecipeError, match=r'teacher\.weights = "label": unlabelled images have no label'):
        validate.check(weighed)
    with pytest.raises(RecipeError, match=r"data\.unlabelled_ratio: .*greater than 0"):
        schema.parse({"name": "x", "data": {"path": "x", "unlabelled_ratio": 0.0}, "model": {"name": "tiny"},
                      "stages": [stage("labels")]})  # fmt: skip
