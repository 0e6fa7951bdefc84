"""Single settings of a recipe that replace those of its file: ``key=value`` on the command line, a dict in Python."""

from __future__ import annotations

import math
import tomllib
from collections.abc import Sequence
from typing import Any, NamedTuple

from dspkd.errors import RecipeError
from dspkd.recipes.stage import DEFAULT_DECAY


class Override(NamedTuple):
    """A setting, such as ``stages.0.epochs``, its value, and what begins each message about it."""

    key: str
    value: Any
    place: str


def parsed(setting: str) -> Override:
    """Return `setting`, such as ``stages.0.epochs=2``, whose right side is TOML.

    Raises
    ------
    RecipeError
        It is not of this form.
    """
    key, equals, value = setting.partition("=")
    if not equals:
        raise RecipeError(f"--set {setting}: must be written key=value, e.g. stages.0.epochs=2")
    try:
        return Override(key.strip(), tomllib.loads(f"value = {value}")["value"], f"--set {setting}")
    except (ValueError, RecursionError):  # not TOML, or thousands of digits or levels
        raise RecipeError(
            f"--set {setting[:200]}: {value[:200]!r} is not a TOML value; a string needs quotes: "
            f"--set '{key}=\"{value[:200]}\"'"
        ) from None


def assign(settings: dict[str, Any], overrides: Sequence[Override]) -> None:
    """Replace settings in place, each optimiser first: with it goes a weight decay that is the former one's default.

    Raises
    ------
    RecipeError
        A key reaches into what is not there.
    """
    for override in sorted(overrides, key=lambda override: not override.key.endswith(".optimizer")):
        _assign(settings, *override)


def _assign(settings: dict[str, Any], key: str, value: Any, place: str) -> None:
    if key.startswith("teacher.") and isinstance(settings.get("teacher"), str | list):
        settings["teacher"] = {"run": settings["teacher"]}  # run folders alone are short for this table
    *parents, last = key.split(".")
    target: Any = settings
    for part in parents:
        target = target.setdefault(part, {}) if isinstance(target, dict) else target[_index(target, part, place)]
    if not isinstance(target, dict):
        target[_index(target, last, place)] = value
        return
    if last == "optimizer":
        former = str(target.get("optimizer", "adamw"))
        if former != value and target.get("weight_decay", math.nan) == DEFAULT_DECAY.get(former):
            del target["weight_decay"]
    target[last] = value


def _index(items: Any, part: str, place: str) -> int:
    """Return `part` as an index of the list `items`."""
    if not isinstance(items, list):
        raise RecipeError(f"{place}: there is no {part!r} in {items!r}, which is a value")
    if not part.isdigit() or int(part) >= len(items):
        raise RecipeError(f"{place}: index out of range: {part!r}; there are {len(items)}, numbered from 0")
    return int(part)
