"""Comparison of a grid on synthetic lesions: results, threads, errors."""

import json
from dataclasses import replace
from functools import partial
from statistics import fmean, stdev

import pytest

from comparing import nothing, table
from dspkd.errors import DataError, RecipeError, RunError
from dspkd.evaluation.metrics import summarise
from dspkd.evaluation.predictions import Predictions
from dspkd.evaluation.significance import verdicts
from dspkd.experiments.compare import compare, executors, grid
from dspkd.reports import wording
from dspkd.runtime import cores

pytestmark = pytest.mark.usefixtures("no_pages")

RUNS = {f"{method}/seed-{seed}" for method in ("plain", "label_smoothing", "kd") for seed in (0, 1)} | {"teachers/wide"}


def test_the_results_are_those_of_the_runs(unbroken):
    out, compared = unbroken
    (results,) = json.loads((out / "results.json").read_text())
    assert {str(path.parent.relative_to(out)) for path in out.rglob("result.json")} == RUNS
    assert compared.failed == 0
    assert results["synthetic"] is True
    tests = {}
    for arm in results["arms"]:
        tests[arm["name"]] = [Predictions.load(out / arm["name"] / f"seed-{s}/predictions/test.csv") for s in (0, 1)]
        scores = [summarise(test).balanced_accuracy for test in tests[arm["name"]]]
        score = arm["figures"]["balanced_accuracy"]
        assert [each["figures"]["balanced_accuracy"] for each in arm["runs"]] == scores
        assert (score["mean"], score["sd"]) == (pytest.approx(fmean(scores)), pytest.approx(stdev(scores)))
        assert score["low"] < score["mean"] < score["high"]
        seconds = [json.loads((out / arm["name"] / f"seed-{s}/result.json").read_text())["seconds"] for s in (0, 1)]
        assert arm["seconds"] == pytest.approx(sum(seconds), abs=0.05)
    assert set(tests) == {"plain", "label_smoothing", "kd"}
    assert [teacher["seed"] for teacher in results["teachers"]] == [0]
    pairs = {("kd", "plain"), ("label_smoothing", "plain"), ("kd", "label_smoothing")}
    assert {(row["one"], row["other"]) for row in results["verdicts"]} == pairs
    expected = verdicts(tests, [(row["one"], row["other"]) for row in results["verdicts"][:3]])
    assert [(row["verdict"], row["p"]) for row in results["verdicts"]] == [(row.word, row.p) for row in expected]
    text = (out / "results.md").read_text()
    assert "Synthetic data" in text
    kd = next(row for row in expected if (row.one, row.other, row.metric) == ("kd", "plain", "balanced_accuracy"))
    assert f"| kd | plain | **{kd.word}** | " in text
    assert f"| {wording.detectable(kd.minimum_detectable_difference, kd.metric)} |" in text
    assert "Critical-difference" in (out / "report.html").read_text()


def test_runs_of_one_seed_share_the_split_and_the_teacher_is_the_grids(unbroken):
    out, _ = unbroken
    splits = [(out / arm / "seed-0" / "split.csv").read_text() for arm in ("plain", "kd", "label_smoothing")]
    assert len(set(splits)) == 1
    assert json.loads((out / "kd/seed-0/result.json").read_text())["teacher"] == str(out / "teachers" / "wide")
    assert json.loads((out / "plain/seed-0/result.json").read_text())["teacher"] is None


def test_what_is_finished_is_not_trained_again(unbroken, grid_file):
    out, _ = unbroken
    before = table(out)

    def none(folders):
        raise AssertionError(folders)

    compare.compare(grid.load(grid_file), out, none)
    assert table(out) == before


def test_students_without_a_teacher_train_beside_the_teachers_and_the_others_after_them(grid_file, tmp_path):
    batches = []

    def remembering(folders):
        batches.append([folder.relative_to(folder.parents[1]).as_posix() for folder in folders])
        return executors.run_inline(folders)

    one_seed = replace(grid.load(grid_file), seeds=(0,))
    done = compare.compare(one_seed, tmp_path / "out", remembering)
    assert batches == [["teachers/wide", "label_smoothing/seed-0", "plain/seed-0"], ["kd/seed-0"]]
    assert not done.failed


