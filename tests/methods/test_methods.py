"""Lookup by name, options, and methods of other packages."""

import re
from importlib.metadata import EntryPoint
from pathlib import Path
from typing import Literal

import pytest

from dspkd import methods
from dspkd.errors import RecipeError
from dspkd.methods import Option, Term, check_options, find, names, options
from dspkd.methods.kd import KD


def offer(monkeypatch, *entries):
    monkeypatch.setattr(methods, "_entries", lambda: [EntryPoint(n, v, methods.GROUP) for n, v in entries])


def test_the_name_of_a_method_is_that_of_its_file():
    assert {"hierarchical_fusion", "kd", "labels", "mgd", "normkd"} <= set(names())
    assert names() == sorted(names())
    assert find("kd") is KD


def test_the_guide_says_of_every_method_what_it_needs_from_a_teacher():
    page = Path(__file__).resolve().parents[2] / "docs" / "how-to" / "your-own-teacher.md"
    table = page.read_text(encoding="utf-8").partition("## What a method needs")[2].partition("\n\n## ")[0]
    columns = [line.split("|")[1] for line in table.splitlines() if "|" in line]
    named = {word for methods_of_row in columns for word in re.findall("`(.*?)`", methods_of_row)}
    assert {name for name in names() if methods.declaration(name).needs_teacher} <= named


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("normdk", "no method is called 'normdk'; did you mean 'normkd'"),
        ("_term", "no method is called '_term'"),
        ("zzzz", "no method is called 'zzzz'; known: .*kd, .*mgd"),
    ],
)
def test_an_unknown_method_is_refused_with_the_nearest_name(name, message):
    with pytest.raises(RecipeError, match=message):
        find(name)


def test_another_package_may_offer_a_method(monkeypatch):
    offer(monkeypatch, ("theirs", "dspkd.methods.kd:KD"))
    assert "theirs" in names()
    assert find("theirs") is KD


@pytest.mark.parametrize("call", [names, lambda: find("kd"), lambda: find("theirs")])
@pytest.mark.parametrize(
    ("entries", "message"),
    [
        ([("kd", "their.module:KD")], "'kd' is offered by dspkd itself and by their.module:KD"),
        ([("x", "a:X"), ("x", "b:X")], "'x' is offered by a:X of .* and by b:X"),
    ],
)
def test_two_methods_of_one_name_are_refused(monkeypatch, call, entries, message):
    offer(monkeypatch, *entries)
    with pytest.raises(RecipeError, match=message):
        call()


@pytest.mark.parametrize("value", ["json:dumps", "json:JSONDecoder"])
def test_an_entry_point_that_is_no_term_is_refused(monkeypatch, value):
    offer(monkeypatch, ("theirs", value))
    with pytest.raises(RecipeError, match=f"'theirs': {value} of .* is not a dspkd.methods.Term"):
        find("theirs")


def test_options_are_the_keyword_only_arguments():
    assert list(options("mgd")) == ["target", "mask_ratio", "mask", "hidden", "generator"]
    assert options("mgd")["mask"] == Option(Literal["channel", "spatial"], "channel")
    assert options("mgd")["mask_ratio"].default == 0.15
    kinds = [option.kind for option in options("mgd").values()]
    assert kinds == ["str", "float", "'channel' | 'spatial'", "int", "'conv' | 'separable'"]


@pytest.mark.parametrize(
    "given",
    [
        {},
        {"mask_ratio": 0},
        {"mask_ratio": 0.5, "mask": "spatial"},
        {"hidden": 64, "target": "stride16"},
        {"generator": "separable"},
    ],
)
def test_good_options_pass(given):
    check_options("mgd", given)


@pytest.mark.parametrize(
    ("name", "given", "message"),
    [
        ("mgd", {"mask_ratoi": 0.1}, r"^mgd\.mask_ratoi: no such option; did you mean 'mask_ratio'\?$"),
        ("mgd", {"zzzz": 0.1}, r"^mgd\.zzzz: no such option; known: target, mask_ratio, mask, hidden, generator$"),
        ("mgd", {"student": 1}, r"mgd\.student: no such option"),
        ("mgd", {"mask": "chanel"}, r"^mgd\.mask: should be 'channel' or 'spatial', got 'chanel'$"),
        ("mgd", {"mask_ratio": True}, r"mgd\.mask_ratio: should be a valid number, got True"),
        ("mgd", {"mask_ratio": "0.1"}, r"mgd\.mask_ratio: should be a valid number, got '0.1'"),
        ("mgd", {"mask_ratio": 1.0}, r"mgd\.mask_ratio: should be less than 1, got 1.0"),
        ("mgd", {"mask_ratio": -0.1}, r"mgd\.mask_ratio: should be greater than or equal to 0, got -0.1"),
        ("mgd", {"hidden": True}, r"mgd\.hidden: should be a valid integer, got True"),
        ("mgd", {"hidden": 2.0}, r"mgd\.hidden: should be a valid integer, got 2.0"),
        ("mgd", {"hidden": -1}, r"mgd\.hidden: should be greater than or equal to 0, got -1"),
        ("mgd", {"generator": "seperable"}, r"^mgd\.generator: should be 'conv' or 'separable', got 'seperable'$"),
        ("mgd", {"target": 3}, r"mgd\.target: should be a valid string, got 3"),
        ("kd", {"temperature": 0}, r"kd\.temperature: should be greater than 0, got 0"),
        ("kd", {"temperature": float("nan")}, r"kd\.temperature: should be a finite number, got nan"),
        ("hierarchical_fusion", {"width": 0}, r"hierarchical_fusion\.width: should be greater than or equal to 1"),
        ("hierarchical_fusion", {"gate": float("inf")}, r"hierarchical_fusion\.gate: should be a finite number"),
        ("kdd", {}, "no method is called 'kdd'; did you mean 'kd'"),
    ],
)
def test_a_bad_option_is_refused_by_name(name, given, message):
    with pytest.raises(RecipeError, match=message):
        check_options(name, given)


def test_a_method_without_options_is_named_in_the_error(monkeypatch):
    class Bare(Term):
        def __init__(self, student, teacher):
            super().__init__(student, teacher)

    monkeypatch.setattr(methods, "find", lambda name: Bare)
    with pytest.raises(RecipeError, match=r"bare\.x: no such option; it has none"):
        check_options("bare", {"x": 1})
