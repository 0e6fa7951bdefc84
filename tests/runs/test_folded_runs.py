"""The runs of all folds as one run."""

import json
import shutil
from dataclasses import replace

import numpy as np
import pytest
import torch

from dspkd import data
from dspkd.data import split as splits
from dspkd.errors import DataError, RunError
from dspkd.evaluation.predictions import Predictions
from dspkd.runs import build, packed
from dspkd.runs.reading import opened
from tiny_runs import recipe, stage, teacher_recipe, trained
from untrained_runs import changed, write_folds


@pytest.fixture(scope="module")
def trained_folds(tmp_path_factory):
    """The folder of a comparison in four folds."""
    return write_folds(tmp_path_factory.mktemp("folds"))


@pytest.fixture
def kd(trained_folds, tmp_path):
    """A copy of a method's folds, to be changed."""
    shutil.copytree(trained_folds / "teachers", tmp_path / "teachers")
    return shutil.copytree(trained_folds / "kd/seed-0", tmp_path / "kd/seed-0")


def test_each_image_has_the_prediction_of_the_network_of_its_fold(trained_folds):
    run = opened(trained_folds / "kd/seed-0").require_finished()
    whole = run.predictions()
    assert len(whole) == len(set(whole.ids)) == 240
    for fold in range(4):
        own = Predictions.load(trained_folds / f"kd/seed-0/fold-{fold}/predictions/test.csv")
        assert whole.of(own.ids).logits.tolist() == own.logits.tolist()
        assert set(whole.of(own.ids).folds.tolist()) == {fold}
        assert set(whole.take(np.flatnonzero(whole.folds == fold)).ids) == set(own.ids)


def test_times_and_counts_add_up_over_folds(trained_folds):
    run = opened(trained_folds / "kd/seed-0")
    assert (run.result.seconds, run.result.cpu_seconds, run.result.stages[0].seconds) == (120.0, 116.0, 120.0)
    assert (run.result.name, run.result.seed, run.result.parameters) == ("kd", 0, 60_000)
    assert (len(run.test_evaluations), run.finished, len(run.parts)) == (4, True, 4)
    assert run.data.counts["test"]["MEL"] == (160, 80)
    assert run.data.card["sex"].parts["test"] == {"male": 120, "": 36}
    assert (run.data.card["sex"].parts["val"], run.data.card["source"].parts) == ({"male": 30, "": 9}, {})
    assert run.teachers == (trained_folds / "teachers/teacher",)
    assert opened(run.teachers[0]).result.seconds == 120.0
    digests = {opened(trained_folds / method / "seed-0").data.split_digest for method in ("kd", "plain")}
    assert len(digests) == 1


def test_a_missing_fold_leaves_no_result(kd):
    shutil.rmtree(kd / "fold-2")
    run = opened(kd)
    assert (run.finished, run.missing) == (False, [2])
    with pytest.raises(RunError, match=r"seed-0: fold 2 is missing, .*no predictions of all images"):
        run.require_finished()


def test_folds_of_other_recipes_are_refused(kd):
    changed(kd / "fold-3", train=replace(opened(kd / "fold-3").recipe.train, clip=1.0))
    with pytest.raises(RunError, match=r"fold-3: its recipe differs from that of .*fold-0"):
        opened(kd).require_finished()


def test_a_run_with_folds_in_it_is_refused_and_validation_predictions_are_the_folds_own(kd):
    with pytest.raises(RunError, match="each fold has its own 'val'"):
        opened(kd).predictions("val")
    shutil.copy(kd / "fold-0/recipe.toml", kd / "recipe.toml")
    with pytest.raises(RunError, match=r"seed-0: is a run, and has folds in it"):
        opened(kd)


def test_attributes_follow_the_images(kd):
    for fold in range(4):
        ids = Predictions.load(kd / f"fold-{fold}/predictions/test.csv").ids
        rows = "".join(f"{name},{name}-{fold}\n" for name in ids)
        (kd / f"fold-{fold}/attributes.csv").write_text(f"id,sex\n{rows}")
    run = opened(kd)
    whole = run.predictions()
    assert run.attributes == {"sex": tuple(f"{name}-{fold}" for name, fold in zip(whole.ids, whole.folds, strict=True))}
    (kd / "fold-1/attributes.csv").unlink()
    assert opened(kd).attributes is None


def test_packed_folds_are_read_as_the_folds_were(trained_folds, tmp_path):
    packed.pack(trained_folds, tmp_path)
    ours, theirs = opened(tmp_path / "kd/seed-0").require_finished(), opened(trained_folds / "kd/seed-0")
    np.testing.assert_allclose(ours.predictions().logits, theirs.predictions().logits, atol=0.51e-4)
    assert ours.predictions().folds.tolist() == theirs.predictions().folds.tolist()
    assert ours.recipe.teachers == ("teachers/teacher/fold-0",)
    assert ours.teachers == (tmp_path / "teachers/teacher",)
    assert ours.result.seconds == theirs.result.seconds
    assert opened(ours.teachers[0]).result == replace(opened(theirs.teachers[0]).result)


def test_a_student_learns_from_the_teacher_of_its_own_fold_alone(lesions, tmp_path):
    """The teacher of another fold was trained on its test lesions."""
    in_fold = [{"folds": 3, "fold": fold} for fold in range(2)]
    short = teacher_recipe(lesions, stages=[stage("labels")], split=in_fold[0])
    teacher = trained(short, tmp_path / "teacher")
    saved = json.loads((tmp_path / "teacher/data.json").read_text())["counts"]
    students = [recipe(lesions, split=split) for split in in_fold]
    datasets = [build.load_data(each) for each in students]
    build.teacher([str(teacher)], datasets[0].table, datasets[0].split, torch.device("cpu"))
    assert saved["test"] == splits.report(datasets[0].table, datasets[0].split)["test"]
    with pytest.raises(
        DataError, match=r"teacher .*teacher: was trained on \d+ lesions.*its student's validation or test"
    ):
        build.teacher([str(teacher)], datasets[1].table, datasets[1].split, torch.device("cpu"))


def test_an_empty_part_is_refused_whoever_loads_the_data(lesions):
    dataset = build.load_data(recipe(lesions))
    few = dataset.table.take(np.flatnonzero(dataset.table.labels == dataset.table.labels[0])[:2])
    few = replace(few, classes=few.classes[:1], labels=np.zeros(2, dtype=np.int64), groups=("one", "two"))
    with pytest.raises(DataError, match=r"leaves .*empty: its 2 lesions or patients have 1, 1 images.*split\.file"):
        build.divided(recipe(lesions), few)
    assert data.Dataset.of(few).split.parts.tolist()  # the data alone may be divided so
