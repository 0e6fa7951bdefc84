"""Fold teachers: trained on other lesions, once for all students, resumed, and locked against two processes."""

import csv
import json
import shutil
import threading
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from filelock import FileLock

from dspkd.data.training_folds import without_fold
from dspkd.errors import DataError
from dspkd.recipes.data import SplitConfig
from dspkd.reports import compute_cost
from dspkd.runs import build, fold_teachers
from dspkd.runs import train as run
from dspkd.runs.files import RunFiles
from dspkd.runs.run_folder import Run
from dspkd.runtime.distributed import SINGLE
from dspkd.training.progress import NullProgress
from tiny_runs import IMAGES, LABELS, Killed, Killer, recipe, stage, weights

CPU = torch.device("cpu")


def student(lesions, teacher, cache, **settings):
    kd = stage("kd", LABELS, {"method": "kd"})
    cross_fit = {"run": str(teacher), "cross_fit": 2}
    common = {"images": {**IMAGES, "views": 2}, "machine": {"cache": str(cache)}, "stages": [kd]}
    return recipe(lesions, **{"name": "student", "teacher": cross_fit, **common, **settings})


def teacher_recipe(lesions, **settings):
    return recipe(lesions, **{"name": "teacher", "model": {"name": "tiny_wide"}, "images": IMAGES, **settings})


@pytest.fixture(scope="module")
def runs(lesions, tmp_path_factory):
    """A teacher, a student whose fold teachers were trained with it, and the folder of caches."""
    home = tmp_path_factory.mktemp("runs")
    run.train(teacher_recipe(lesions), home / "teacher")
    run.train(student(lesions, home / "teacher", home / "cache"), home / "student")
    return home


@pytest.fixture(scope="module")
def dataset(lesions, runs):
    return build.load_data(student(lesions, runs / "teacher", runs / "cache"))


@pytest.fixture
def planned(lesions, runs, dataset):
    return fold_teachers.planned(student(lesions, runs / "teacher", runs / "cache"), dataset.table, dataset.split)


def rows_of(split_file):
    return list(csv.DictReader(split_file.read_text().splitlines()))


def test_no_fold_teacher_has_seen_a_lesion_that_it_answers_about_or_one_of_validation_or_test_set(runs, planned):
    (teachers,), _ = planned
    own = rows_of(runs / "student" / "split.csv")
    of_part = {part: {row["group"] for row in own if row["part"] == part} for part in ("train", "val", "test")}
    answered = []
    for fold in range(2):
        rows = rows_of(teachers.run(fold) / "split.csv")
        trained = {row["group"] for row in rows if row["part"] == "train"}
        asked_about = {row["group"] for row in rows if row["part"] == "test"}
        assert trained
        assert not trained & (asked_about | of_part["val"] | of_part["test"])
        assert {row["group"] for row in rows if row["part"] == "val"} == of_part["val"]
        assert trained | asked_about == of_part["train"]
        answered.append(asked_about)
    assert not answered[0] & answered[1]
    assert answered[0] | answered[1] == of_part["train"]


def test_a_fold_teacher_is_the_teachers_recipe_on_the_other_folds(lesions, runs, planned):
    (teachers,), fold_N = planned
    assert teachers.folder.parent == runs / "teacher-cross-fit"
    theirs = Run(runs / "teacher").recipe
    for fold in range(2):
        made = Run(teachers.run(fold))
        ours = made.recipe
        assert (ours.model, ours.stages, ours.train, ours.images, ours.seed) == (
            theirs.model, theirs.stages, theirs.train, theirs.images, theirs.seed,
        )  # fmt: skip
        assert sum(images for images, _ in made.data.counts["train"].values()) == (fold_N == 1 - fold).sum()
        assert made.finished


def test_the_run_names_the_teachers_that_answered_and_is_charged_with_them(runs, planned):
    (teachers,), _ = planned
    folders = [str(teachers.run(fold)) for fold in range(2)]
    assert json.loads((runs / "student" / "result.json").read_text())["fold_teachers"] == folders
    environment = json.loads((runs / "student" / "environment.json").read_text())
    assert environment["teacher"] == f"{runs / 'teacher'}, cross-fit in 2 folds"
    trained = sum(Run(folder).result.seconds for folder in [runs / "teacher", *folders])
    assert compute_cost.of([Run(runs / "student")]).teachers.seconds == pytest.approx(trained, abs=0.2)


def test_the_saved_predictions_of_the_teacher_are_those_of_the_teacher_of_all_images(runs):
    saved = (runs / "student" / "predictions" / "teacher-test.csv").read_text()
    assert saved == (runs / "teacher" / "predictions" / "test.csv").read_text()


def test_another_seed_uses_the_same_fold_teachers_and_their_outputs(lesions, runs, monkeypatch):
    trained = []
    prepare = run.prepare
    monkeypatch.setattr(run, "prepare", lambda recipe, *rest: trained.append(recipe.name) or prepare(recipe, *rest))
    caches = {path.name for path in (runs / "cache").glob("teacher-*")}
    run.train(student(lesions, runs / "teacher", runs / "cache", seed=1), runs / "seed1")
    assert trained == ["student"]
    assert {path.name for path in (runs / "cache").glob("teacher-*")} == caches


def test_killed_while_a_fold_teacher_trains_and_resumed_the_student_is_the_same(lesions, runs, tmp_path):
    shutil.copytree(runs / "teacher", tmp_path / "teacher")
    again = student(lesions, tmp_path / "teacher", tmp_path / "cache")
    for expected in (1, 0):  # in the first epoch of a fold teacher, twice: within it, and once it is saved
        with pytest.raises(Killed):
            run.train(again, tmp_path / "student", Killer("labels", 1, "within" if expected else "after"))
    run.train(again, tmp_path / "student")
    for name, value in weights(runs / "student").items():
        assert torch.equal(value, weights(tmp_path / "student")[name]), name


