"""What the project says of itself is true: commands, versions, links, decisions."""

import re
import shlex
import tomllib
from pathlib import Path

import pytest
import typer
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.utils import canonicalize_name

from dspkd.cli import app

ROOT = Path(__file__).resolve().parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")
MAKEFILE = (ROOT / "Makefile").read_text(encoding="utf-8")
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
PINS = [
    line for line in (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines() if not line.startswith("#")
]
PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")])
DECISIONS = sorted((ROOT / "docs" / "decisions").iterdir())


def written(*folders):
    """Return the files of the project's own: those at the root and under `folders`."""
    files = [path for path in ROOT.iterdir() if path.is_file() and path.name != ".git"]
    files += [path for folder in folders for path in (ROOT / folder).rglob("*") if path.is_file()]
    return [path for path in files if not {"__pycache__", "vendor"} & set(path.parts)]


def shell_lines(text):
    """Return what stands in ```bash blocks and in `code`, a line each, without comments."""
    blocks = re.findall(r"```bash\n(.*?)```", text, flags=re.DOTALL)
    inline = re.findall(r"`([^`\n]+)`", re.sub(r"```.*?```", "", text, flags=re.DOTALL))
    lines = [line for block in blocks for line in block.splitlines()] + inline
    return [line.strip() for line in lines]


def called(name, lines):
    """Return the argument lists with which `lines` call the command `name`."""
    return [shlex.split(line, comments=True)[1:] for line in lines if line.startswith(f"{name} ")]


def made_with_dspkd():
    """Return the argument lists with which README and Makefile call dspkd."""
    return called("dspkd", shell_lines(README) + MAKEFILE.replace("\t$(BIN)/", "").splitlines())


def targets():
    return re.findall(r"^([a-z]+):", MAKEFILE, flags=re.MULTILINE)


def recipe_of(target):
    """Return the commands of a make target."""
    return re.search(rf"^{target}:.*\n((?:\t.*\n)*)", MAKEFILE, flags=re.MULTILINE)[1]


@pytest.mark.parametrize("arguments", made_with_dspkd(), ids=" ".join)
def test_each_command_shown_exists_and_takes_these_arguments(arguments):
    command = typer.main.get_command(app)
    rest = list(arguments)
    while hasattr(command, "commands"):
        assert rest, f"{arguments} names a group of commands and none of them"
        assert rest[0] in command.commands, arguments
        command = command.commands[rest.pop(0)]
    command.make_context(command.name, rest)  # an unknown option or a missing argument raises


def test_each_command_of_the_first_level_is_shown():
    shown = {arguments[0] for arguments in made_with_dspkd()}
    assert shown == set(typer.main.get_command(app).commands)


def test_the_recipes_shown_exist():
    shown = {word for arguments in made_with_dspkd() for word in arguments if word.startswith("recipes/")}
    assert shown
    assert [path for path in sorted(shown) if not (ROOT / path).is_file()] == []


def test_readme_begins_with_the_two_commands_that_make_has():
    assert [words[0] for words in called("make", shell_lines(README))][:2] == ["demo", "test"]


@pytest.mark.parametrize("page", ["README.md", "CONTRIBUTING.md", ".ci/run", "constraints.txt"])
def test_each_make_target_that_is_named_exists(page):
    text = (ROOT / page).read_text(encoding="utf-8")
    named = re.findall(r"(?:^|`)make ([a-z]+)", text, flags=re.MULTILINE)
    assert named
    assert set(named) <= set(targets())


def test_check_runs_each_tool_once_and_so_does_ci():
    tools = ("ruff format --check", "ruff check", "mypy --strict", "lint-imports", "pytest")
    lint, test = recipe_of("lint"), recipe_of("test")
    assert [(lint + test).count(tool) for tool in tools] == [1] * len(tools)
    assert re.search(r"^check: lint test ", MAKEFILE, flags=re.MULTILINE)
    ci = [line for line in (ROOT / ".ci" / "run").read_text(encoding="utf-8").splitlines() if line.startswith("make")]
    assert ci == ["make test", "make lint"]


def test_ci_stops_at_the_first_failure():
    assert (ROOT / ".ci" / "run").stat().st_mode & 0o111
    assert "set -euo pipefail" in (ROOT / ".ci" / "run").read_text(encoding="utf-8")


def test_an_environment_counts_as_built_only_when_all_is_installed():
    steps = recipe_of(r"\$\(STAMP\)").splitlines()
    assert re.search(r"^\$\(STAMP\): pyproject\.toml constraints\.txt$", MAKEFILE, flags=re.MULTILINE)
    assert steps[-1] == "\t@touch $(STAMP)"
    assert "venv --clear" in recipe_of(r"\$\(STAMP\)")
    waits = [name for name in targets() if re.search(rf"^{name}: \$\(STAMP\)", MAKEFILE, flags=re.MULTILINE)]
    assert {"demo", "test", "lint"} <= set(waits)


def requirements():
    """Return what the project asks for, extras and development included."""
    table = PROJECT["project"]
    lists = [table["dependencies"], *table["optional-dependencies"].values(), *PROJECT["dependency-groups"].values()]
    asked = [Requirement(line) for lines in lists for line in lines]
    return [requirement for requirement in asked if requirement.name != table["name"]]  # an extra may name another


def test_every_pin_is_a_name_and_one_exact_version():
    assert all(re.fullmatch(r"[A-Za-z0-9._-]+==[A-Za-z0-9.]+", pin) for pin in PINS)
    assert sorted(PINS, key=str.upper) == PINS


@pytest.mark.parametrize("requirement", requirements(), ids=str)
def test_what_is_pinned_is_what_is_asked_for(requirement):
    pinned = {canonicalize_name(name): version for name, _, version in (pin.partition("==") for pin in PINS)}
    assert requirement.specifier.contains(pinned[canonicalize_name(requirement.name)])


@pytest.mark.parametrize(("name", "version"), [("torch", "2.11.0"), ("torchvision", "0.26.0")])
def test_the_oldest_supported_versions_are_admitted(name, version):
    ranges = [requirement.specifier for requirement in requirements() if requirement.name == name]
    assert ranges
    assert all(asked.contains(version) for asked in ranges)
    assert f"{name} {version.removesuffix('.0')}" in README


def test_python_3_11_and_3_12_are_admitted():
    admitted = SpecifierSet(PROJECT["project"]["requires-python"])
    assert [version for version in ("3.10", "3.11", "3.12") if version in admitted] == ["3.11", "3.12"]


def test_decisions_are_numbered_without_gaps_and_each_says_what_would_change_it():
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
def test_links_between_pages_lead_somewhere(page):
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


def test_nothing_written_speaks_of_one_machine_or_of_where_packages_come_from():
    # In brackets, so that this line does not find itself.
    forbidden = re.compile(
        r"(?<![\w.])/(?:wor[k]|hom[e]|roo[t])/|py[p]i\.org|pythonhoste[d]|extra-index-ur[l]|npmj[s]", re.I
    )
    found = []
    for path in written(".ci", "docs", "src", "tests"):
        try:
            text = path.read_text(encoding="utf-8")
        except UnicodeDecodeError:
            continue
        found += [f"{path.relative_to(ROOT)}: {match[0]}" for match in [forbidden.search(text)] if match]
    assert found == []
