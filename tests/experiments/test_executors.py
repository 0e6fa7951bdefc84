"""Executors of a comparison: this process, several processes, Ray."""

import sys
from functools import partial

import numpy as np
import pytest

from command import refused
from comparing import nothing
from dspkd.errors import RunError
from dspkd.evaluation.predictions import Predictions
from dspkd.experiments.compare import compare, executors, grid
from dspkd.runtime import cores

pytestmark = pytest.mark.usefixtures("no_pages")


def test_a_process_that_dies_fails_its_own_run_only(tmp_path, monkeypatch):
    dies = tmp_path / "dies"
    dies.write_text("#!/bin/sh\nread folder\ncase $folder in *bad*) kill -9 $$;; *) echo null;; esac\n")
    dies.chmod(0o755)
    monkeypatch.setattr(executors.sys, "executable", str(dies))
    folders = [tmp_path / name for name in ("bad", "good")]
    ended = dict(executors.processes(folders, 1))
    assert ended == {folders[0]: "its process died (signal 9); killed, or out of memory?", folders[1]: None}


@pytest.mark.parametrize(("given", "expected"), [(None, "2"), ("5", "5")])
def test_each_process_limits_the_threads_of_all_libraries(tmp_path, monkeypatch, given, expected):
    """By the environment, which they read when they are loaded."""
    echoes = tmp_path / "echoes"
    echoes.write_text('#!/bin/sh\nread folder\necho "\\"$OMP_NUM_THREADS\\""\n')
    echoes.chmod(0o755)
    monkeypatch.setattr(executors.sys, "executable", str(echoes))
    monkeypatch.setattr(cores, "available_cores", lambda: 6)
    monkeypatch.delenv("OMP_NUM_THREADS") if given is None else monkeypatch.setenv("OMP_NUM_THREADS", given)
    assert dict(executors.processes([tmp_path], 3)) == {tmp_path: expected}


def test_ray_and_jobs_exclude_each_other(grid_file, tmp_path):
    assert "--jobs and --ray" in refused("compare", grid_file, "--out", tmp_path, "--ray", "local", "--jobs", "2")


def test_without_ray_the_error_names_the_extra_to_install(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(RunError, match=r"pip install 'dspkd\[ray\]'"):
        list(executors.on_ray([tmp_path], "local"))


@pytest.mark.ray
@pytest.mark.filterwarnings("ignore")
def test_ray_trains_on_a_local_cluster(grid_file, tmp_path, unbroken):
    pytest.importorskip("ray", reason="needs the extra [ray]")
    folders = []
    compare.compare(grid.load(grid_file), tmp_path, partial(nothing, requested=folders))
    one = tmp_path / "plain/seed-0"
    (tmp_path / "bad").mkdir()
    (tmp_path / "bad" / "recipe.toml").write_text((one / "recipe.toml").read_text().replace("synthetic", "nowhere"))
    ended = dict(executors.on_ray([one, tmp_path / "bad"], "local"))
    assert ended[one] is None
    assert "nowhere" in ended[tmp_path / "bad"]
    theirs, ours = (Predictions.load(out / "predictions/test.csv") for out in (one, unbroken[0] / "plain/seed-0"))
    assert np.array_equal(theirs.logits, ours.logits)
