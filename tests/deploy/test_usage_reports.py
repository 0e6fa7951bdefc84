"""ONNX Runtime, as it comes, leaves a device id in the user's cache folder and reports usage to its vendor."""

import os
import subprocess
import sys

import pytest

from dspkd import _NO_USAGE_REPORTS

PREDICT = "from dspkd import Predictor; Predictor({bundle!r}).predict({image!r})"
OUTPUT = "import os, dspkd; print([os.environ[name] for name in sorted(dspkd._NO_USAGE_REPORTS)])"


def run(program, home, **settings):
    """Run a program as a user who has set nothing about usage reports but `settings`."""
    inherited = {name: value for name, value in os.environ.items() if name not in _NO_USAGE_REPORTS}
    folders = {"HOME": str(home), "XDG_CACHE_HOME": str(home / "cache"), "XDG_CONFIG_HOME": str(home / "config")}
    done = subprocess.run(
        [sys.executable, "-c", program],
        env={**inherited, **folders, **settings},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.parametrize(
    "program",
    [
        PREDICT,
        "from dspkd.cli import app; app(['verify', {bundle!r}], standalone_mode=False)",
        "import dspkd.deploy.export.quantise",
    ],
    ids=["predict", "verify", "quantise"],
)
def test_no_file_is_left_in_the_users_folders(program, bundle, photographs, tmp_path):
    run(program.format(bundle=str(bundle), image=str(photographs[0])), tmp_path)
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []


def test_what_the_environment_says_is_kept(tmp_path):
    assert run(OUTPUT, tmp_path) == "['1', '1', '0']\n"
    assert run(OUTPUT, tmp_path, ORT_DISABLE_TELEMETRY="0") == "['1', '0', '0']\n"
