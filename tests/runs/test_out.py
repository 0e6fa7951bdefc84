"""Training into a folder that another process uses, or that cannot be written to."""

import errno
import json
import os
import subprocess
import sys
from contextlib import ExitStack
from pathlib import Path

import pytest
import torch

from dspkd.errors import RunError
from dspkd.runs import claim
from dspkd.runs import train as run
from dspkd.runs.files import RunFiles
from dspkd.runs.run_folder import Run
from dspkd.training import checkpoint
from tiny_runs import recipe, stage, trained, weights

HOLD = """
import sys
from pathlib import Path
from dspkd.runtime import lock
with lock.held(Path(sys.argv[1])):
    print("held", flush=True)
    sys.stdin.read()
"""


def test_a_second_training_is_refused_and_a_lock_that_was_left_is_not(lesions, tmp_path):
    command = [sys.executable, "-c", HOLD, str(tmp_path)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as other:
        assert other.stdout.readline() == b"held\n"
        with pytest.raises(RunError, match=rf"process {other.pid} on .* is training there.*another folder"):
            run.train(recipe(lesions), tmp_path)
        other.kill()
    assert (tmp_path / ".training.json").exists()
    run.train(recipe(lesions), tmp_path)
    assert not (tmp_path / ".training.json").exists()
    (tmp_path / ".training.json").write_text(json.dumps({"process": 1, "host": "another", "started": "long ago"}))
    run.train(recipe(lesions), tmp_path)


def test_a_full_disk_is_one_line_and_the_resumed_run_equals_an_uninterrupted_one(lesions, tmp_path, monkeypatch):
    two = recipe(lesions, stages=[stage("one"), stage("two")])
    whole = trained(two, tmp_path / "whole")
    save, calls = torch.save, []

    def full(state, file):
        calls.append(1)
        if len(calls) == 2:
            with Path("/dev/full").open("wb") as disk:
                save(state, disk)
        save(state, file)

    with monkeypatch.context() as patch:
        patch.setattr(checkpoint.torch, "save", full)
        with pytest.raises(
            RunError, match=r"1-two/last\.pt: No space left on device; .*the same command goes on"
        ) as error:
            run.train(two, tmp_path / "run")
    assert "\n" not in str(error.value)
    assert not list((tmp_path / "run").rglob("*.unfinished"))
    run.train(two, tmp_path / "run")
    for name, value in weights(whole).items():
        assert torch.equal(value, weights(tmp_path / "run")[name]), name


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT, errno.EACCES, errno.EROFS])
@pytest.mark.parametrize("name", ["recipe.toml", "metrics.jsonl", "model.safetensors", "result.json", "files.json"])
def test_a_refused_write_of_any_file_is_one_line(lesions, tmp_path, monkeypatch, name, number):
    if number != errno.ENOSPC and name != "recipe.toml":
        pytest.skip("one file is enough for the other errors")
    opened = Path.open

    def refusing(path, mode="r", *args, **options):
        if path.name.startswith(name) and set(mode) & {"w", "a"}:
            raise OSError(number, os.strerror(number))  # as a write does, without a name
        return opened(path, mode, *args, **options)

    with monkeypatch.context() as patch:
        patch.setattr(Path, "open", refusing)
        with pytest.raises(RunError, match=rf"run.*: {os.strerror(number)}; .*the same command goes on") as error:
            run.train(recipe(lesions), tmp_path / "run")
    assert "\n" not in str(error.value)
    if name == "result.json":
        run.train(recipe(lesions), tmp_path / "run")


@pytest.mark.parametrize("name", ["files.json.partial", "recipe.toml.partial"])
def test_a_file_half_written_when_the_run_began_does_not_bar_the_folder(lesions, tmp_path, name):
    (tmp_path / name).write_text("[da")
    with ExitStack() as held:
        assert not claim.claim(recipe(lesions), RunFiles(tmp_path), held)
    assert (tmp_path / "recipe.toml").exists()


def test_a_first_checkpoint_that_could_not_be_saved_leaves_the_recipe_free_to_change(lesions, tmp_path):
    files = RunFiles(tmp_path)
    with ExitStack() as held:
        claim.claim(recipe(lesions), files, held)
    (files.stages / "0-labels").mkdir(parents=True)
    smaller = recipe(lesions, train={"batch_size": 8})
    with ExitStack() as held:
        assert not claim.claim(smaller, files, held)
    assert Run(tmp_path).recipe == smaller
    (files.stages / "0-labels" / "last.pt").touch()
    with ExitStack() as held, pytest.raises(RunError, match="holds a run of recipe"):
        claim.claim(recipe(lesions), files, held)
