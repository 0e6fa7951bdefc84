"""ONNX Runtime, as it comes, leaves a device id in the user's cache folder and reports usage to its vendor."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from dspkd import _NO_USAGE_REPORTS

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


OPENS_SESSIONS = """
from dspkd import Predictor
from dspkd.cli import app
Predictor({bundle!r}).predict({image!r})
assert not app(["verify", {bundle!r}], standalone_mode=False)
import dspkd.deploy.export.quantise
"""


def test_no_file_is_left_in_the_users_folders(bundle, photographs, tmp_path):
    run(OPENS_SESSIONS.format(bundle=str(bundle), image=str(photographs[0])), tmp_path)
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []


def test_what_the_environment_says_is_kept(tmp_path):
    assert run(OUTPUT, tmp_path) == "['1', '1', '0']\n"
    assert run(OUTPUT, tmp_path, ORT_DISABLE_TELEMETRY="0") == "['1', '0', '0']\n"


SERVE = """
import asyncio, httpx
from dspkd.deploy.bundle.reader import open_bundle
from dspkd.deploy.serve.app import create
async def main():
    transport = httpx.ASGITransport(create(open_bundle({bundle!r})))
    async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as client:
        response = await client.post("/predict", files={{"files": ("a.jpg", open({image!r}, "rb"))}})
        assert response.status_code == 200, response.text
asyncio.run(main())
"""
IMPORTS = """
import importlib, pkgutil, dspkd
for module in pkgutil.walk_packages(dspkd.__path__, "dspkd."):
    if not module.name.endswith("__main__"):
        importlib.import_module(module.name)
"""


def in_namespaces(commands):
    """Return the names that these commands looked up; skips where the system has no such namespaces."""
    where = ["unshare", "-rnm"]
    if not shutil.which("unshare") or subprocess.run([*where, "true"], capture_output=True, check=False).returncode:
        pytest.skip("no namespaces for users on this system")
    trap = [*where, sys.executable, str(Path(__file__).parents[1] / "trapped.py"), json.dumps(commands)]
    inherited = {name: value for name, value in os.environ.items() if name not in _NO_USAGE_REPORTS}
    done = subprocess.run(trap, env=inherited, capture_output=True, text=True, check=True)
    result = json.loads(done.stdout)
    assert result["failed"] == []
    return result["names"]


def test_no_name_is_looked_up(bundle, finished, lesions, photographs, tmp_path):
    """All in one process, since each would spend seconds on imports."""
    image, out = str(photographs[0]), str(tmp_path / "run")
    commands = [
        ["train", str(finished / "recipe.toml"), "--out", out, "--set", "stages.0.epochs=1"],
        ["predict", out, image],
        ["predict", str(bundle), image],
    ]
    calls = [f"assert not app({command!r}, standalone_mode=False)" for command in commands]
    serve = SERVE.format(bundle=str(bundle), image=image)
    program = "\n".join(["from dspkd.cli import app", *calls, serve, IMPORTS])
    assert in_namespaces([[sys.executable, "-c", program]]) == []


def test_the_trap_records_look_ups():
    look_up = "import socket\ntry: socket.getaddrinfo('telemetry.example', 443)\nexcept OSError: pass"
    assert set(in_namespaces([[sys.executable, "-c", look_up]])) == {"telemetry.example"}
