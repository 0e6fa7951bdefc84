"""Cross-validations that are repeated with other folds."""

import json
import shutil

import numpy as np
import pytest

from command import call, refused
from comparing import nothing
from dspkd.errors import RecipeError, RunError
from dspkd.evaluation.intervals import estimate, resample
from dspkd.evaluation.predictions import Predictions
from dspkd.evaluation.significance import verdicts
from dspkd.experiments.compare import compare, grid
from dspkd.experiments.compare.grid_plan import plan_grid
from dspkd.recipes import catalog, schema
from dspkd.reports import comparison, glance
from dspkd.runs.reading import opened
from repeated_runs import METHODS, joined, untrained
from untrained_runs import predictions, write_run


def test_each_repetition_has_its_own_folds_and_teachers(repeated_grids, tmp_path):
    (planned,) = grid.comparisons(grid.load(repeated_grids / "both.toml"), tmp_path)
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


@pytest.mark.usefixtures("no_comparison_pages")
def test_a_first_repetition_is_that_of_a_grid_without_repetitions(repeated_grids, tmp_path):
    compare.compare(grid.load(repeated_grids / "first.toml"), tmp_path, untrained)
    requested = []

    def further(folders):
        requested.extend(folders)
        yield from untrained(folders)

    compare.compare(grid.load(repeated_grids / "both.toml"), tmp_path, further)
    assert len(requested) == 3 * 4  # two controls, kd and its teacher
    assert all("-split-1/" in str(folder) for folder in requested)


def test_verdicts_are_those_of_all_folds(repeated):
    out, results = repeated
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


def test_teachers_of_each_repetition_are_paid_for(repeated):
    _, results = repeated
    kd = next(arm for arm in results.arms if arm.name == "kd")
    assert kd.compute.teachers.seconds == 2 * 3 * 30
    assert kd.seconds == 2 * 3 * 30
    assert [run.teacher_right + run.teacher_wrong for run in kd.fidelity.runs] == [180, 180]


def test_results_and_page_say_that_the_folds_differ(repeated):
    out, _ = repeated
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


def test_repetitions_need_folds(grid_file, tmp_path):
    path = tmp_path / "grid.toml"
    path.write_text(grid_file.read_text().replace("seeds = [0, 1]", "seeds = [0]\nrepeats = 2"))
    with pytest.raises(RecipeError, match="repeats = 2: needs folds, such as folds = 5; for other seeds set seeds"):
        grid.load(path)


def test_prediction_files_with_other_folds_are_repetitions(repeated, tmp_path, monkeypatch):
    out, _ = repeated
    monkeypatch.chdir(tmp_path)
    for method in ("kd", "plain"):
        for number, end in enumerate(("", "-split-1")):
            joined(out, method, end).save(tmp_path / f"{method}{number}.csv")
    output, _ = call("referee", "kd=kd0.csv", "kd=kd1.csv", "plain=plain0.csv", "plain=plain1.csv")
    assert "inconclusive" in output or "better" in output
    message = refused("referee", "kd=kd0.csv", "plain=plain1.csv")
    assert "kd: the images are divided into folds in 2 ways, of which it has" in message


def test_all_repetitions_are_planned_by_one_timing(repeated_grids, monkeypatch):
    lines = []
    plan = plan_grid(grid.load(repeated_grids / "both.toml"), steps=1, log=lines.append)
    assert sorted(lines) == sorted(set(lines))
    assert {each.name: each.count for each in (*plan.teachers, *plan.students)} == dict.fromkeys((*METHODS, "wide"), 6)


def test_nothing_is_trained_twice(repeated, repeated_grids):
    out, results = repeated
    (again,) = compare.compare(grid.load(repeated_grids / "both.toml"), out, nothing).results
    assert again.verdicts == results.verdicts


def test_the_teachers_of_all_repetitions_are_one_in_the_head_of_the_page(repeated):
    out, results = repeated
    runs = [opened(out / method / f"seed-0{end}") for method in METHODS for end in ("", "-split-1")]
    ranked = comparison.arms(runs)
    networks = glance.of_arms(ranked, comparison.ResampledArms.of(ranked).intervals())
    (teacher,) = [each for each in networks if each.role == "teacher"]
    scores = [run.figures["auc_macro"] for run in results.teachers]
    assert len(scores) == 2
    assert teacher.score == pytest.approx(np.mean(scores))
    assert teacher.low < teacher.score < teacher.high
    for each in networks:
        if each.role != "teacher":
            assert each.kept == pytest.approx(each.score / np.mean(scores))


def test_a_method_without_a_teacher_is_compared_with_that_of_its_division(repeated):
    out, results = repeated
    fidelity = {arm.name: arm.fidelity for arm in results.arms}
    for method in ("plain", "label_smoothing"):
        assert not fidelity[method].has_teacher
        for run, end in zip(fidelity[method].runs, ("", "-split-1"), strict=True):
            student, teacher = joined(out, method, end), joined_teacher(out, end)
            assert run.teacher_right == (teacher.predicted == teacher.labels).sum()
            both = (student.predicted != student.labels) & (teacher.predicted == teacher.labels)
            assert run.forgotten == both.sum()


def joined_teacher(out, end):
    folders = [out / f"teachers/wide{end}/fold-{k}" for k in range(3)]
    return Predictions.of_folds([Predictions.load(folder / "predictions/test.csv") for folder in folders])


def test_runs_of_one_division_need_the_same_split(repeated, tmp_path):
    out, _ = repeated
    shutil.copytree(out / "plain", tmp_path / "plain")
    for end in ("", "-split-1"):
        file = tmp_path / f"plain/seed-0{end}/fold-0/data.json"
        text = file.read_text()
        file.write_text(text.replace("0ddba11ca5e5", "0ddba11ca5e6"))
        runs = [opened(folder) for folder in (*(out / "kd").iterdir(), *(tmp_path / "plain").iterdir())]
        with pytest.raises(RunError, match=f"plain/seed-0{end}: split "):
            comparison.arms(runs)
        file.write_text(text)


def test_methods_that_differ_in_their_teacher_settings_are_planned_apart(repeated_grids, tmp_path):
    text = (repeated_grids / "both.toml").read_text()
    plain = text.split("methods = [")[1].split(", ")[0]
    text = text.replace(f"methods = [{plain}, ", "methods = [")
    for name, views in (("one", 1), ("two", 2)):
        text += f'[[students]]\nname = "{name}"\nset = ["teacher.views={views}"]\n'
    (tmp_path / "grid.toml").write_text(text)
    lines = []
    plan_grid(grid.load(tmp_path / "grid.toml"), steps=1, log=lines.append)
    assert lines.count("timing kd") == 2


def test_without_folds_another_split_seed_is_no_other_run(tmp_path):
    runs = []
    for seed in (0, 1):
        recipe = schema.load(catalog.find("demo/plain"), [f"split.seed={seed}"])
        folder = tmp_path / f"plain-{seed}"
        write_run(folder, recipe, predictions("plain", 1.0))
        runs.append(opened(folder))
    file = tmp_path / "plain-1/data.json"
    file.write_text(file.read_text().replace('"0ddba11ca5e510"', '"0ddba11ca5e500"'))
    with pytest.raises(RunError, match="are both named 'plain' with seed 0"):
        comparison.arms(runs)
