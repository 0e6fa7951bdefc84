"""A method of another package: installed for real, found by name, used in a recipe."""

import os
import re
import shutil
import subprocess
import sys
from importlib.metadata import EntryPoint
from pathlib import Path

import pytest

from dspkd import methods
from dspkd.errors import RecipeError

pytestmark = pytest.mark.clone

ROOT = Path(__file__).resolve().parents[2]
PACKAGE = ROOT / "docs" / "how-to" / "examples" / "package"

USE = """
import sys
from pathlib import Path
import torch
from dspkd import methods
from dspkd.recipes import catalog, schema
from dspkd.runs import validate
from dspkd.types import NetworkSpec, Output

assert "bare_logits" in methods.names()
assert "bare_logits" not in methods._built_in()

spec = NetworkSpec(3, 2, {})
student, teacher = (Output(torch.full((4, 3), level), torch.zeros(4, 2)) for level in (1.0, 3.0))
assert methods.find("bare_logits")(spec, spec)(student, teacher, None).item() == 4

mine = Path(sys.argv[1])
mine.write_text(catalog.find("demo/dsp_kd").read_text().replace('method = "normkd"', 'method = "bare_logits"'))
validate.check(schema.load(mine))
print(methods.describe("bare_logits"))
"""

CLASH = "from dspkd import methods; methods.names()"


def install(project, into):
    command = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-index"]
    command += ["--no-deps", "--no-build-isolation", "--target", str(into), str(project)]
    subprocess.run(command, check=True, capture_output=True, text=True)


def python(script, *arguments, path):
    """Run a script in an interpreter that also sees what is installed in `path`."""
    environment = os.environ | {"PYTHONPATH": os.pathsep.join([str(ROOT / "src"), str(path)])}
    command = [sys.executable, "-c", script, *map(str, arguments)]
    return subprocess.run(command, check=False, capture_output=True, text=True, env=environment)


@pytest.fixture
def project(tmp_path):
    """A copy of the package, since building one leaves files beside its source."""
    return Path(shutil.copytree(PACKAGE, tmp_path / "project"))


def test_an_installed_package_offers_its_method_to_recipes(project, tmp_path):
    install(project, tmp_path / "site")
    done = python(USE, tmp_path / "mine.toml", path=tmp_path / "site")
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("bare_logits: Match the teacher's logits without softmax.\n    Source: Ba, Caruana")


@pytest.mark.parametrize("name", ["total", "my.mse"])
def test_the_name_of_the_sum_and_names_with_a_dot_are_refused(monkeypatch, name):
    entry = EntryPoint(name, "bare_logits:BareLogits", "dspkd.methods")
    monkeypatch.setattr(methods, "_entries", lambda: [entry])
    with pytest.raises(RecipeError, match=rf"method '{re.escape(name)}' of .*; rename its entry point"):
        methods.names()


@pytest.mark.parametrize("name", ["update", "training", "type"])
def test_names_that_a_module_has_already_are_refused(monkeypatch, name):
    entry = EntryPoint(name, "dspkd.methods.kd:KD", "dspkd.methods")
    monkeypatch.setattr(methods, "_entries", lambda: [entry])
    with pytest.raises(RecipeError, match=rf"method '{name}' of .*torch\.nn\.ModuleDict; rename its entry point"):
        methods.find(name)


def test_an_installed_package_may_not_use_a_built_in_name(project, tmp_path):
    settings = project / "pyproject.toml"
    settings.write_text(settings.read_text().replace("bare_logits = ", "kd = "))
    install(project, tmp_path / "site")
    done = python(CLASH, path=tmp_path / "site")
    assert "'kd' is offered by dspkd itself and by bare_logits:BareLogits of lesion-terms" in done.stderr
