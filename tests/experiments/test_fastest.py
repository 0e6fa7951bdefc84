"""The fastest settings of a machine: measured, kept, and used by later runs."""

import json
import os
from dataclasses import replace

import pytest
from typer.testing import CliRunner

import dspkd
from dspkd.cli.main import app
from dspkd.errors import RunError
from dspkd.experiments.compare import executors, grid
from dspkd.experiments.fastest import measure
from dspkd.experiments.fastest.timed_steps import Setting, Timed
from dspkd.recipes.teacher import TeacherConfig
from dspkd.runs import fastest, hardware
from dspkd.runs import train as run
from dspkd.runs.fastest import Fastest
from dspkd.runtime.cores import share_of_cores
from dspkd.runtime.distributed import World
from tiny_runs import Notes, recipe

KEPT = Fastest(threads=2, jobs=3, step=0.02, compiled_step=0.01, compiling=1.0, measured="2026-12-01")
TINY = Setting("tiny", 32, 4, "cpu", threads=1, compiled=False, bf16=False, seconds=0.01)


@pytest.fixture
def a_recipe(lesions):
    return recipe(lesions, images={"size": 32}, train={"batch_size": 20}, machine={"threads": 0})


@pytest.fixture(autouse=True)
def _nothing_measured(tmp_path, monkeypatch):
    monkeypatch.setattr(fastest, "user_cache", lambda: tmp_path / "cache")


