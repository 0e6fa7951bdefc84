"""Errors of a recipe: which are listed."""

import tomllib
from datetime import date, datetime, time
from pathlib import Path

import numpy as np
import pytest

from dspkd.errors import RecipeError
from dspkd.recipes import catalog, schema
from dspkd.recipes.parsing import as_toml, plain, read_toml


def test_of_many_errors_the_first_twenty_are_listed_and_the_others_counted():
    stage = {"epochs": 0, "lr": 0.0, "terms": [{"method": "labels"}]}
    settings = {"name": "x", "data": {"path": "images"}, "model": {"name": "tiny"}}
    with pytest.raises(RecipeError) as refused:
        schema.parse(settings | {"stages": [stage | {"name": f"s{s}"} for s in range(50)]})
    lines = str(refused.value).split("\n")
    assert lines[0].startswith("recipe: stages.0.epochs: ")
    assert (len(lines), lines[-1]) == (21, "recipe: and 80 more errors")


def test_a_byte_order_mark_is_no_setting_and_other_encodings_are_named(tmp_path):
    text = catalog.find("demo/plain").read_text(encoding="utf-8")
    for encoding in ("utf-8", "utf-8-sig"):
        (tmp_path / "r.toml").write_text(text, encoding=encoding)
        assert schema.load(tmp_path / "r.toml") == schema.load(catalog.find("demo/plain"))
    for content in (text.encode("utf-16"), "name = 'naïve'".encode("latin-1")):
        (tmp_path / "r.toml").write_bytes(content)
        with pytest.raises(RecipeError, match=r"r\.toml: not text in UTF-8 \(byte \d+\); save it as UTF-8"):
            read_toml(tmp_path / "r.toml")


VALUES = [True, 3, 0.5, 1e-7, "no😀imgs", 'a "b" = c\n\\d', [1, [2]], {"num_ops": 1, "a b": {"c": ["d"]}}, [], {}]


@pytest.mark.parametrize("value", VALUES)
def test_a_setting_as_toml_is_read_back_as_it_is(value):
    line = as_toml(value, "set x")
    assert "\n" not in line
    assert tomllib.loads(f"value = {line}") == {"value": value}


def test_paths_and_numbers_of_numpy_are_plain():
    given = {"path": Path("a/b"), "size": np.int64(32), "of": (np.float64(0.5), np.bool_(True)), "all": np.arange(2)}
    assert plain(given) == {"path": "a/b", "size": 32, "of": [0.5, True], "all": [0, 1]}
    assert tomllib.loads(f"value = {as_toml(given, 'set x')}") == {"value": plain(given)}
    with pytest.raises(RecipeError, match=r"^set x: None is of type NoneType; want text"):
        as_toml(None, "set x")


@pytest.mark.parametrize("value", [date(2020, 1, 1), datetime(2020, 1, 1), time(12), {1, 2}, 1j])
def test_only_dates_and_times_are_called_so(value):
    settings = {"name": "x", "seed": value}
    with pytest.raises(RecipeError) as refused:
        schema.parse(settings)
    assert ("no dates and times" in str(refused.value)) is isinstance(value, date | time)
    assert ("want text, a number" in str(refused.value)) != isinstance(value, date | time)
