"""A grid of runs on synthetic lesions: its table, kills, failures, processes, Ray."""

import json
import signal
import subprocess
import sys
import time
from functools import partial
from statistics import fmean, stdev

import numpy as np
import pytest

from command import call, refused
from dspkd import compare, engines, grid, run
from dspkd.errors import DataError, RecipeError, RunError, TrainingError
from dspkd.evaluate.metrics import summarise
from dspkd.evaluate.predictions import Predictions
from dspkd.evaluate.verdicts import verdicts
from dspkd.inputs import Silent

RECIPE = """
name = "NAME"
data = { path = "LESIONS" }
model = { name = "tiny" }
pictures = { size = 32, views = 1 }
train = { batch_size = 32, balance = 0.5 }
machine = { threads = 1 }
"""
LABELS = '[[stages]]\nname = "labels"\nepochs = 2\nlr = 3e-3\nterms = [{ method = "labels" }]\n'
KD = LABELS.replace("}]", '}, { method = "kd" }]')
GRID = """
seeds = [0, 1]
arms = ["FOLDER/plain.toml", "FOLDER/kd.toml"]
teachers = [{ recipe = "FOLDER/plain.toml", name = "wide", set = ["model.name='tiny_wide'", "stages.0.epochs=1"] }]
"""
CELLS = {f"{arm}/seed-{seed}" for arm in ("plain", "label_smoothing", "kd") for seed in (0, 1)} | {"teachers/wide"}


@pytest.fixture(scope="module")
def wanted(lesions, tmp_path_factory):
    """A grid file: plain and KD, two seeds, a teacher."""
    folder = tmp_path_factory.mktemp("grid")
    plain, kd = (RECIPE.replace("LESIONS", str(lesions)).replace("NAME", name) for name in ("plain", "kd"))
    (folder / "plain.toml").write_text(plain + LABELS)
    (folder / "kd.toml").write_text('teacher = "nowhere"\n' + kd + KD)
    (folder / "grid.toml").write_text(GRID.replace("FOLDER", str(folder)))
    return folder / "grid.toml"


@pytest.fixture(autouse=True)
def pages_take_no_time(monkeypatch):
    """A page for each run of this process would be most of the time."""
    monkeypatch.setattr(run.report, "write", lambda out: (out / "report.html").write_text("") and out)


@pytest.fixture(scope="module")
def unbroken(wanted, tmp_path_factory):
    """The grid, trained without interruption in this process; its folder and what came of it."""
    out = tmp_path_factory.mktemp("whole") / "out"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(run.report, "write", lambda out: (out / "report.html").write_text("") and out)
        return out, compare.compare(grid.load(wanted), out, engines.here)


def table(out):
    """Return all that the results say but for times and folders."""

    def timeless(value):
        if isinstance(value, dict):
            times_and_folders = ("seconds", "cpu_seconds", "folder", "teacher")
            return {key: timeless(item) for key, item in value.items() if key not in times_and_folders}
        return [timeless(item) for item in value] if isinstance(value, list) else value

    return timeless(json.loads((out / "results.json").read_text()))


