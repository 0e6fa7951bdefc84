"""Grids with folds: every method and teacher in each fold, compared by out-of-fold predictions."""

import json
import re
import shutil
from functools import partial

import numpy as np
import pytest

from command import call
from comparing import nothing
from dspkd.errors import RecipeError, RunError
from dspkd.evaluation.metrics import summarise
from dspkd.evaluation.predictions import Predictions
from dspkd.evaluation.significance import verdicts
from dspkd.experiments.compare import compare, grid, packed_comparison
from dspkd.runs import packed
from dspkd.runs.reading import opened
from repeated_runs import METHODS, untrained

pytestmark = pytest.mark.usefixtures("no_pages", "no_comparison_pages")


@pytest.fixture
def in_folds(grid_file, tmp_path):
    """A grid file in three folds."""
    path = tmp_path / "grid.toml"
    path.write_text(grid_file.read_text().replace("seeds = [0, 1]", "seeds = [0]\nfolds = 3"))
    return path


def test_each_method_and_teacher_is_planned_in_each_fold(in_folds, tmp_path):
    in_folds.write_text(in_folds.read_text().replace("[0]", "[0, 7]"))
    (planned,) = grid.comparisons(grid.load(in_folds), tmp_path)
    assert [run.folder for run in planned.teachers] == [tmp_path / f"teachers/wide/fold-{k}" for k in range(3)]
    for method in METHODS:
        runs = planned.runs[method]
        assert [run.folder for run in runs] == [
            tmp_path / method / f"seed-{seed}" / f"fold-{k}" for seed in (0, 7) for k in range(3)
        ]
        for run in runs:
            fold = int(run.folder.name[-1])
            assert (run.recipe.split.folds, run.recipe.split.fold) == (3, fold)
            teacher = tmp_path / f"teachers/wide/fold-{fold}"
            assert run.recipe.teachers == ((str(teacher),) if method == "kd" else ())
            assert run.waits_for == ((teacher,) if method == "kd" else ())
    assert len({run.recipe.digest for runs in planned.runs.values() for run in runs}) == 18


def test_the_folds_of_a_finished_teacher_teach_those_of_the_methods(in_folds, tmp_path):
    in_folds.write_text(in_folds.read_text().split("teachers =")[0] + 'teachers = [{ run = "other/teachers/wide" }]')
    (planned,) = grid.comparisons(grid.load(in_folds), tmp_path)
    assert [run.recipe.teachers for run in planned.runs["kd"]] == [(f"other/teachers/wide/fold-{k}",) for k in range(3)]
    with pytest.raises(RunError, match="other/teachers/wide/fold-0: no such run folder"):
        compare.compare(grid.load(in_folds), tmp_path / "out", nothing)


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ("folds = 1", "folds: .*greater than or equal to 2, got 1"),
        ("folds = 3\nset = [\"split.file='split.csv'\"]", "file and folds both define the parts"),
        ("folds = 3\nset = [\"split.column='part'\"]", "column and folds both define the parts"),
        ('folds = 3\nset = ["split.val=0.7"]', "val 0.7 and one of 3 folds leave nothing to train on"),
        ('folds = 3\nset = ["split.test=0.3"]', "with folds the test set is one of 3"),
    ],
)
def test_settings_that_contradict_folds_are_refused(in_folds, tmp_path, setting, message):
    in_folds.write_text(in_folds.read_text().replace("folds = 3", setting))
    with pytest.raises(RecipeError, match=message):
        grid.comparisons(grid.load(in_folds), tmp_path)


@pytest.fixture(scope="module")
def compared(grid_file, tmp_path_factory):
    """The results of a grid in three folds, with one seed."""
    folder = tmp_path_factory.mktemp("compared")
    path = folder / "grid.toml"
    path.write_text(grid_file.read_text().replace("seeds = [0, 1]", "seeds = [0]\nfolds = 3"))
    (result,) = compare.compare(grid.load(path), folder / "out", untrained).results
    return folder / "out", result