class Notes(NullProgress):
    def __init__(self):
        self.notes = []

    def note(self, text):
        self.notes.append(text)


@pytest.fixture
def empty(planned, tmp_path):
    """Fold teachers that are not trained yet, and a function that trains one by writing its last file."""
    (teachers,), fold_N = planned
    moved = replace(teachers, folder=tmp_path / "folds")
    trained = []

    def train(recipe, folder, listener, world):
        trained.append(folder.name)
        folder.mkdir()
        (folder / "result.json").write_text("")

    return SimpleNamespace(teachers=moved, fold_N=fold_N, trained=trained, train=train)


def train_missing(empty, dataset, listener):
    arguments = (empty.teachers, empty.train, dataset.table, dataset.split, empty.fold_N, listener, SINGLE)
    fold_teachers.train_missing(*arguments)


def test_a_fold_that_another_process_trains_is_left_to_it_and_waited_for(empty, dataset):
    empty.teachers.folder.mkdir()
    held, listener = FileLock(empty.teachers.folder / "fold-0.lock"), Notes()
    held.acquire()
    process = threading.Thread(target=train_missing, args=(empty, dataset, listener))
    process.start()
    while not any("waiting for it" in note for note in listener.notes):
        assert process.is_alive()
    assert empty.trained == ["fold-1"]
    (empty.teachers.run(0)).mkdir()
    (empty.teachers.run(0) / "result.json").write_text("")  # as the other process ends
    held.release()
    process.join()
    assert empty.trained == ["fold-1"]
    assert any("fold-0" in note for note in listener.notes if "another process" in note)


def test_a_fold_whose_process_died_is_trained_by_the_one_that_waited(empty, dataset):
    empty.teachers.folder.mkdir()
    held, listener = FileLock(empty.teachers.folder / "fold-0.lock"), Notes()
    held.acquire()
    process = threading.Thread(target=train_missing, args=(empty, dataset, listener))
    process.start()
    while not any("waiting for it" in note for note in listener.notes):
        assert process.is_alive()
    held.release()
    process.join()
    assert empty.trained == ["fold-1", "fold-0"]
    train_missing(empty, dataset, listener)
    assert empty.trained == ["fold-1", "fold-0"]


def loaded(lesions, runs, dataset, teachers, fold_N):
    recipe = student(lesions, runs / "teacher", runs / "cache")
    whole = build.evaluated_teacher(recipe, dataset.table, dataset.split, CPU)
    return fold_teachers.loaded([teachers], whole, recipe, dataset.table, dataset.split, fold_N, CPU)


def test_a_fold_teacher_that_saw_its_own_lesions_is_refused(lesions, runs, dataset, planned):
    (teachers,), fold_N = planned
    assert loaded(lesions, runs, dataset, teachers, fold_N).folds
    exchanged = np.where(fold_N >= 0, 1 - fold_N, fold_N)
    with pytest.raises(DataError, match=r"fold teacher .*fold-0: was trained on \d+ lesions.*delete this folder"):
        loaded(lesions, runs, dataset, teachers, exchanged)


def test_a_fold_teacher_that_saw_a_validation_lesion_is_refused(lesions, runs, dataset, planned, tmp_path):
    (teachers,), fold_N = planned
    copied = replace(teachers, folder=tmp_path / "copied")
    shutil.copytree(teachers.folder, copied.folder)
    leaking = without_fold(dataset.split, fold_N, 1)
    leaking.parts[dataset.split.rows("val")[0]] = "train"
    with RunFiles(copied.run(1)).manifest.recording(copied.run(1) / "split.csv"):
        leaking.save(copied.run(1) / "split.csv", dataset.table)
    with pytest.raises(DataError, match=r"fold-1: was trained on 1 lesion or patient of its student's validation"):
        loaded(lesions, runs, dataset, copied, fold_N)


def test_how_good_fold_teachers_are_on_other_lesions_is_said_and_a_start_from_a_file_doubted(runs, planned):
    (teachers,), _ = planned
    scores = [Run(teachers.run(fold)).test.balanced_accuracy for fold in range(2)]
    assert (
        f"balanced accuracy {scores[0]:.3f}, {scores[1]:.3f}, each on the lesions of its own fold" in teachers.quality
    )
    assert teachers.doubt == ""
    model = replace(teachers.recipes[0].model, weights="mine.pth")
    started = replace(teachers, recipes=(replace(teachers.recipes[0], model=model),))
    assert started.doubt.startswith("warning: fold teachers start from mine.pth; ")


def test_another_split_has_other_fold_teachers(lesions, runs, dataset, planned, tmp_path):
    split = dataset.split.parts.copy()
    split[dataset.split.rows("train")[0]] = "val"
    moved = replace(dataset.split, parts=split)
    moved.save(tmp_path / "split.csv", dataset.table)
    recipe = replace(student(lesions, runs / "teacher", runs / "cache"), split=SplitConfig(file="x"))
    (other,), _ = fold_teachers.planned(recipe, dataset.table, moved)
    assert other.folder != planned[0][0].folder
    assert other.missing == [0, 1]
    assert planned[0][0].missing == []


def test_a_teacher_of_other_images_is_refused(lesions, runs, dataset):
    recipe = student(lesions, runs / "teacher", runs / "cache")
    fewer = dataset.table.take(np.arange(len(dataset.table) - 1))
    with pytest.raises(DataError, match=r"teacher .*: was trained on other images.* give both runs the same data"):
        fold_teachers.planned(recipe, fewer, replace(dataset.split, parts=dataset.split.parts[:-1]))
