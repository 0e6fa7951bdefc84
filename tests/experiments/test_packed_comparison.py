"""Packed runs of a comparison: what they keep, and the tables computed from them alone."""

import csv
import gzip
import re
import shutil
from dataclasses import replace

import numpy as np
import pytest
from scipy.special import softmax
from sklearn.metrics import balanced_accuracy_score, log_loss, roc_auc_score

from command import call, refused
from dspkd.errors import DataError, RecipeError, RunError
from dspkd.evaluation.predictions import Predictions
from dspkd.experiments.compare import packed_comparison
from dspkd.reports import comparison_results
from dspkd.runs import packed
from dspkd.runs.reading import opened
from untrained_runs import changed, write_comparison

RUNS = [f"{method}/seed-{seed}" for method in ("kd", "label_smoothing", "plain") for seed in (0, 1)]


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """The folder of a comparison."""
    return write_comparison(tmp_path_factory.mktemp("comparison"))


@pytest.fixture(scope="module")
def committed(trained, tmp_path_factory):
    """Its runs, packed."""
    out = tmp_path_factory.mktemp("repository") / "results" / "GRID"
    packed.pack(trained, out)
    return out


@pytest.fixture
def copy(committed, tmp_path):
    """A copy of the packed runs, to be changed."""
    return shutil.copytree(committed, tmp_path / "results")


def test_each_finished_run_is_packed_into_its_place(trained, committed):
    names = sorted(path.name for path in committed.rglob("*") if path.is_file())
    assert names == sorted(7 * ["recipe.toml", "run.json", "test.csv.gz"])
    for place in [*RUNS, "teachers/teacher"]:
        ours, theirs = opened(committed / place).require_finished(), opened(trained / place)
        one, other = ours.predictions(), theirs.predictions()
        assert (one.classes, one.ids, one.groups) == (other.classes, other.ids, other.groups)
        assert one.labels.tolist() == other.labels.tolist()
        np.testing.assert_allclose(one.logits, other.logits, atol=0.51e-4)  # four decimals
        for figure in ("name", "seed", "parameters", "stages", "seconds", "cpu_seconds"):
            assert getattr(ours.result, figure) == getattr(theirs.result, figure)
        for recorded in ("data", "test_evaluations", "early_evaluations"):
            assert getattr(ours, recorded) == getattr(theirs, recorded)


def test_the_recipe_names_the_packed_teacher_and_nothing_of_the_machine(trained, committed):
    run = opened(committed / "kd/seed-0")
    was = opened(trained / "kd/seed-0").recipe
    assert run.recipe == replace(was, teacher="teachers/teacher", machine=run.recipe.machine)
    assert run.result.digest == was.digest
    assert run.teachers == (committed / "teachers/teacher",)
    for path in [*committed.rglob("run.json"), *committed.rglob("recipe.toml")]:
        assert not [text for text in (str(trained), "Linux-6.1", "/somewhere/else") if text in path.read_text()]


def test_the_tables_are_those_of_the_run_folders_but_for_rounding(trained, committed, tmp_path):
    runs = shutil.copytree(trained, tmp_path / "runs")
    for path in runs.glob("*/*/predictions/test.csv"):
        path.write_text(re.sub(r"-?\d+\.\d+(?=[,\n])", lambda number: f"{float(number[0]):.4f}", path.read_text()))
    folders = [path.parent for path in sorted(runs.glob("*/seed-*/result.json"))]
    options = {"controls": ("plain", "label_smoothing"), "failed": {}, "unequal": []}
    theirs = comparison_results.tabulate("", folders, [runs / "teachers/teacher"], **options)
    (ours,) = packed_comparison.results([committed])
    assert ours.verdicts == theirs.verdicts
    assert [arm.name for arm in ours.arms] == ["kd", "plain", "label_smoothing"]
    for field in ("controls", "images", "groups", "classes", "holdout", "unequal", "card"):
        assert getattr(ours, field) == getattr(theirs, field)
    for one, other in zip(ours.arms, theirs.arms, strict=True):
        assert (one.figures, one.seconds, one.compute) == (other.figures, other.seconds, other.compute)
        assert one.fidelity.agreement == other.fidelity.agreement
    assert ours.arms[0].compute.teachers.seconds == 30.0


def test_the_scores_follow_from_the_files(committed):
    """Read the files without our code, and score them with scikit-learn."""
    text = packed_comparison.tables([committed])
    for place in RUNS:
        with gzip.open(committed / place / "test.csv.gz", "rt") as file:
            rows = list(csv.DictReader(file))
        classes = [name.removeprefix("logit_") for name in rows[0] if name.startswith("logit_")]
        truth = np.array([classes.index(row["label"]) for row in rows])
        p = softmax([[float(row[f"logit_{name}"]) for name in classes] for row in rows], axis=1)
        aucs = [roc_auc_score(truth == k, p[:, k]) for k in range(3)]
        losses = [log_loss(np.full(40, k), p[truth == k], labels=range(3)) for k in range(3)]
        scores = (np.mean(aucs), balanced_accuracy_score(truth, p.argmax(axis=1)), np.mean(losses))
        method, seed = place.split("/seed-")
        assert f"| {method} | {seed} | {' | '.join(f'{score:.4f}' for score in scores)} |" in text
    assert "| 0.06 M | 2 | 30 s |" in text