def pooled(out, method):
    """Return the predictions of all folds, joined by hand."""
    folds = [Predictions.load(out / method / f"seed-0/fold-{k}/predictions/test.csv") for k in range(3)]
    ids = sorted(name for fold in folds for name in fold.ids)
    whole = Predictions.joined(folds, ids)
    of = {name: k for k, fold in enumerate(folds) for name in fold.ids}
    return Predictions(*(getattr(whole, name) for name in ("classes", "ids", "groups", "labels", "logits")),
                       np.array([of[name] for name in ids]))  # fmt: skip


def test_figures_and_verdicts_are_those_of_the_out_of_fold_predictions(compared):
    out, result = compared
    assert (result.images, result.groups, result.folds) == (180, 90, 3)
    arms = {arm.name: [pooled(out, arm.name)] for arm in result.arms}
    for arm in result.arms:
        summary = summarise(arms[arm.name][0])
        assert len(arm.runs) == 1
        assert arm.figures["auc_macro"].mean == pytest.approx(summary.auc_macro)
        assert arm.figures["balanced_accuracy"].mean == summary.balanced_accuracy
        folds = [Predictions.load(out / arm.name / f"seed-0/fold-{k}/predictions/test.csv") for k in range(3)]
        spread = np.std([summarise(fold).balanced_accuracy for fold in folds], ddof=1)
        assert arm.figures["balanced_accuracy"].sd == pytest.approx(spread)
        assert (arm.seconds, arm.runs[0].seconds) == (90.0, 90.0)
    pairs = list(dict.fromkeys((row.one, row.other) for row in result.verdicts))
    assert result.verdicts == verdicts(arms, pairs)
    assert all(row.p is not None and row.minimum_detectable_difference for row in result.verdicts)
    kd = next(arm for arm in result.arms if arm.name == "kd")
    assert kd.compute.teachers.seconds == 90.0
    assert kd.fidelity.runs[0].teacher_right + kd.fidelity.runs[0].teacher_wrong == 180


def test_results_and_page_say_that_predictions_are_out_of_fold(compared):
    out, _ = compared
    text = (out / "results.md").read_text()
    assert "180 test images of 90 lesions" in text
    assert "3 folds, out-of-fold: each image is predicted once for each seed" in text
    assert "over folds where there is one seed" in text
    assert "Each of the 9 runs evaluated the test set once" in text
    (results,) = json.loads((out / "results.json").read_text())
    assert results["folds"] == 3
    page = (out / "report.html").read_text()
    assert "3 folds, out-of-fold" in page
    assert "3 methods, 9 runs" in page
    assert "over 1 run of 3 folds" in page
    assert "variance over folds of all methods" in page


def test_the_split_is_described_for_all_folds(compared, tmp_path):
    out, _ = compared
    shutil.copytree(out / "plain/seed-0", tmp_path / "run")
    for fold in range(3):
        file = tmp_path / f"run/fold-{fold}/data.json"
        how = f"fold {fold} (from 0) of 3 is the test set at random by lesion or patient, seed 0"
        file.write_text(json.dumps(json.loads(file.read_text()) | {"split_how": how}))
    whole = "each of 3 folds is the test set once, at random by lesion or patient, seed 0"
    assert opened(tmp_path / "run").data.split_how == whole
    assert opened(tmp_path / "run/fold-1").data.split_how.startswith("fold 1 (from 0) of 3")


def test_seeds_and_folds_combine(in_folds, tmp_path):
    in_folds.write_text(in_folds.read_text().replace("[0]", "[0, 1]"))
    (result,) = compare.compare(grid.load(in_folds), tmp_path / "out", untrained).results
    assert {arm.name: len(arm.runs) for arm in result.arms} == dict.fromkeys(METHODS, 2)
    assert (result.images, result.folds) == (180, 3)
    for arm in result.arms:
        scores = [run.figures["balanced_accuracy"] for run in arm.runs]
        assert arm.figures["balanced_accuracy"].sd == pytest.approx(np.std(scores, ddof=1))


