"""Code blocks of the documentation: each has a language, and what it shows of recipes, grids and class maps is valid.

Commands are checked by test_project.py, Python by test_public_api.py and the tests of the page's subject.
"""

import dataclasses
import re
import textwrap
import tomllib
from pathlib import Path

import pytest

from dspkd import methods
from dspkd.data import class_map
from dspkd.experiments.compare.grid import Grid
from dspkd.recipes import keys

ROOT = Path(__file__).resolve().parents[1]
PAGES = [path for path in [*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")] if path.name != "CHANGELOG.md"]
LANGUAGES = {"bash", "python", "toml", "text", "json", "ini", "js", "nginx", "kotlin", "swift", "bibtex"}
KEYS = {key.name for key in keys.all_keys()}
SECTIONS = {name.split(".")[0] for name in KEYS}
GRID_KEYS = {field.name for field in dataclasses.fields(Grid)}


def blocks(language):
    """Return ``(page, text)`` of each block in this language."""
    return [
        pytest.param(textwrap.dedent(text), id=f"{page.stem}-{number}")
        for page in PAGES
        for number, text in enumerate(
            re.findall(rf"^ *```{language}\n(.*?)^ *```", page.read_text("utf-8"), re.S | re.M)
        )
    ]


def unknown_keys(settings, place=""):
    """Yield the keys of a recipe, or of a part of one, that no recipe has."""
    for name, value in settings.items():
        here = f"{place}{name}"
        if name == "terms":
            for term in value:
                methods.check_options(term["method"], term.get("options", {}))
        if name == "options" or not isinstance(value, dict | list):
            yield from {here} - KEYS
        elif isinstance(value, dict):
            yield from unknown_keys(value, f"{here}.") if here not in KEYS else ()
        else:
            for each in value:
                yield from unknown_keys(each, f"{here}.N.") if isinstance(each, dict) else {here} - KEYS


@pytest.mark.parametrize("page", PAGES, ids=lambda path: path.stem)
def test_every_block_has_a_language(page):
    fences = re.findall(r"^ *```(.*)$", page.read_text("utf-8"), re.M)
    assert {opening.strip() for opening in fences[::2]} <= LANGUAGES
    assert set(fences[1::2]) <= {""}


@pytest.mark.parametrize("text", blocks("toml"))
def test_what_is_shown_of_recipes_grids_and_class_maps_is_valid(text, tmp_path):
    settings = tomllib.loads(text)
    if "build-system" in settings:
        return  # a package, which its guide's test installs
    if isinstance(settings.get("classes"), dict):
        (tmp_path / "classes.toml").write_text(text)
        class_map.load(tmp_path / "classes.toml")
    elif "methods" in settings or "teachers" in settings:
        assert settings.keys() <= GRID_KEYS
    elif settings.keys() == {"terms"}:
        assert [*unknown_keys(settings, "stages.N.")] == []
    elif not settings.get("stages") or settings["stages"][0]["terms"][-1]["method"] in methods.names():
        assert settings.keys() <= SECTIONS
        assert [*unknown_keys(settings)] == []
