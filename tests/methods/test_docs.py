"""The guide to adding a method works: its files are real, and its commands are run in a copy."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.clone

ROOT = Path(__file__).resolve().parents[2]
EXAMPLES = ROOT / "docs" / "how-to" / "examples"
GUIDE = (ROOT / "docs" / "how-to" / "add-a-method.md").read_text(encoding="utf-8")
COPIED = (
    "pyproject.toml",
    "src/dspkd",
    "tests/conftest.py",
    "tests/figures.py",
    "tests/methods/conftest.py",
    "tests/methods/test_contract.py",
)
TEACHER = "dspkd train demo/teacher --out runs/demo/teacher --set stages.0.epochs=1 --set stages.0.warmup=0"


def fenced(language):
    return re.findall(rf"```{language}\n(.*?)```", GUIDE, flags=re.DOTALL)


COMMANDS = "".join(fenced("bash")).splitlines()


def place(name):
    """Return the path that the guide gives for the example `name`."""
    return next(path for path in re.findall(r"`([^`\s]+/[^`\s]+)`", GUIDE) if path.endswith(f"/{name}"))


def run(arguments, cwd):
    environment = os.environ | {"PYTHONPATH": str(cwd / "src")}
    command = [sys.executable, *arguments]
    done = subprocess.run(command, check=False, capture_output=True, text=True, cwd=cwd, env=environment)
    assert done.returncode == 0, f"{command}\n{done.stdout}\n{done.stderr}"
    return done.stdout


@pytest.fixture(scope="module")
def clone(tmp_path_factory, lesions):
    """The parts of this repository that the guide needs, with its files in place and small runs of the demo done."""
    root = tmp_path_factory.mktemp("clone")
    for part in COPIED:
        (root / part).parent.mkdir(parents=True, exist_ok=True)
        copy = shutil.copytree if (ROOT / part).is_dir() else shutil.copy
        copy(ROOT / part, root / part)
    for name in ("cosine.py", "test_cosine.py", "cosine.toml"):
        shutil.copy(EXAMPLES / name, root / place(name))
    shutil.copytree(lesions, root / "runs" / "demo" / "data")
    return root


def test_each_file_shown_is_an_example_and_each_example_is_shown():
    files = [path for path in EXAMPLES.rglob("*") if path.suffix in (".py", ".toml")]
    assert sorted(fenced("python") + fenced("toml")) == sorted(path.read_text(encoding="utf-8") for path in files)


@pytest.fixture(scope="module")
def printed(clone):
    """What the commands of the guide print: in one process, since each would spend seconds on imports."""
    (tests,) = (line for line in COMMANDS if line.startswith("python -m pytest "))
    commands = [TEACHER, *(line for line in COMMANDS if line.startswith("dspkd "))]
    calls = [f"app({command.split()[1:]!r}, standalone_mode=False)" for command in commands]
    passes = f"assert pytest.main({tests.split()[3:]!r}) == 0"
    return run(["-c", "\n".join(["import pytest", passes, "from dspkd.cli import app", *calls])], clone)


def test_its_method_passes_its_tests_and_the_contract(printed):
    passed = int(re.search(r"(\d+) passed", printed)[1])
    assert passed >= 25  # 4 of its own; the rest are the contract's


def test_its_recipe_trains(clone, printed):
    assert '"cosine"' in (clone / "runs" / "cosine" / "metrics.jsonl").read_text()