def test_the_metric_that_the_grid_names_decides(unbroken, grid_file):
    """It orders the methods and heads tables and page; no run is trained again."""
    out, _ = unbroken
    named = replace(grid.load(grid_file), decide_by="log_loss")
    try:
        compare.compare(named, out, nothing)
        (results,) = json.loads((out / "results.json").read_text())
        means = [arm["figures"]["log_loss"]["mean"] for arm in results["arms"]]
        assert (results["decide_by"], means) == ("log_loss", sorted(means))
        assert "**Class-balanced log loss decides**" in (out / "results.md").read_text()
        assert "Class-balanced log loss decides" in (out / "report.html").read_text()
    finally:
        compare.compare(grid.load(grid_file), out, nothing)
    (results,) = json.loads((out / "results.json").read_text())
    assert results["decide_by"] == "auc_macro"
    means = [arm["figures"]["auc_macro"]["mean"] for arm in results["arms"]]
    assert means == sorted(means, reverse=True)


def test_cores_are_divided_among_jobs_if_a_recipe_sets_no_threads(grid_file, tmp_path, monkeypatch):
    monkeypatch.setattr(cores, "available_cores", lambda: 7)
    text = grid_file.read_text() + 'set = ["machine.threads=0"]\n'
    (tmp_path / "grid.toml").write_text(text)
    compare.compare(grid.load(tmp_path / "grid.toml"), tmp_path / "a", nothing, jobs=2)
    assert "threads = 3" in (tmp_path / "a/kd/seed-0/recipe.toml").read_text()
    compare.compare(grid.load(grid_file), tmp_path / "b", nothing, jobs=2)
    assert "threads = 1" in (tmp_path / "b/kd/seed-0/recipe.toml").read_text()


def test_a_changed_grid_is_refused_and_a_grown_one_trains_the_new_runs(unbroken, grid_file, tmp_path):
    out, _ = unbroken
    changed = tmp_path / "grid.toml"
    changed.write_text(grid_file.read_text() + 'set = ["stages.0.lr=1e-3"]\n')
    with pytest.raises(RunError, match=r"teachers/wide: .*another folder"):
        compare.compare(grid.load(changed), out, executors.run_inline)
    changed.write_text(grid_file.read_text().replace("[0, 1]", "[0, 1, 2]"))
    requested = []
    compare.compare(grid.load(changed), out, partial(nothing, requested=requested))
    assert {folder.name for folder in requested} == {"seed-2"}


@pytest.mark.parametrize(
    ("old", "new", "error", "message"),
    [
        ("seeds =", "set = [\"data.path='nowhere'\"]\nseeds =", DataError, "nowhere"),
        ("seeds =", "set = [\"model.name='tinny'\"]\nseeds =", RecipeError, "model.name: .*tiny"),
        ('name = "wide"', 'run = "elsewhere"', RunError, "elsewhere: "),
    ],
)
def test_an_invalid_grid_is_refused_before_anything_is_trained(grid_file, tmp_path, old, new, error, message):
    text = grid_file.read_text().replace(old, new)
    if "elsewhere" in new:
        text = text.split("teachers =")[0] + 'teachers = [{ run = "elsewhere" }]'
    (tmp_path / "grid.toml").write_text(text)
    with pytest.raises(error, match=message):
        compare.compare(grid.load(tmp_path / "grid.toml"), tmp_path / "out", executors.run_inline)
    assert not (tmp_path / "out").exists()


def test_two_comparisons_cannot_use_one_folder(grid_file, tmp_path):
    with compare.FileLock(tmp_path / ".lock"), pytest.raises(RunError, match="another folder"):
        compare.compare(grid.load(grid_file), tmp_path, executors.run_inline)
