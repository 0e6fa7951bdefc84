"""Cross-validations that are repeated with other folds: as one grid, or as two whose packed runs are put together."""

import json
import shutil

import numpy as np
import pytest

from command import call, refused
from comparing import nothing
from dspkd.errors import DataError, RecipeError
from dspkd.evaluation.intervals import estimate, resample
from dspkd.evaluation.predictions import Predictions
from dspkd.evaluation.significance import verdicts
from dspkd.experiments.compare import compare, grid, packed_comparison
from dspkd.experiments.compare.grid_plan import plan_grid
from dspkd.recipes import schema
from dspkd.runs import packed
from untrained_runs import GAINS, predictions, write_run

METHODS = ("plain", "label_smoothing", "kd")


def untrained(folders, failing=()):
    """Write the folders of finished runs, instead of training; the second of two divisions is in turn."""
    for folder in folders:
        if any(str(folder).endswith(end) for end in failing):
            yield folder, "burnt"
            continue
        recipe = schema.load(folder / "recipe.toml")
        key = f"{recipe.name}{recipe.seed}{recipe.split.seed}{recipe.split.fold}"
        every = predictions(key, GAINS.get(recipe.name, GAINS["teacher"]), 180)
        lesions = np.arange(180) // 2
        fold = lesions // 30 if recipe.split.seed == 0 else lesions // 3 % 3
        shutil.rmtree(folder)
        write_run(folder, recipe, every.take(np.flatnonzero(fold == recipe.split.fold)))
        (folder / "report.html").write_text("")
        yield folder, None


@pytest.fixture(scope="module")
def grids(grid_file, tmp_path_factory):
    """A grid of two repetitions in three folds, and the grids of each of them."""
    folder, text = tmp_path_factory.mktemp("grids"), grid_file.read_text()
    for name, keys in {"both": "repeats = 2", "first": "", "second": 'set = ["split.seed=1"]'}.items():
        (folder / f"{name}.toml").write_text(text.replace("seeds = [0, 1]", f"seeds = [0]\nfolds = 3\n{keys}"))
    return folder


@pytest.fixture(scope="module")
def compared(grids, tmp_path_factory):
    """The folder and the results of the grid of two repetitions."""
    out = tmp_path_factory.mktemp("repeated") / "out"
    (results,) = compare.compare(grid.load(grids / "both.toml"), out, untrained).results
    return out, results


def test_each_repetition_has_its_own_folds_and_teachers(grids, tmp_path):
    (planned,) = grid.comparisons(grid.load(grids / "both.toml"), tmp_path)
    places = [("", 0), ("-split-1", 1)]
    assert [(run.folder, run.recipe.split.seed) for run in planned.teachers] == [
        (tmp_path / f"teachers/wide{end}/fold-{k}", seed) for end, seed in places for k in range(3)
    ]
    for method in METHODS:
        taught = method == "kd"
        assert [(run.folder, run.recipe.split.seed, run.recipe.split.fold) for run in planned.runs[method]] == [
            (tmp_path / method / f"seed-0{end}" / f"fold-{k}", seed, k) for end, seed in places for k in range(3)
        ]
        teachers = [tmp_path / f"teachers/wide{end}/fold-{k}" for end, _ in places for k in range(3)]
        for run, teacher in zip(planned.runs[method], teachers, strict=True):
            assert run.recipe.teachers == ((str(teacher),) if taught else ())
            assert run.waits_for == ((teacher,) if taught else ())


def test_a_first_repetition_is_that_of_a_grid_without_repetitions(grids, tmp_path):
    compare.compare(grid.load(grids / "first.toml"), tmp_path, untrained)
    requested = []

    def further(folders):
        requested.extend(folders)
        yield from untrained(folders)

    compare.compare(grid.load(grids / "both.toml"), tmp_path, further)
    assert len(requested) == 3 * 4  # two controls, kd and its teacher
    assert all("-split-1/" in str(folder) for folder in requested)


def joined(out, method, end):
    return Predictions.of_folds(
        [Predictions.load(out / method / f"seed-0{end}/fold-{k}/predictions/test.csv") for k in range(3)]
    )


def test_verdicts_are_those_of_all_folds(compared):
    out, results = compared
    assert (results.images, results.folds, results.repeats) == (180, 3, 2)
    arms = {arm.name: [joined(out, arm.name, end) for end in ("", "-split-1")] for arm in results.arms}
    pairs = list(dict.fromkeys((row.one, row.other) for row in results.verdicts))
    assert results.verdicts == verdicts(arms, pairs)
    runs = [run for several in arms.values() for run in several]
    difference = estimate(resample(runs, ("log_loss",))["log_loss"], [0, 1], [2, 3])
    assert 2 * 3 - 1 in [freedom for _, freedom in difference.ways]
    for arm in results.arms:
        scores = [run.figures["auc_macro"] for run in arm.runs]
        assert arm.figures["auc_macro"].mean == pytest.approx(np.mean(scores))
        assert arm.figures["auc_macro"].sd == pytest.approx(np.std(scores, ddof=1))
        assert [(run.seed, run.split_seed) for run in arm.runs] == [(0, 0), (0, 1)]


def test_teachers_of_each_repetition_are_paid_for(compared):
    _, results = compared
    kd = next(arm for arm in results.arms if arm.name == "kd")
    assert kd.compute.teachers.seconds == 2 * 3 * 30
    assert kd.seconds == 2 * 3 * 30
    assert [run.teacher_right + run.teacher_wrong for run in kd.fidelity.runs] == [180, 180]