def test_more_runs_can_be_packed_later_and_what_has_not_changed_is_not_written(trained, committed, tmp_path):
    runs, out = tmp_path / "runs", tmp_path / "packed"
    shutil.copytree(trained / "plain", runs / "plain")
    (runs / "plain/seed-1/result.json").unlink()  # still in training
    shutil.copytree(trained / "teachers/teacher", runs / "teachers/teacher-cross-fit/5-ab12/fold-0")  # not a method
    assert packed.pack(runs, out) == [out / "plain/seed-0"]
    written = (out / "plain/seed-0/test.csv.gz").stat().st_mtime_ns
    shutil.copytree(trained, runs, dirs_exist_ok=True)
    assert len(packed.pack(runs, out)) == 7
    assert (out / "plain/seed-0/test.csv.gz").stat().st_mtime_ns == written
    for path in committed.rglob("*.csv.gz"):
        assert (out / path.relative_to(committed)).read_bytes() == path.read_bytes()


def test_unfinished_comparisons_have_tables_too(copy):
    shutil.rmtree(copy / "kd/seed-1")
    shutil.rmtree(copy / "label_smoothing")
    shutil.rmtree(copy / "teachers")
    (results,) = packed_comparison.results([copy])
    assert {arm.name: len(arm.runs) for arm in results.arms} == {"kd": 1, "plain": 2}
    assert (results.controls, results.arms[0].fidelity) == (["plain"], None)
    assert results.arms[0].compute.teachers.seconds is None  # not known, rather than none


def test_each_data_set_and_student_is_a_comparison_with_the_teachers_above_it(copy, tmp_path):
    for name in ("small", "large"):
        for method in ("kd", "plain"):
            shutil.copytree(copy / method, tmp_path / "all" / name / method)
    shutil.copytree(copy / "teachers", tmp_path / "all/teachers")
    large, small = packed_comparison.results([tmp_path / "all"])
    assert (large.name, small.name, len(large.teachers), len(small.teachers)) == ("large", "small", 1, 1)
    assert large.arms[0].fidelity is not None
    assert packed_comparison.tables([tmp_path / "all"]).startswith("### large\n")


def test_a_teacher_that_lies_elsewhere_is_packed_too_and_one_that_is_gone_is_only_named(trained, tmp_path):
    runs = tmp_path / "runs"
    shutil.copytree(trained / "kd/seed-0", runs / "kd/seed-0")
    assert packed.pack(runs, tmp_path / "a") == [tmp_path / "a/kd/seed-0", tmp_path / "a/teachers/teacher"]
    assert opened(tmp_path / "a/kd/seed-0").teachers == (tmp_path / "a/teachers/teacher",)
    changed(runs / "kd/seed-0", teacher="lost/teacher")
    assert packed.pack(runs, tmp_path / "b") == [tmp_path / "b/kd/seed-0"]
    assert opened(tmp_path / "b/kd/seed-0").recipe.teachers == ("teachers/teacher",)
    shutil.copytree(trained / "kd/seed-1", runs / "kd/seed-1")
    with pytest.raises(RunError, match=r"lost/teacher and .*have one name, 'teacher'; .*pack the runs of each"):
        packed.pack(runs, tmp_path / "c")


def test_a_relative_teacher_is_found_from_any_directory(trained, tmp_path):
    runs = shutil.copytree(trained, tmp_path / "runs")
    changed(runs / "kd/seed-0", teacher="there/runs/teachers/teacher")
    packed.pack(runs, tmp_path / "packed")
    assert opened(tmp_path / "packed/kd/seed-0").recipe.teachers == ("teachers/teacher",)


def test_nothing_to_pack_and_another_recipe_in_the_place_are_refused(trained, copy, tmp_path):
    with pytest.raises(RunError, match=r"teachers: no finished run below .*dspkd compare"):
        packed.pack(copy / "teachers", tmp_path / "out")
    other, recipe = changed(copy / "plain/seed-0", seed=7), opened(trained / "plain/seed-0").recipe
    with pytest.raises(RunError, match=rf"plain/seed-0: .*recipe {other.digest}, .*{recipe.digest}; delete"):
        packed.pack(trained, copy)


