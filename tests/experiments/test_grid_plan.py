"""The estimated time of a grid: every kind of run is timed once, and what runs share is counted once."""

import re

import pytest
from typer.testing import CliRunner

from comparing import KD, LABELS, RECIPE
from dspkd.cli.main import app
from dspkd.data import read
from dspkd.experiments.compare import grid, grid_plan
from dspkd.experiments.compare.grid_plan import GridPlan, RunsPlan
from dspkd.runs.estimates import AROUND, CacheEstimate, Plan, StagePlan

WIDE = "{{ recipe = '{folder}/plain.toml', name = 'wide', set = ['model.name=\"tiny_wide\"', 'stages.0.epochs=4'] }}"


@pytest.fixture
def written(lesions, tmp_path):
    """Return a function that writes a grid of plain and KD whose teacher it trains, and returns its path."""

    def write(*, seeds="[0, 1]", options="", views=1):
        common = RECIPE.replace("LESIONS", str(lesions)).replace("views = 1", f"views = {views}")
        (tmp_path / "plain.toml").write_text(common.replace("NAME", "plain") + LABELS)
        taught = f"{common.replace('NAME', 'kd')}[teacher]\nrun = 'nowhere'\n{options}\n{KD}"
        (tmp_path / "kd.toml").write_text(taught)
        (tmp_path / "grid.toml").write_text(
            f"seeds = {seeds}\nmethods = ['{tmp_path}/plain.toml', '{tmp_path}/kd.toml']\n"
            f"teachers = [{WIDE.format(folder=tmp_path)}]\n"
        )
        return tmp_path / "grid.toml"

    return write


def planned(path, **options):
    timed = []
    plan = grid_plan.plan_grid(grid.load(path), steps=1, log=timed.append, **options)
    return plan, timed


def test_each_kind_of_run_is_timed_once_and_nothing_is_trained(written, tmp_path):
    path = written()
    before = set(tmp_path.rglob("*"))
    plan, timed = planned(path)
    assert {(each.name, each.count) for each in plan.students} == {("plain", 2), ("label_smoothing", 2), ("kd", 2)}
    assert [(each.name, each.count) for each in plan.teachers] == [("wide", 1)]
    assert len(timed) == 4
    assert all(each.seconds > 0 for each in (*plan.teachers, *plan.students))
    assert set(tmp_path.rglob("*")) == before


@pytest.fixture
def of_one_second(monkeypatch):
    """Replace the timing: each step of a stage, each teacher output, and decoding take a second."""

    def plan(recipe, *, steps, stand_in=None):
        passes = recipe.teacher.views if recipe.teacher else 1
        stages = tuple(StagePlan(stage.name, stage.epochs, 1, 0, 0, 1, 0) for stage in recipe.stages)
        outputs = CacheEstimate(7, 7.0, 14.0) if recipe.teacher else CacheEstimate()
        return Plan("cpu", 1, 0, False, 16, stages, CacheEstimate(9, 1.0), outputs, 0.0, 0.0, passes=passes)

    monkeypatch.setattr(grid_plan, "plan", plan)


@pytest.mark.usefixtures("of_one_second")
def test_outputs_and_images_that_runs_share_are_counted_once(written, lesions):
    both, first, second = (planned(written(seeds=seeds))[0].teacher_outputs.count for seeds in ("[0, 5]", "[0]", "[5]"))
    assert max(first, second) < both < min(first + second, len(read("auto", lesions)))
    plan, _ = planned(written(views=2))
    assert plan.images == CacheEstimate(9, 1.0)
    assert plan.teacher_outputs.seconds == plan.teacher_outputs.count
    assert plan.teacher_outputs.nbytes == 2 * plan.teacher_outputs.count


@pytest.mark.usefixtures("of_one_second")
def test_fold_teachers_take_the_time_of_their_teacher_on_fewer_images(written):
    plan, _ = planned(written(options="cross_fit = 4"))
    assert plan.teachers == (RunsPlan("wide", 1, 4.0 + AROUND), RunsPlan("wide, fold teachers", 4, 3.0))


@pytest.mark.usefixtures("of_one_second")
def test_several_views_take_as_many_passes(written):
    plan, _ = planned(written(options="views = 2"))
    assert plan.teacher_outputs.seconds == 2 * plan.teacher_outputs.count


@pytest.mark.parametrize(("jobs", "seconds"), [(1, 7 + 10 + 3 * 5 + 4), (2, 7 + 10 + 10), (8, 7 + 10 + 5)])
def test_the_total_is_that_of_the_busiest_job(jobs, seconds):
    runs = (RunsPlan("a", 3, 5.0, taught=True), RunsPlan("b", 1, 4.0, taught=True))
    cached = (CacheEstimate(10, 3.0), CacheEstimate(10, 4.0))
    assert GridPlan((RunsPlan("teacher", 1, 10.0),), runs, *cached, jobs, 1).seconds == seconds


def test_students_without_a_teacher_take_the_time_in_which_the_last_teacher_would_train_alone():
    runs = (RunsPlan("plain", 2, 5.0), RunsPlan("kd", 2, 5.0, taught=True))
    nothing = (CacheEstimate(), CacheEstimate())
    assert GridPlan((RunsPlan("teacher", 1, 10.0),), runs, *nothing, 2, 1).seconds == 10 + 5


def test_the_command_plans_a_grid(written):
    path = written(seeds="[0]")
    result = CliRunner().invoke(app, ["plan", str(path), "--jobs", "2"])
    assert result.exit_code == 0, result.output
    assert re.search(r"expected in total: .* for 4 runs, 2 at a time", result.output)
    assert "in this: 7 s a run for start, heat maps and report" in result.output
    refused = CliRunner().invoke(app, ["plan", str(path), "--set", "seed=1"])
    assert refused.exit_code == 2
    assert "set = [...]" in refused.output
