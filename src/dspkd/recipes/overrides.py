"""Single settings of a recipe, given on the command line as ``key=value``."""

from __future__ import annotations

import tomllib
from typing import Any

from dspkd.errors import RecipeError


def override(settings: dict[str, Any], setting: str) -> None:
    """Apply `setting`, such as ``stages.0.epochs=2``, to `settings` in place; its right side is TOML.

    Raises
    ------
    RecipeError
        It is not of this form, or its key does not exist.
    """
    key, equals, value = setting.partition("=")
    if not equals:
        raise RecipeError(f"--set {setting}: must be written key=value, e.g. stages.0.epochs=2")
    try:
        parsed = tomllib.loads(f"value = {value}")["value"]
    except (ValueError, RecursionError):  # not TOML, or thousands of digits or levels
        raise RecipeError(
            f"--set {setting[:200]}: {value[:200]!r} is not a TOML value; a string needs quotes: "
            f"--set '{key}=\"{value[:200]}\"'"
        ) from None
    assign(settings, key.strip(), parsed, place=f"--set {setting}")


def assign(settings: dict[str, Any], key: str, value: Any, *, place: str) -> None:
    """Set `key`, such as ``stages.0.epochs``, of `settings` in place; `place` begins each message.

    Raises
    ------
    RecipeError
        It reaches into what is not there.
    """
    if key.startswith("teacher.") and isinstance(settings.get("teacher"), str | list):
        settings["teacher"] = {"run": settings["teacher"]}  # run folders alone are short for this table
    *parents, last = key.split(".")
    target: Any = settings
    for part in parents:
        target = target.setdefault(part, {}) if isinstance(target, dict) else target[_index(target, part, place)]
    if isinstance(target, dict):
        target[last] = value
    else:
        target[_index(target, last, place)] = value


def _index(items: Any, part: str, place: str) -> int:
    """Return `part` as an index of the list `items`."""
    if not isinstance(items, list):
        raise RecipeError(f"{place}: there is no {part!r} in {items!r}, which is a value")
    if not part.isdigit() or int(part) >= len(items):
        raise RecipeError(f"{place}: index out of range: {part!r}; there are {len(items)}, numbered from 0")
    return int(part)
