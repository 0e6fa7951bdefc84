"""Read TOML files, and turn their settings into strict dataclasses with one line for each error."""

from __future__ import annotations

import json
import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

from pydantic import TypeAdapter, ValidationError

from dspkd.errors import RecipeError, suggest

T = TypeVar("T")

_MOST_ERRORS = 20
"""Errors of a file that are listed: a key that is wrong in each of a hundred stages is wrong in the first."""

_RENAMED = {"pictures": "images", "bank": "teacher_cache", "arms": "methods", "tensorboard": "loggers"}
"""Old keys of recipes and grids, which are refused with the new one."""


def read_toml(path: Path) -> dict[str, Any]:
    """Return the settings in a TOML file.

    Raises
    ------
    RecipeError
        The file cannot be read or is not TOML.
    """
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise RecipeError(f"{path}: cannot be read: {error.strerror}") from error
    except RecursionError:
        raise RecipeError(f"{path}: not a recipe: its tables or lists are nested too deeply") from None
    except ValueError as error:  # not TOML, not UTF-8, a number of thousands of digits
        raise RecipeError(f"{path}: not TOML: {str(error).partition(';')[0]}") from error


def validated(kind: type[T], settings: dict[str, Any], place: str, keys_beside: Callable[[list[str]], list[str]]) -> T:
    """Return `settings`, as read from TOML, as the strict dataclass `kind`.

    Parameters
    ----------
    kind
        The dataclass.
    settings
        Settings as read from TOML.
    place
        Beginning of each error message.
    keys_beside
        Returns the keys that are valid at the place of an unknown key.

    Raises
    ------
    RecipeError
        One line for each error, up to twenty.
    """
    try:
        return TypeAdapter(kind).validate_json(json.dumps(settings))
    except ValidationError as error:
        errors = _without_consequences(error.errors(include_url=False))
        lines = [_message(e, keys_beside) for e in errors[:_MOST_ERRORS]]
        if (beyond := len(errors) - _MOST_ERRORS) > 0:
            lines.append(f"and {beyond:,} more errors")
        raise RecipeError("\n".join(f"{place}: {line}" for line in lines)) from None
    except TypeError as error:  # a TOML date
        raise RecipeError(f"{place}: {error}; a recipe has no dates and times") from error
    except (RecursionError, ValueError):
        raise RecipeError(f"{place}: a value is nested too deeply, or has too many digits") from None


def _without_consequences(errors: list[Any]) -> list[Any]:
    """Return pydantic's errors without those that follow from another: a list too short, a renamed key missing."""
    inner = {e["loc"][:-1] for e in errors}
    renamed = {
        (*e["loc"][:-1], _RENAMED.get(e["loc"][-1])) for e in errors if e["type"] == "unexpected_keyword_argument"
    }
    return [
        e
        for e in errors
        if not (e["type"] == "too_short" and any(i[: len(e["loc"])] == e["loc"] for i in inner))
        and not (e["type"] == "missing" and e["loc"] in renamed)
    ]


def _message(error: Any, keys_beside: Callable[[list[str]], list[str]]) -> str:
    """Return one line for one of pydantic's errors: place, what is wrong, remedy."""
    place = [str(part) for part in error["loc"]]
    message = error["msg"].removeprefix("Value error, ")
    if error["type"] == "unexpected_keyword_argument":
        keys = keys_beside(place)
        if (new := _RENAMED.get(place[-1])) in keys:
            return f"{'.'.join(place)}: renamed; write {'.'.join([*place[:-1], str(new)])}"
        message = f"no such key; {suggest(place[-1], keys)}"
    elif error["type"] != "value_error" and not isinstance(error["input"], dict | list):
        message += f", got {error['input']!r}"
    return f"{'.'.join(place)}: {message}" if place else message
