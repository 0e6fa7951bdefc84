"""README, CONTRIBUTING, Makefile and docs agree with the code: commands, packages, versions, links, decisions."""

import graphlib
import os
import re
import shlex
import subprocess
import tomllib
from pathlib import Path

import grimp
import pytest
import typer
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.utils import canonicalize_name

from dspkd.cli import app

ROOT = Path(__file__).resolve().parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")
CONTRIBUTING = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
PACKAGE = ROOT / "src" / "dspkd"
MAKEFILE = (ROOT / "Makefile").read_text(encoding="utf-8")
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
PINS = [
    line for line in (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines() if not line.startswith("#")
]
PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")])
DECISIONS = sorted((ROOT / "docs" / "decisions").iterdir())


def project_files(*folders):
    """Return the files at the root and under `folders`, without caches and vendored code."""
    files = [path for path in ROOT.iterdir() if path.is_file() and path.name != ".git"]
    files += [path for folder in folders for path in (ROOT / folder).rglob("*") if path.is_file()]
    return [path for path in files if not {"__pycache__", "vendor"} & set(path.parts)]


def shell_lines(text):
    """Return the lines of ```bash blocks and all `code`, a line each, without comments."""
    blocks = re.findall(r"```bash\n(.*?)```", text, flags=re.DOTALL)
    inline = re.findall(r"`([^`\n]+)`", re.sub(r"```.*?```", "", text, flags=re.DOTALL))
    lines = [line for block in blocks for line in block.splitlines()] + inline
    return [line.strip() for line in lines]


def calls(name, lines):
    """Return the argument lists with which `lines` call the command `name`."""
    return [shlex.split(line, comments=True)[1:] for line in lines if line.startswith(f"{name} ")]


def dspkd_calls():
    """Return the argument lists with which README and Makefile call dspkd."""
    return calls("dspkd", shell_lines(README) + MAKEFILE.replace("\t$(BIN)/", "").splitlines())


def targets():
    return re.findall(r"^([a-z]+):", MAKEFILE, flags=re.MULTILINE)


def recipe_of(target):
    """Return the commands of a make target."""
    return re.search(rf"^{target}:.*\n((?:\t.*\n)*)", MAKEFILE, flags=re.MULTILINE)[1]


@pytest.mark.parametrize("arguments", dspkd_calls(), ids=" ".join)
def test_each_documented_command_exists_and_accepts_its_arguments(arguments):
    command = typer.main.get_command(app)
    rest = list(arguments)
    while hasattr(command, "commands"):
        assert rest, f"{arguments} names a group of commands and none of them"
        assert rest[0] in command.commands, arguments
        command = command.commands[rest.pop(0)]
    command.make_context(command.name, rest)  # an unknown option or a missing argument raises


def test_readme_has_an_example_of_each_command():
    assert {arguments[0] for arguments in dspkd_calls()} == set(typer.main.get_command(app).commands)


def test_the_recipes_in_readme_exist():
    recipes = {word for arguments in dspkd_calls() for word in arguments if word.startswith("recipes/")}
    assert recipes
    assert [path for path in sorted(recipes) if not (ROOT / path).is_file()] == []


def test_readme_begins_with_make_demo_and_make_test():
    assert [words[0] for words in calls("make", shell_lines(README))][:2] == ["demo", "test"]


@pytest.mark.parametrize("page", ["README.md", "CONTRIBUTING.md", ".ci/run", "constraints.txt"])
def test_each_make_target_in_the_docs_exists(page):
    text = (ROOT / page).read_text(encoding="utf-8")
    named = re.findall(r"(?:^|`)make ([a-z]+)", text, flags=re.MULTILINE)
    assert named
    assert set(named) <= set(targets())


def test_make_check_and_ci_run_each_tool_once():
    tools = ("ruff format --check", "ruff check", "mypy --strict", "lint-imports", "pytest")
    lint, test = recipe_of("lint"), recipe_of("test")
    assert [(lint + test).count(tool) for tool in tools] == [1] * len(tools)
    assert re.search(r"^check: lint test ", MAKEFILE, flags=re.MULTILINE)
    assert re.search(r"^test: \$\(STAMP\) ", MAKEFILE, flags=re.MULTILINE)  # a clone needs no other command before it
    ci = [line for line in (ROOT / ".ci" / "run").read_text(encoding="utf-8").splitlines() if line.startswith("make")]
    assert ci == ["make .venv/installed", "make --jobs 2 --output-sync lint fuzz SECONDS=60 SEED=1 &", "make test"]


def test_ci_fails_where_the_checks_beside_the_tests_fail(tmp_path):
    """They run in the background, so that the shell alone would pass over their end."""
    (tmp_path / ".ci").mkdir()
    (tmp_path / ".ci" / "run").write_bytes((ROOT / ".ci" / "run").read_bytes())
    for name in ("chromium", "firefox-esr", "kotlinc"):  # else it would install them
        (tmp_path / name).touch(mode=0o755)
    environment = os.environ | {"PATH": f"{tmp_path}:{os.environ['PATH']}"}
    for fails in ("lint", "fuzz", "test", "nothing"):
        rules = "".join(f"{each}:\n\t@{'false' if each == fails else 'true'}\n" for each in ("lint", "fuzz", "test"))
        (tmp_path / "Makefile").write_text(f".venv/installed web:\n\t@true\n{rules}")
        done = subprocess.run(["bash", ".ci/run"], cwd=tmp_path, env=environment, capture_output=True, check=False)
        assert (done.returncode == 0) == (fails == "nothing"), fails


def test_the_files_that_begin_first_exist():
    text = (ROOT / "tests" / "conftest.py").read_text(encoding="utf-8")
    longest = re.findall(r'"([\w/]+)"', text.partition("LONGEST = (")[2].partition("\n)")[0])
    assert len(longest) > 10
    assert all((ROOT / "tests" / f"{name}.py").exists() for name in longest)


def test_ci_stops_at_the_first_failure():
    assert (ROOT / ".ci" / "run").stat().st_mode & 0o111
    assert "set -euo pipefail" in (ROOT / ".ci" / "run").read_text(encoding="utf-8")


def test_the_stamp_of_the_environment_is_written_after_the_installation():
    steps = recipe_of(r"\$\(STAMP\)").splitlines()
    assert re.search(r"^\$\(STAMP\): pyproject\.toml constraints\.txt$", MAKEFILE, flags=re.MULTILINE)
    assert steps[-1] == "\t@touch $(STAMP)"
    assert "venv --clear" in recipe_of(r"\$\(STAMP\)")
    dependent = [name for name in targets() if re.search(rf"^{name}: \$\(STAMP\)", MAKEFILE, flags=re.MULTILINE)]
    assert {"demo", "test", "lint"} <= set(dependent)


def packages():
    """Return the rows of CONTRIBUTING's table of packages, name to description, in their order."""
    table = CONTRIBUTING.partition("## The packages")[2].partition("\n## ")[0]
    rows = re.findall(r"^\| `([^`]+)` \| (.+) \|$", table, flags=re.MULTILINE)
    assert len(dict(rows)) == len(rows), "a package has two rows"
    return dict(rows)


def test_contributing_lists_the_14_packages():
    entries = {path.name + "/" * path.is_dir() for path in PACKAGE.iterdir()}
    entries -= {"__init__.py", "__main__.py", "__pycache__/", "py.typed"}
    assert set(packages()) == entries
    assert len(entries) <= 14


def test_contributing_names_each_sub_package_in_its_package():
    for path in PACKAGE.glob("*/*/__init__.py"):
        package, name = path.parts[-3:-1]
        assert f"`{name}/`" in packages()[f"{package}/"], f"{package}/{name}"


def test_the_import_contract_has_the_packages_in_the_order_of_contributing():
    layers = PROJECT["tool"]["importlinter"]["contracts"][0]["layers"]
    names = [name for layer in layers for name in layer.split(" | ")]
    assert names == ["__main__", *(each.removesuffix("/").removesuffix(".py") for each in packages())]


def test_no_files_import_each_other_in_a_circle():
    graph = grimp.build_graph("dspkd", cache_dir=None)
    imports = {name: graph.find_modules_directly_imported_by(name) for name in graph.modules}
    assert len(imports) > 200
    graphlib.TopologicalSorter(imports).prepare()  # raises CycleError, which names the circle


def requirements():
    """Return the project's requirements, extras and development included."""
    table = PROJECT["project"]
    lists = [table["dependencies"], *table["optional-dependencies"].values(), *PROJECT["dependency-groups"].values()]
    listed = [Requirement(line) for lines in lists for line in lines if isinstance(line, str)]
    return [requirement for requirement in listed if requirement.name != table["name"]]  # an extra may name another


def test_each_pin_is_a_name_and_an_exact_version():
    assert all(re.fullmatch(r"[A-Za-z0-9._-]+==[A-Za-z0-9.]+", pin) for pin in PINS)
    assert sorted(PINS, key=str.upper) == PINS


@pytest.mark.parametrize("requirement", requirements(), ids=str)
def test_each_requirement_admits_its_pinned_version(requirement):
    pinned = {canonicalize_name(name): version for name, _, version in (pin.partition("==") for pin in PINS)}
    assert requirement.specifier.contains(pinned[canonicalize_name(requirement.name)])


@pytest.mark.parametrize(("name", "version"), [("torch", "2.11.0"), ("torchvision", "0.26.0")])
def test_the_oldest_supported_versions_are_admitted(name, version):
    ranges = [requirement.specifier for requirement in requirements() if requirement.name == name]
    assert ranges
    assert all(specifier.contains(version) for specifier in ranges)
    assert f"{name} {version.removesuffix('.0')}" in README


def test_python_3_11_and_3_12_are_admitted():
    admitted = SpecifierSet(PROJECT["project"]["requires-python"])
    assert [version for version in ("3.10", "3.11", "3.12") if version in admitted] == ["3.11", "3.12"]


def test_decisions_are_numbered_without_gaps_and_have_three_sections_on_half_a_page():
    assert [path.name[:5] for path in DECISIONS] == [f"{number:04d}-" for number in range(1, len(DECISIONS) + 1)]
    for path in DECISIONS:
        lines = path.read_text(encoding="utf-8").splitlines()
        assert lines[0].startswith(f"# {int(path.name[:4])}. "), path.name
        headings = [line for line in lines if line.startswith("## ")]
        assert headings == ["## Context", "## Choice", "## What would change our mind"], path.name
        assert len(lines) <= 45, f"{path.name} is longer than half a page"


def test_the_index_lists_every_decision_under_its_title():
    listed = re.findall(r"^(\d+)\. \[(.+)\]\(decisions/(.+)\)$", (ROOT / "docs" / "index.md").read_text("utf-8"), re.M)
    titles = [path.read_text(encoding="utf-8").splitlines()[0] for path in DECISIONS]
    assert [f"# {number}. {title}" for number, title, _ in listed] == titles
    assert [name for _, _, name in listed] == [path.name for path in DECISIONS]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_relative_links_resolve(page):
    text = re.sub(r"```.*?```", "", page.read_text(encoding="utf-8"), flags=re.DOTALL)
    for link in re.findall(r"\]\(([^)]+)\)", text):
        if link.startswith(("https://", "http://", "mailto:")):
            continue
        path, _, heading = link.partition("#")
        target = page.parent / path if path else page
        assert target.exists(), f"{link} leads nowhere"
        if heading:
            headings = re.findall(r"^#+ (.+)$", target.read_text(encoding="utf-8"), flags=re.MULTILINE)
            assert heading in [re.sub(r"[^\w -]", "", title).lower().replace(" ", "-") for title in headings], link


def test_no_file_names_a_path_of_one_machine_or_a_package_host():
    # In brackets, so that this line does not find itself.
    forbidden = re.compile(
        r"(?<![\w.])/(?:wor[k]|hom[e]|roo[t])/|py[p]i\.org|pythonhoste[d]|extra-index-ur[l]|npmj[s]", re.I
    )
    matches = []
    for path in project_files(".ci", "docs", "src", "tests"):
        try:
            text = path.read_text(encoding="utf-8")
        except UnicodeDecodeError:
            continue
        matches += [f"{path.relative_to(ROOT)}: {match[0]}" for match in [forbidden.search(text)] if match]
    assert matches == []


def test_each_pinned_version_has_hashes_and_no_host_is_named():
    hashed = (ROOT / "constraints-hashed.txt").read_text(encoding="utf-8")
    versions = re.findall(
        r"^([\w.-]+)==([^\s;]+)((?: \\\n    --hash=sha256:[0-9a-f]{64})+)$", hashed, flags=re.MULTILINE
    )
    assert {(canonicalize_name(name), version) for name, version, _ in versions} == {
        (canonicalize_name(name), version) for name, _, version in (pin.partition("==") for pin in PINS)
    }
    assert "://" not in hashed