def test_the_results_are_those_of_the_runs(unbroken):
    out, compared = unbroken
    (results,) = json.loads((out / "results.json").read_text())
    assert {str(path.parent.relative_to(out)) for path in out.rglob("result.json")} == CELLS
    assert compared.failed == 0
    assert results["synthetic"] is True
    tests = {}
    for arm in results["arms"]:
        tests[arm["name"]] = [Predictions.load(out / arm["name"] / f"seed-{s}/predictions/test.csv") for s in (0, 1)]
        scores = [summarise(test).balanced_accuracy for test in tests[arm["name"]]]
        said = arm["figures"]["balanced_accuracy"]
        assert [each["figures"]["balanced_accuracy"] for each in arm["runs"]] == scores
        assert (said["mean"], said["sd"]) == (pytest.approx(fmean(scores)), pytest.approx(stdev(scores)))
        assert said["low"] < said["mean"] < said["high"]
        seconds = [json.loads((out / arm["name"] / f"seed-{s}/result.json").read_text())["seconds"] for s in (0, 1)]
        assert arm["seconds"] == pytest.approx(sum(seconds), abs=0.05)
    assert set(tests) == {"plain", "label_smoothing", "kd"}
    assert [teacher["seed"] for teacher in results["teachers"]] == [0]
    pairs = {("kd", "plain"), ("label_smoothing", "plain"), ("kd", "label_smoothing")}
    assert {(row["one"], row["other"]) for row in results["verdicts"]} == pairs
    told = verdicts(tests, [(row["one"], row["other"]) for row in results["verdicts"][:3]])
    assert [(row["verdict"], row["p"]) for row in results["verdicts"]] == [(row.word, row.p) for row in told]
    text = (out / "results.md").read_text()
    assert "Synthetic data" in text
    kd = next(row for row in told if (row.one, row.other, row.metric) == ("kd", "plain", "balanced_accuracy"))
    assert f"| kd | plain | **{kd.word}** | " in text
    assert f"| {100 * kd.smallest:.1f} |" in text
    assert "Critical-difference picture" in (out / "report.html").read_text()


def test_runs_of_one_seed_start_alike_and_the_teacher_is_the_grids(unbroken):
    out, _ = unbroken
    starts = [(out / arm / "seed-0" / "split.csv").read_text() for arm in ("plain", "kd", "label_smoothing")]
    assert len(set(starts)) == 1
    assert json.loads((out / "kd/seed-0/result.json").read_text())["teacher"] == str(out / "teachers" / "wide")
    assert json.loads((out / "plain/seed-0/result.json").read_text())["teacher"] is None


def test_what_is_finished_is_not_trained_again(unbroken, wanted):
    out, _ = unbroken
    before = table(out)

    def none(folders):
        raise AssertionError(folders)

    compare.compare(grid.load(wanted), out, none)
    assert table(out) == before


def nothing(folders, asked=None):
    """Train nothing, but note what was asked for."""
    if asked is not None:
        asked.extend(folders)
    yield from ()


class Killed(BaseException):
    pass


class Killer(Silent):
    """Dies at the n-th thing that it is told."""

    def __init__(self, after):
        self.left = after

    def count(self, *_):
        self.left -= 1
        if self.left < 0:
            raise Killed

    step = epoch = note = data = count


def test_killed_again_and_again_it_ends_with_the_same_table(unbroken, wanted, tmp_path):
    out, kills = tmp_path / "out", 0
    for after in (0, 3, 40, 10, 25, 60, 5, 1000):
        try:
            compare.compare(grid.load(wanted), out, partial(engines.here, watcher=Killer(after)))
        except Killed:
            kills += 1
    assert kills >= 5
    assert table(out) == table(unbroken[0])


def test_two_processes_killed_outright_are_gone_on_with_and_give_the_same_runs(unbroken, wanted, tmp_path):
    out, path = tmp_path / "out", tmp_path / "grid.toml"
    seeds, arms, _ = wanted.read_text().strip().splitlines()
    path.write_text(f"{seeds.replace('0, 1', '0')}\n{arms.split(',')[0]}]")
    arguments = [sys.executable, "-m", "dspkd", "compare", str(path), "--out", str(out), "--jobs", "2"]
    started = subprocess.Popen(arguments, stdout=subprocess.DEVNULL, start_new_session=True)
    while not list(out.glob("plain/*/metrics.jsonl")):
        assert started.poll() is None
        time.sleep(0.05)
    started.send_signal(signal.SIGKILL)
    started.wait()
    assert not (out / "results.json").exists()
    compared = compare.compare(grid.load(path), out, partial(engines.processes, jobs=2), jobs=2)
    assert compared.failed == 0
    for arm in ("plain", "label_smoothing"):
        test = f"{arm}/seed-0/predictions/test.csv"
        assert (out / test).read_bytes() == (unbroken[0] / test).read_bytes()
        assert "labels epoch 1" in (out / arm / "seed-0" / "log.txt").read_text()