@pytest.fixture
def machine(monkeypatch):
    """Return a function that replaces this machine by one with four cores and these images a second and job."""

    def replaced(rates, *, memory=8e9, of_a_process=1e8):
        settings = []

        def timed(setting, jobs):
            settings.append((setting, jobs))
            kind = "compiled" if setting.compiled else "bf16" if setting.bf16 else (jobs, setting.threads)
            rate = rates.get(kind, 1.0)
            if isinstance(rate, str):
                raise RunError(rate)
            result = Timed(setting.batch / rate, 30.0 * setting.compiled, rate / setting.batch, int(of_a_process))
            return [result] * jobs

        monkeypatch.setattr(measure, "_at_the_same_time", timed)
        monkeypatch.setattr(measure, "available_cores", lambda: 4)
        monkeypatch.setattr(measure, "share_of_cores", lambda jobs: 4 // jobs)
        monkeypatch.setattr(measure, "memory_of_machine", lambda: int(memory))
        monkeypatch.setattr(measure, "_has_bf16", lambda: True)
        return settings

    return replaced


def test_the_fastest_threads_jobs_and_compilation_are_kept(machine, a_recipe):
    settings = machine({(1, 1): 100, (1, 2): 150, (1, 4): 152, (2, 2): 140, (4, 1): 90, "compiled": 200, "bf16": 400})
    found = measure.find(a_recipe)
    assert (found.kept.threads, found.kept.jobs) == (2, 4)  # 4 threads: not clearly faster; 4 jobs: 360 images a second
    assert (found.kept.step, found.kept.compiled_step, found.kept.compiling) == (20 / 150, 20 / 200, 30.0)
    assert {(setting.network, setting.size, setting.batch) for setting, _ in settings} == {("tiny", 32, 20)}
    assert [jobs for setting, jobs in settings if setting.compiled or setting.bf16] == [1, 1]


def test_one_thread_and_one_job_stay_where_more_are_not_clearly_faster(machine, a_recipe):
    machine({(1, 1): 100, (1, 2): 102, (1, 4): 60, (2, 2): 51, (4, 1): 25.6})
    kept = measure.find(a_recipe).kept
    assert (kept.threads, kept.jobs) == (1, 1)


@pytest.mark.parametrize(("memory", "most"), [(4.1e9, 2), (1e9, 1), (None, 1)])
def test_no_more_runs_at_a_time_than_half_of_the_memory_holds(machine, a_recipe, monkeypatch, memory, most):
    settings = machine({}, of_a_process=5e8)
    monkeypatch.setattr(measure, "memory_of_machine", lambda: memory and int(memory))
    measure.find(a_recipe)
    assert max(jobs for _, jobs in settings) == most


def test_without_a_compiler_the_rest_is_measured(machine, a_recipe):
    machine({(1, 1): 100, "compiled": "no compiler"})
    found = measure.find(a_recipe)
    assert found.failed == "no compiler"
    assert found.kept.compiled_step is None
    assert found.kept.saved_by_compiling(10**9, 1) == 0
    fastest.keep(a_recipe, found.kept)
    assert not hardware.compiles(a_recipe, 10**9)


def test_a_busy_machine_is_reported(machine, a_recipe, monkeypatch):
    machine({})
    for load, warned in ((1.5, True), (0.1, False)):
        monkeypatch.setattr(os, "getloadavg", lambda load=load: (load, 0, 0))
        lines = []
        measure.find(a_recipe, log=lines.append)
        assert any(line.startswith("warning: other programs") for line in lines) == warned


def test_processes_begin_at_the_same_time_and_each_is_timed():
    results = measure._at_the_same_time(TINY, 2)
    assert [each.step > 0 and each.rate > 0 and not each.error for each in results] == [True, True]
    assert all(each.memory is None or each.memory > 1e7 for each in results)


def test_a_process_that_fails_or_dies_is_an_error_of_one_line(monkeypatch, tmp_path):
    with pytest.raises(RunError, match="no_such_network"):
        measure._at_the_same_time(replace(TINY, network="no_such_network"), 1)
    dies = tmp_path / "dies"
    dies.write_text("#!/bin/sh\nread setting\nexit 3\n")
    dies.chmod(0o755)
    monkeypatch.setattr(measure.sys, "executable", str(dies))
    with pytest.raises(RunError, match="exit code 3"):
        measure._at_the_same_time(TINY, 1)


def test_what_was_measured_is_for_the_same_step_only(a_recipe):
    fastest.keep(a_recipe, KEPT)
    assert fastest.of(a_recipe) == KEPT
    others = (
        replace(a_recipe, model=replace(a_recipe.model, name="tiny_wide")),
        replace(a_recipe, images=replace(a_recipe.images, size=48)),
        replace(a_recipe, train=replace(a_recipe.train, batch_size=21)),
        replace(a_recipe, train=replace(a_recipe.train, precision="bfloat16")),
        replace(a_recipe, machine=replace(a_recipe.machine, device="mps")),
    )
    assert [fastest.of(other) for other in others] == [None] * len(others)
    fastest.keep(others[0], replace(KEPT, jobs=1))
    assert fastest.of(a_recipe) == KEPT


@pytest.mark.parametrize("text", ["", "[]", "{", '{"KEY": 3}', '{"KEY": {"threads": 2, "unknown": 1}}'])
def test_a_damaged_file_is_as_if_nothing_was_measured(a_recipe, text):
    fastest.keep(a_recipe, KEPT)
    (key,) = json.loads(fastest.file().read_text())
    fastest.file().write_text(text.replace("KEY", key))
    assert fastest.of(a_recipe) is None
    fastest.keep(a_recipe, KEPT)
    assert fastest.of(a_recipe) == KEPT


def test_where_nothing_can_be_kept_the_table_is_shown_first(machine, grid_file, tmp_path):
    machine({})
    (tmp_path / "cache").write_text("a file in the place of the folder")
    result = CliRunner().invoke(app, ["plan", str(grid_file), "--fastest"])
    assert result.exit_code == 2
    assert "images/s in all" in result.output
    assert "cannot be kept" in result.output
    assert "machine.threads = 1" in " ".join(result.output.split())


def test_without_a_home_folder_nothing_is_measured(a_recipe, monkeypatch):
    def missing():
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.setattr(fastest, "user_cache", missing)
    assert hardware.threads(a_recipe) == 0
    with pytest.raises(RunError, match="home directory"):
        fastest.keep(a_recipe, KEPT)


def test_open_settings_take_what_was_measured_and_others_do_not(a_recipe):
    assert (hardware.threads(a_recipe), hardware.measured_settings(a_recipe)) == (0, "")
    fastest.keep(a_recipe, KEPT)
    assert hardware.threads(a_recipe) == 2
    assert hardware.threads(replace(a_recipe, machine=replace(a_recipe.machine, threads=5))) == 5
    assert hardware.threads(a_recipe, World(0, 2, 0, 2)) == 0
    alone, shared = (hardware.of_job(a_recipe, jobs).machine for jobs in (1, 2))
    assert (alone.threads, shared.threads) == (2, share_of_cores(2))
    assert (alone.compile, shared.compile) == (False, False)
    assert "machine.threads and machine.compile: as dspkd plan --fastest" in hardware.measured_settings(a_recipe)
    closed = replace(a_recipe, machine=replace(a_recipe.machine, threads=1, compile=False))
    assert hardware.measured_settings(closed) == ""


def test_a_run_is_compiled_where_that_saves_time(a_recipe):
    fastest.keep(a_recipe, KEPT)  # saves 0.01 s a step and costs 1 s a stage: pays after 100 steps of 20 images
    epochs = a_recipe.epochs
    assert not hardware.compiles(a_recipe, 20 * 100 // epochs)
    assert hardware.compiles(a_recipe, 20 * 101 // epochs + 20)
    two_stages = replace(a_recipe, stages=(*a_recipe.stages, replace(a_recipe.stages[0], name="second")))
    assert not hardware.compiles(two_stages, 20 * 90 // epochs)
    assert not hardware.compiles(a_recipe, 10**9, World(0, 2, 0, 2))
    assert not hardware.compiles(replace(a_recipe, machine=replace(a_recipe.machine, compile=False)), 10**9)
    (one,) = a_recipe.stages
    shared = replace(one, terms=(one.terms[0], replace(one.terms[0], method="mgd", share=0.4)))
    assert not hardware.compiles(replace(a_recipe, stages=(shared,), teacher=TeacherConfig(run=("t",))), 10**9)


def test_a_run_says_where_its_settings_are_from(a_recipe, tmp_path):
    heard = Notes()
    fastest.keep(a_recipe, KEPT)
    run.train(a_recipe, tmp_path / "run", heard)
    assert json.loads((tmp_path / "run" / "environment.json").read_text())["threads"] == 2
    assert any("measured on 2026-12-01" in line for line in heard.notes)


def test_a_comparison_trains_as_many_runs_at_a_time_as_were_fastest(grid_file, tmp_path, monkeypatch):
    student = grid.a_student(grid.load(grid_file))
    assert measure.best_jobs(student) == 1
    fastest.keep(student, KEPT)
    requested = []

    def choose(*, jobs, **_):
        requested.append(jobs)
        raise RunError("enough")

    monkeypatch.setattr(executors, "choose", choose)
    for words in ([], ["--jobs", "1"], ["--ray", "local"]):
        result = CliRunner().invoke(app, ["compare", str(grid_file), "--out", str(tmp_path / "o"), *words])
        assert result.exit_code == 2
        assert ("runs at a time: 3, as dspkd plan --fastest" in result.output) == (not words)
    with pytest.raises(RunError, match="enough"):
        dspkd.compare(grid_file, tmp_path / "o", progress=False)
    assert requested == [3, 1, 1, 3]


def test_a_plan_measures_first_and_shows_what_it_keeps(machine, grid_file):
    machine({(1, 1): 100, (1, 2): 90, (2, 2): 80, (4, 1): 50, "compiled": 125, "bf16": 125})
    result = CliRunner().invoke(app, ["plan", str(grid_file), "--fastest"])
    assert result.exit_code == 0, result.output
    words = " ".join(result.output.split())
    assert "fastest: one run with 1 thread; of several runs, 4 at a time" in words
    assert "compiling takes 30 s for each stage, and pays in one of more than 469 steps (3 min)" in words
    assert "bfloat16 takes 0.80 of the time" in words
    assert "for 7 runs, 4 at a time" in words
    assert fastest.of(grid.a_student(grid.load(grid_file))).jobs == 4


def test_jobs_are_refused_for_a_recipe():
    result = CliRunner().invoke(app, ["plan", "demo/plain", "--jobs", "2"])
    assert result.exit_code == 2
    assert "--jobs is for grids" in result.output