def test_a_fold_that_fails_leaves_its_method_without_a_result_and_is_retried(in_folds, compared, tmp_path):
    out = tmp_path / "out"
    failing = partial(untrained, failing=["kd/seed-0/fold-1"])
    result = compare.compare(grid.load(in_folds), out, failing)
    (results,) = result.results
    assert {arm.name for arm in results.arms} == {"plain", "label_smoothing"}
    place = str(out / "kd/seed-0/fold-1")
    assert results.failed == {place: f"burnt; without this fold there is no result of {out / 'kd/seed-0'}"}
    assert result.failed == 1
    assert f"| {place} | burnt; without this fold there is no result of" in (out / "results.md").read_text()
    packed.pack(out, tmp_path / "packed")
    text = packed_comparison.tables([tmp_path / "packed"])
    assert re.search(r"kd/seed-0 \| no fold 1, so no predictions of all images \|", text)
    requested = []
    compare.compare(grid.load(in_folds), out, partial(nothing, requested=requested))
    assert [str(folder) for folder in requested] == [place]
    (results,) = compare.compare(grid.load(in_folds), out, untrained).results
    assert results.verdicts == compared[1].verdicts


def test_a_teacher_that_fails_in_a_fold_fails_its_students_of_that_fold(in_folds, tmp_path):
    result = compare.compare(grid.load(in_folds), tmp_path, partial(untrained, failing=["wide/fold-2"]))
    failed = result.results[0].failed
    assert set(failed) == {str(tmp_path / "teachers/wide/fold-2"), str(tmp_path / "kd/seed-0/fold-2")}
    assert "its teacher" in failed[str(tmp_path / "kd/seed-0/fold-2")]
    assert result.results[0].teachers == []


def test_folds_and_runs_without_folds_do_not_share_a_folder(in_folds, grid_file, tmp_path):
    compare.compare(grid.load(in_folds), tmp_path / "a", untrained)
    with pytest.raises(RunError, match=r"wide: the folder has runs of folds, .*without them; .*another folder"):
        compare.compare(grid.load(grid_file), tmp_path / "a", nothing)
    compare.compare(grid.load(grid_file), tmp_path / "b", nothing)
    with pytest.raises(RunError, match=r"fold-0: the folder has runs without folds, .*with them; .*another folder"):
        compare.compare(grid.load(in_folds), tmp_path / "b", nothing)
    in_folds.write_text(in_folds.read_text().replace("folds = 3", "folds = 4"))
    with pytest.raises(RunError, match=r"fold-0: holds a run of recipe"):
        compare.compare(grid.load(in_folds), tmp_path / "a", nothing)


def test_packed_folds_give_the_same_tables_by_the_command(compared, tmp_path):
    out, result = compared
    call("pack", out, "--out", tmp_path / "packed")
    text, _ = call("referee", tmp_path / "packed")
    assert "3 folds, out-of-fold" in text
    (ours,) = packed_comparison.results([tmp_path / "packed"])
    assert [(row.one, row.other, row.word) for row in ours.verdicts] == [
        (row.one, row.other, row.word) for row in result.verdicts
    ]
    for one, other in zip(ours.arms, result.arms, strict=True):
        assert one.figures["auc_macro"].mean == pytest.approx(other.figures["auc_macro"].mean, abs=1e-3)
        assert (one.compute, one.seconds) == (other.compute, other.seconds)
    assert len(ours.teachers) == 1


def test_single_folds_can_be_compared_on_a_page(compared, tmp_path):
    out, _ = compared
    call("report", out / "kd/seed-0", out / "plain/seed-0", "--out", tmp_path / "page.html")
    assert "3 folds, out-of-fold" in (tmp_path / "page.html").read_text()
