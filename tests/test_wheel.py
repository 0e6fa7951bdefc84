"""The wheel as a stranger has it: without the repository, from the archive alone."""

import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]

pytestmark = pytest.mark.clone


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    """Build the wheel from the files of the repository."""
    folder = tmp_path_factory.mktemp("wheel")
    command = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--wheel-dir", str(folder), str(ROOT)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if "hatchling" in done.stderr and "No matching distribution" in done.stderr:
        pytest.skip("needs hatchling, which builds the wheel, from a package index")
    assert done.returncode == 0, done.stderr
    (built,) = folder.glob("*.whl")
    return built


@pytest.fixture(scope="module")
def installed(wheel, tmp_path_factory):
    """Unpack the wheel, as an installer does, into an empty folder."""
    folder = tmp_path_factory.mktemp("installed")
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(folder)
    return folder


def run(installed, tmp_path, *arguments):
    """Run the command of the unpacked wheel, away from the repository; return what it prints."""
    environment = {**os.environ, "PYTHONPATH": str(installed), "PYTHONSAFEPATH": "1", "COLUMNS": "120"}
    command = [sys.executable, "-c", "import dspkd, sys; print(dspkd.__file__); from dspkd.cli import app; app()"]
    command += arguments
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    place, _, printed = done.stdout.partition("\n")
    assert Path(place).is_relative_to(installed), "the package under test is the wheel's, not the repository's"
    return printed


def test_it_holds_every_file_of_the_package(wheel):
    vendored = "deploy/serve/static/vendor/"  # fetched by `make web`
    source = ROOT / "src" / "dspkd"
    files = {path.relative_to(source).as_posix() for path in source.rglob("*") if path.is_file()}
    wanted = {name for name in files if "__pycache__" not in name and not name.startswith(vendored)}
    with zipfile.ZipFile(wheel) as archive:
        held = {name.removeprefix("dspkd/") for name in archive.namelist()}
    assert wanted <= held
    assert {"py.typed", "recipes/library/ham10000/dsp_kd.toml", "reports/templates/base.html"} <= wanted


def test_its_metadata_names_licence_command_and_extras(wheel):
    with zipfile.ZipFile(wheel) as archive:
        (metadata,) = (name for name in archive.namelist() if name.endswith(".dist-info/METADATA"))
        text = archive.read(metadata).decode()
        entry = archive.read(metadata.replace("METADATA", "entry_points.txt")).decode()
        assert any(name.endswith("licenses/LICENSE") for name in archive.namelist())
    assert "dspkd = dspkd.cli:app" in entry
    for extra in ("train", "export", "serve", "heic"):
        assert f"Provides-Extra: {extra}" in text


def test_its_command_works_without_the_repository(installed, tmp_path):
    assert "ham10000/dsp_kd" in run(installed, tmp_path, "recipes", "ls")
    assert "synthetic" in run(installed, tmp_path, "demo", "--help")
    assert "shufflenet_v2_x1_0" in run(installed, tmp_path, "recipes", "show", "ham10000/plain")