def test_a_failed_run_is_recorded_the_others_go_on_and_it_alone_is_tried_again(unbroken, wanted, tmp_path, monkeypatch):
    out, train = tmp_path / "out", run.train
    errors = {"kd/seed-1": TrainingError("the loss is nan"), "plain/seed-0": RuntimeError("out of memory")}

    def fails(made, folder, watcher):
        if error := errors.get(str(folder.relative_to(out))):
            raise error
        return train(made, folder, watcher)

    monkeypatch.setattr(run, "train", fails)
    compared = compare.compare(grid.load(wanted), out, engines.here)
    said = {str(out / "kd/seed-1"): "the loss is nan", str(out / "plain/seed-0"): "RuntimeError: out of memory"}
    assert compared.results[0].failed == said
    assert compared.failed == 2
    assert json.loads((out / "kd/seed-1/failure.json").read_text()) == {"error": "the loss is nan"}
    assert "in fails" in (out / "plain/seed-0/log.txt").read_text()
    (results,) = json.loads((out / "results.json").read_text())
    assert {arm["name"]: len(arm["runs"]) for arm in results["arms"]} == {"kd": 1, "plain": 1, "label_smoothing": 2}
    assert f"| {out / 'kd/seed-1'} | the loss is nan |" in (out / "results.md").read_text()
    trained = []
    monkeypatch.setattr(run, "train", lambda made, folder, watcher: trained.append(folder) or train(made, folder))
    compared = compare.compare(grid.load(wanted), out, engines.here)
    assert set(trained) == {out / name for name in errors}
    assert compared.failed == 0
    assert not list(out.rglob("failure.json"))
    assert table(out) == table(unbroken[0])


def test_a_teacher_that_fails_takes_its_own_students_along_and_no_others(wanted, tmp_path):
    def fake(folders):
        for folder in folders:
            yield folder, "burnt" if "teachers" in folder.parts else "not tried"

    compared = compare.compare(grid.load(wanted), tmp_path, fake)
    (results,) = compared.results
    assert results.failed[str(tmp_path / "teachers/wide")] == "burnt"
    assert results.failed[str(tmp_path / "kd/seed-1")] == f"its teacher {tmp_path / 'teachers/wide'} failed"
    assert results.failed[str(tmp_path / "plain/seed-0")] == "not tried"
    assert (compared.failed, results.arms, compared.pages) == (7, [], [])


def test_the_command_lists_failures_and_ends_with_1(wanted, tmp_path, monkeypatch):
    monkeypatch.setattr(engines, "here", lambda folders, watcher: ((folder, "burnt") for folder in folders))
    out, err = call("compare", wanted, "--out", tmp_path / "out", code=1)
    assert f"failed: {tmp_path / 'out/plain/seed-1'}: burnt" in out
    assert "7 runs have no result; the same command tries again" in err


def test_a_process_that_dies_fails_its_own_run(tmp_path, monkeypatch):
    dies = tmp_path / "dies"
    dies.write_text("#!/bin/sh\nread folder\ncase $folder in *bad*) kill -9 $$;; *) echo null;; esac\n")
    dies.chmod(0o755)
    monkeypatch.setattr(engines.sys, "executable", str(dies))
    folders = [tmp_path / name for name in ("bad", "good")]
    ended = dict(engines.processes(folders, 1))
    assert ended == {folders[0]: "its process died (signal 9); killed, or out of memory?", folders[1]: None}