def test_results_and_page_say_that_the_folds_differ(compared):
    out, _ = compared
    text = (out / "results.md").read_text()
    assert "3 folds, and the images divided into folds in 2 ways, out-of-fold" in text
    assert "once for each seed and each of these ways" in text
    assert "| kd | 0 (split.seed 1) |" in text
    (results,) = json.loads((out / "results.json").read_text())
    assert len(set(results["data"]["split"].split(", "))) == 2
    page = (out / "report.html").read_text()
    assert "the images divided into folds in 2 ways" in page
    assert "split.seed 1" in page
    assert "differ in more than their seed" not in page


def test_a_fold_that_fails_leaves_out_its_repetitions(grids, tmp_path):
    def failing(folders):
        return untrained(folders, failing=["kd/seed-0-split-1/fold-2"])

    (results,) = compare.compare(grid.load(grids / "both.toml"), tmp_path / "out", failing).results
    assert {arm.name for arm in results.arms} == {"plain", "label_smoothing"}
    (reason,) = results.failed.values()
    assert reason == f"burnt; without this fold there is no result of {tmp_path / 'out/kd/seed-0'}"
    packed.pack(tmp_path / "out", tmp_path / "packed")
    (ours,) = packed_comparison.results([tmp_path / "packed"])
    assert {arm.name for arm in ours.arms} == {"plain", "label_smoothing"}
    assert ours.failed[str(tmp_path / "packed/kd/seed-0-split-1")] == "no fold 2, so no predictions of all images"
    assert ours.failed[str(tmp_path / "packed/kd/seed-0")] == (
        "left out: 1 of split.seed 0, 0 of split.seed 1; a method needs as many runs of each"
    )


def test_packed_runs_of_two_grids_are_put_together(grids, compared, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in ("first", "second"):
        compare.compare(grid.load(grids / f"{name}.toml"), tmp_path / "runs" / name, untrained)
        packed.pack(tmp_path / "runs" / name, tmp_path / name)
    (ours,) = packed_comparison.results([tmp_path / "first", tmp_path / "second"])
    _, expected = compared
    assert ours.unequal == []
    assert len(ours.teachers) == 2
    for row, wanted in zip(ours.verdicts, expected.verdicts, strict=True):
        assert (row.one, row.other, row.word) == (wanted.one, wanted.other, wanted.word)
        assert row.difference.value == pytest.approx(wanted.difference.value, abs=1e-3)  # packed with four digits
    page = tmp_path / "page.md"
    page.write_text("<!-- first + second begin -->\n<!-- first + second end -->\n")
    output, _ = call("referee", "first", "second/", "--into", page)
    assert "tables of first and second written" in output
    assert "in 2 ways" in page.read_text()
    shutil.rmtree(tmp_path / "second/kd")
    (ours,) = packed_comparison.results([tmp_path / "first", tmp_path / "second"])
    assert "left out: 1 of split.seed 0, 0 of split.seed 1" in ours.failed[str(tmp_path / "first/kd/seed-0")]
    assert "first is given twice" in refused("referee", "first", "first/")
    assert "first is a folder and page.md is not" in refused("referee", "first", "page.md")
    shutil.copytree(tmp_path / "first", tmp_path / "other/scratch")
    with pytest.raises(DataError, match=r"other: has no runs of \., but another folder has"):
        packed_comparison.results([tmp_path / "first", tmp_path / "other"])


def test_repetitions_with_other_settings_are_named(grids, tmp_path):
    text = (grids / "second.toml").read_text()
    (tmp_path / "second.toml").write_text(text.replace('["split.seed=1"]', '["split.seed=1", "stages.0.lr=0.5"]'))
    for path in (grids / "first.toml", tmp_path / "second.toml"):
        compare.compare(grid.load(path), tmp_path / "runs" / path.stem, untrained)
        packed.pack(tmp_path / "runs" / path.stem, tmp_path / "packed" / path.stem)
    (ours,) = packed_comparison.results([tmp_path / "packed/first", tmp_path / "packed/second"])
    differing = [each for each in ours.unequal if "have recipes that differ in more than the seed" in each]
    assert sorted(each.partition(":")[0] for each in differing) == sorted(METHODS)


def test_repetitions_need_folds(grid_file, tmp_path):
    path = tmp_path / "grid.toml"
    path.write_text(grid_file.read_text().replace("seeds = [0, 1]", "seeds = [0]\nrepeats = 2"))
    with pytest.raises(RecipeError, match="repeats = 2: needs folds, such as folds = 5; for other seeds set seeds"):
        grid.load(path)


def test_prediction_files_with_other_folds_are_repetitions(compared, tmp_path, monkeypatch):
    out, _ = compared
    monkeypatch.chdir(tmp_path)
    for method in ("kd", "plain"):
        for number, end in enumerate(("", "-split-1")):
            joined(out, method, end).save(tmp_path / f"{method}{number}.csv")
    output, _ = call("referee", "kd=kd0.csv", "kd=kd1.csv", "plain=plain0.csv", "plain=plain1.csv")
    assert "inconclusive" in output or "better" in output
    message = refused("referee", "kd=kd0.csv", "plain=plain1.csv")
    assert "kd: the images are divided into folds in 2 ways, of which it has" in message


def test_all_repetitions_are_planned_by_one_timing(grids, monkeypatch):
    lines = []
    plan = plan_grid(grid.load(grids / "both.toml"), steps=1, log=lines.append)
    assert sorted(lines) == sorted(set(lines))
    assert {each.name: each.count for each in (*plan.teachers, *plan.students)} == dict.fromkeys((*METHODS, "wide"), 6)


def test_nothing_is_trained_twice(compared, grids):
    out, results = compared
    (again,) = compare.compare(grid.load(grids / "both.toml"), out, nothing).results
    assert again.verdicts == results.verdicts