@pytest.mark.parametrize(
    ("damage", "error", "message"),
    [
        (lambda run: (run / "test.csv.gz").unlink(), RunError, r"seed-0: test\.csv\.gz is missing; dspkd pack"),
        (lambda run: (run / "test.csv.gz").write_bytes(b"id,group"), DataError, r"test\.csv\.gz: .*not a whole gzip"),
        (lambda run: cut(run / "test.csv.gz"), DataError, r"test\.csv\.gz: .*not a whole gzip"),
        (lambda run: (run / "run.json").write_text("{}"), RunError, r"run\.json: result: "),
        (
            lambda run: swap(run / "recipe.toml", "epochs = 2", "epochs = 3"),
            RunError,
            r"recipe\.toml was changed .*pack",
        ),
        (lambda run: changed(run, split=replace(opened(run).recipe.split, val=0.2)), RecipeError, r"split\.val"),
        (lambda run: swap(run / "run.json", '"DF"', '"FD"'), RunError, r"test\.csv\.gz has the classes .*pack the run"),
        (
            lambda run: (run / "test.csv.gz").write_bytes((run.parents[1] / "plain/seed-0/test.csv.gz").read_bytes()),
            RunError,
            r"kd/seed-0: test\.csv\.gz is not the one that was packed with run\.json; pack the run again",
        ),
    ],
)
def test_damaged_packed_runs_are_refused(copy, damage, error, message):
    damage(copy / "kd/seed-0")
    with pytest.raises(error, match=message):
        packed_comparison.tables([copy])


def cut(path):
    path.write_bytes(path.read_bytes()[:-20])


def swap(path, old, new):
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))


def test_a_packed_run_has_no_validation_predictions_and_no_epochs(committed):
    run = opened(committed / "plain/seed-0")
    with pytest.raises(RunError, match="predictions of the test images only, not of 'val'"):
        run.predictions("val")
    with pytest.raises(RunError, match=r"metrics\.jsonl is missing"):
        _ = run.history


def test_recipes_that_differ_in_what_should_be_equal_are_said(copy):
    changed(copy / "kd/seed-1", stages=opened(copy / "plain/seed-0").recipe.stages)
    changed(copy / "plain/seed-0", train=replace(opened(copy / "plain/seed-0").recipe.train, clip=1.0))
    text = packed_comparison.tables([copy])
    assert f"- kd: {copy}/kd/seed-1 and {copy}/kd/seed-0 have recipes that differ in more than the seed" in text
    assert "**The methods were not trained under equal conditions**" in text


def test_the_commands_pack_and_referee_write_the_tables_into_a_page(trained, committed, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    out, _ = call("pack", trained, "--out", "results/GRID")
    assert re.search(r"7 runs packed into results/GRID, 0\.0 MB; tables: dspkd referee results/GRID", out)
    printed, _ = call("referee", "results/GRID")
    page = tmp_path / "page.md"
    page.write_text("# Results\n\n<!-- results/GRID begin -->\nold\n<!-- results/GRID end -->\n\nafter\n")
    for _ in range(2):  # the second time changes nothing
        call("referee", "results/GRID/", "--into", page)
        text = f"# Results\n\n<!-- results/GRID begin -->\n\n{printed}\n<!-- results/GRID end -->\n\nafter\n"
        assert page.read_text() == text
    decided, _ = call("referee", "results/GRID", "--decide-by", "balanced_accuracy")
    assert "**Balanced accuracy decides**" in decided


def test_misuse_of_the_commands_is_refused(trained, committed, tmp_path):
    page = tmp_path / "page.md"
    page.write_text(f"<!-- {committed} end -->\n<!-- {committed} begin -->\n")
    assert f"page.md: needs the lines <!-- {committed} begin -->" in refused("referee", committed, "--into", page)
    assert "--into is for folders" in refused("referee", "a.csv", "b.csv", "--into", page)
    assert "--groups is for prediction files" in refused("referee", committed, "--groups", page)
    assert "no packed runs" in refused("referee", trained)
    assert "nowhere: no finished run" in refused("pack", tmp_path / "nowhere", "--out", tmp_path / "out")


def test_a_packed_file_is_a_prediction_file_of_referee(committed):
    files = [f"{method}={committed}/{method}/seed-{seed}/test.csv.gz" for method in ("kd", "plain") for seed in (0, 1)]
    out, _ = call("referee", *files)
    assert "against plain" in out


def test_predictions_read_back_what_was_saved_to_four_digits(tmp_path):
    logits = np.array([[1.23456, -0.00004], [-12.5, 1000.0]], dtype=np.float32)
    one = Predictions(("A", "B"), ("x", "y"), ("g", "h"), np.array([0, 1]), logits)
    one.save(tmp_path / "p.csv.gz", digits=4)
    text = gzip.decompress((tmp_path / "p.csv.gz").read_bytes()).decode()
    assert text == "id,group,label,logit_A,logit_B\nx,g,A,1.2346,-0.0000\ny,h,B,-12.5000,1000.0000\n"
    np.testing.assert_allclose(Predictions.load(tmp_path / "p.csv.gz").logits, logits, atol=0.51e-4)