def test_cores_are_shared_out_where_a_recipe_names_no_threads(wanted, tmp_path, monkeypatch):
    monkeypatch.setattr(compare, "_cores", lambda: 7)
    text = wanted.read_text() + 'set = ["machine.threads=0"]\n'
    (tmp_path / "grid.toml").write_text(text)
    compare.compare(grid.load(tmp_path / "grid.toml"), tmp_path / "a", nothing, jobs=2)
    assert "threads = 3" in (tmp_path / "a/kd/seed-0/recipe.toml").read_text()
    compare.compare(grid.load(wanted), tmp_path / "b", nothing, jobs=2)
    assert "threads = 1" in (tmp_path / "b/kd/seed-0/recipe.toml").read_text()


def test_a_changed_grid_is_refused_but_one_that_has_grown_goes_on(unbroken, wanted, tmp_path):
    out, _ = unbroken
    changed = tmp_path / "grid.toml"
    changed.write_text(wanted.read_text() + 'set = ["stages.0.lr=1e-3"]\n')
    with pytest.raises(RunError, match=r"holds a run of recipe \w+, but the grid asks for \w+; choose another --out"):
        compare.compare(grid.load(changed), out, engines.here)
    changed.write_text(wanted.read_text().replace("[0, 1]", "[0, 1, 2]"))
    asked = []
    compare.compare(grid.load(changed), out, partial(nothing, asked=asked))
    assert {folder.name for folder in asked} == {"seed-2"}


@pytest.mark.parametrize(
    ("old", "new", "error", "message"),
    [
        ("seeds =", "set = [\"data.path='nowhere'\"]\nseeds =", DataError, "nowhere"),
        ("seeds =", "set = [\"model.name='tinny'\"]\nseeds =", RecipeError, "model.name: .*tiny"),
        ('name = "wide"', 'run = "elsewhere"', RunError, "elsewhere: no finished run"),
    ],
)
def test_what_cannot_work_is_refused_before_anything_is_trained(wanted, tmp_path, old, new, error, message):
    text = wanted.read_text().replace(old, new)
    if "elsewhere" in new:
        text = text.split("teachers =")[0] + 'teachers = [{ run = "elsewhere" }]'
    (tmp_path / "grid.toml").write_text(text)
    with pytest.raises(error, match=message):
        compare.compare(grid.load(tmp_path / "grid.toml"), tmp_path / "out", engines.here)
    assert not (tmp_path / "out").exists()


def test_two_comparisons_do_not_share_a_folder(wanted, tmp_path):
    with compare.FileLock(tmp_path / ".lock"), pytest.raises(RunError, match="another dspkd compare is at work"):
        compare.compare(grid.load(wanted), tmp_path, engines.here)


def test_ray_and_jobs_exclude_each_other(wanted, tmp_path):
    told = refused("compare", wanted, "--out", tmp_path, "--ray", "local", "--jobs", "2")
    assert "--jobs and --ray: give one" in told


def test_without_ray_the_command_says_how_to_get_it(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(RunError, match=r"pip install 'dspkd\[ray\]'"):
        list(engines.on_ray([tmp_path], "local"))


@pytest.mark.filterwarnings("ignore")
def test_ray_trains_on_a_local_cluster(wanted, tmp_path, unbroken):
    pytest.importorskip("ray", reason="needs the extra [ray]")
    folders = []
    compare.compare(grid.load(wanted), tmp_path, partial(nothing, asked=folders))
    one = tmp_path / "plain/seed-0"
    (tmp_path / "bad").mkdir()
    (tmp_path / "bad" / "recipe.toml").write_text((one / "recipe.toml").read_text().replace("synthetic", "nowhere"))
    ended = dict(engines.on_ray([one, tmp_path / "bad"], "local"))
    assert ended[one] is None
    assert "nowhere" in ended[tmp_path / "bad"]
    theirs, ours = (Predictions.load(out / "predictions/test.csv") for out in (one, unbroken[0] / "plain/seed-0"))
    assert np.array_equal(theirs.logits, ours.logits)
