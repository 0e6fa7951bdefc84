"""A comparison that is killed or has failed runs, and is resumed."""

import json
import runpy
import shutil
import sys
import time
from functools import partial

import pytest

from command import call
from comparing import table
from dspkd.errors import RunError, TrainingError
from dspkd.experiments import single_run
from dspkd.experiments.compare import compare, executors, grid
from dspkd.runtime.files import sha256_of
from dspkd.training.progress import NullProgress
from together import FORKS

pytestmark = pytest.mark.usefixtures("no_pages", "no_comparison_pages")


class Killed(BaseException):
    pass


class Killer(NullProgress):
    """Dies at the n-th call."""

    def __init__(self, after):
        self.left = after

    def count(self, *_):
        self.left -= 1
        if self.left < 0:
            raise Killed

    step = epoch = note = data = count


def test_a_comparison_killed_repeatedly_ends_with_the_same_results(unbroken, grid_file, tmp_path):
    out, kills = tmp_path / "out", 0
    for after in (0, 3, 40, 10, 25, 60, 5, 1000):
        try:
            compare.compare(grid.load(grid_file), out, partial(executors.run_inline, listener=Killer(after)))
        except Killed:
            kills += 1
    assert kills >= 5
    assert table(out) == table(unbroken[0])


def test_two_killed_processes_are_resumed_and_give_the_same_runs(unbroken, grid_file, tmp_path, monkeypatch):
    """The command is forked, since torch takes seconds to import."""
    out, path = tmp_path / "out", tmp_path / "grid.toml"
    seeds, methods, _ = grid_file.read_text().strip().splitlines()
    path.write_text(f"{seeds.replace('0, 1', '0')}\n{methods.split(',')[0]}]")
    monkeypatch.setattr(sys, "argv", ["dspkd", "compare", str(path), "--out", str(out), "--jobs", "2"])
    started = FORKS.Process(target=runpy.run_module, args=("dspkd", None, "__main__"))
    started.start()
    while not list(out.glob("plain/*/metrics.jsonl")):
        assert started.is_alive()
        time.sleep(0.05)
    started.kill()
    started.join()
    assert not (out / "results.json").exists()
    compared = compare.compare(grid.load(path), out, partial(executors.processes, jobs=2), jobs=2)
    assert compared.failed == 0
    for arm in ("plain", "label_smoothing"):
        test = f"{arm}/seed-0/predictions/test.csv"
        assert (out / test).read_bytes() == (unbroken[0] / test).read_bytes()
        assert "labels epoch 1" in (out / arm / "seed-0" / "log.txt").read_text()


def test_a_failed_run_is_recorded_and_retried_and_the_others_are_trained(unbroken, grid_file, tmp_path, monkeypatch):
    out, train = tmp_path / "out", single_run.train
    errors = {"kd/seed-1": TrainingError("the loss is nan"), "plain/seed-0": RuntimeError("out of memory")}

    def fails(recipe, folder, listener):
        if error := errors.get(str(folder.relative_to(out))):
            raise error
        return train(recipe, folder, listener)

    monkeypatch.setattr(single_run, "train", fails)
    compared = compare.compare(grid.load(grid_file), out, executors.run_inline)
    failed = {str(out / "kd/seed-1"): "the loss is nan", str(out / "plain/seed-0"): "RuntimeError: out of memory"}
    assert compared.results[0].failed == failed
    assert compared.failed == 2
    assert json.loads((out / "kd/seed-1/failure.json").read_text()) == {"error": "the loss is nan"}
    assert "in fails" in (out / "plain/seed-0/log.txt").read_text()
    (results,) = json.loads((out / "results.json").read_text())
    assert {arm["name"]: len(arm["runs"]) for arm in results["arms"]} == {"kd": 1, "plain": 1, "label_smoothing": 2}
    assert f"| {out / 'kd/seed-1'} | the loss is nan |" in (out / "results.md").read_text()
    trained = []
    monkeypatch.setattr(
        single_run, "train", lambda recipe, folder, listener: trained.append(folder) or train(recipe, folder)
    )
    compared = compare.compare(grid.load(grid_file), out, executors.run_inline)
    assert set(trained) == {out / name for name in errors}
    assert compared.failed == 0
    assert not list(out.rglob("failure.json"))
    assert table(out) == table(unbroken[0])


def test_a_failed_teacher_fails_its_own_students_and_no_others(grid_file, tmp_path):
    def fake(folders):
        for folder in folders:
            yield folder, "burnt" if "teachers" in folder.parts else "not tried"

    compared = compare.compare(grid.load(grid_file), tmp_path, fake)
    (results,) = compared.results
    assert results.failed[str(tmp_path / "teachers/wide")] == "burnt"
    assert results.failed[str(tmp_path / "kd/seed-1")] == f"its teacher {tmp_path / 'teachers/wide'} failed"
    assert results.failed[str(tmp_path / "plain/seed-0")] == "not tried"
    assert (compared.failed, results.arms, compared.pages) == (7, [], [])


def test_the_command_lists_failures_and_exits_with_1(grid_file, tmp_path, monkeypatch):
    monkeypatch.setattr(executors, "run_inline", lambda folders, listener: ((folder, "burnt") for folder in folders))
    out, err = call("compare", grid_file, "--out", tmp_path / "out", code=1)
    assert f"failed: {tmp_path / 'out/plain/seed-1'}: burnt" in out
    assert "error: 7 runs " in err


@pytest.mark.parametrize("when", ["before", "within"])
def test_finished_students_of_a_teacher_that_was_trained_again_are_refused(unbroken, grid_file, tmp_path, when):
    """Before the call, or within it where the teacher's folder was deleted."""
    out = shutil.copytree(unbroken[0], tmp_path / "out")
    students = [out / f"kd/seed-{seed}" for seed in (0, 1)]
    teacher = out / "teachers/wide"
    for student in students:
        (record := student / "teacher_weights.json").write_text(json.dumps({str(teacher): "0" * 64}))
        digests = json.loads((student / "files.json").read_text())
        for file in (record, *(student / name for name in ("recipe.toml", "result.json"))):
            file.write_text(file.read_text().replace(str(unbroken[0]), str(out)))
            digests["sha256"][file.name] = sha256_of(file)
        (student / "files.json").write_text(json.dumps(digests))
    weights = (teacher / "model.safetensors").read_bytes()
    requested = []

    def trains(folders):
        requested.extend(folders)
        if teacher in folders:
            (teacher / "model.safetensors").write_bytes(weights)
        yield from ()

    if when == "within":
        shutil.rmtree(teacher)
    with pytest.raises(RunError, match=rf"kd/seed-0: its teacher {teacher} was trained again since; delete .*seed-0"):
        compare.compare(grid.load(grid_file), out, trains)
    assert requested == ([teacher] if when == "within" else [])
