"""Read TOML files, and turn their settings into strict dataclasses with one line for each error."""

from __future__ import annotations

import json
import tomllib
from collections.abc import Callable, Mapping
from datetime import date, time
from pathlib import Path, PurePath
from typing import Any, TypeVar

import tomli_w
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
        return tomllib.loads(path.read_text(encoding="utf-8-sig"))
    except OSError as error:
        raise RecipeError(f"{path}: cannot be read: {error.strerror}") from error
    except RecursionError:
        raise RecipeError(f"{path}: not a recipe: its tables or lists are nested too deeply") from None
    except UnicodeDecodeError as error:
        raise RecipeError(f"{path}: not text in UTF-8 (byte {error.start:,}); save it as UTF-8") from error
    except ValueError as error:  # not TOML, a number of thousands of digits
        raise RecipeError(f"{path}: not TOML: {str(error).partition(';')[0]}") from error


def plain(value: Any) -> Any:
    """Return a setting as TOML has it: a path as text, a number of NumPy as one of Python."""
    if isinstance(value, PurePath):
        return str(value)
    if hasattr(value, "tolist"):
        return value.tolist()
    if isinstance(value, Mapping):
        return {str(key): plain(each) for key, each in value.items()}
    return [plain(each) for each in value] if isinstance(value, list | tuple) else value


def as_toml(value: Any, place: str) -> str:
    """Return a setting as TOML on one line; RecipeError, which begins with `place`, for what TOML does not have."""
    value = plain(value)
    if isinstance(value, dict):
        return "{" + ", ".join(f"{as_toml(key, place)} = {as_toml(each, place)}" for key, each in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(as_toml(each, place) for each in value) + "]"
    try:
        return tomli_w.dumps({"value": value}).partition("=")[2].strip()
    except TypeError:
        raise RecipeError(f"{place}: {_not_toml(value)}") from None


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
        return TypeAdapter(kind).validate_json(json.dumps(settings, default=_refuse))
    except ValidationError as error:
        errors = _without_consequences(error.errors(include_url=False))
        lines = [_message(e, keys_beside) for e in errors[:_MOST_ERRORS]]
        if (beyond := len(errors) - _MOST_ERRORS) > 0:
            lines.append(f"and {beyond:,} more errors")
        raise RecipeError("\n".join(f"{place}: {line}" for line in lines)) from None
    except TypeError as error:  # of a key, or by `_refuse`
        raise RecipeError(f"{place}: {error}") from error
    except (RecursionError, ValueError):
        raise RecipeError(f"{place}: a value is nested too deeply, or has too many digits") from None


def _refuse(value: Any) -> None:
    """Raise TypeError for a value that JSON does not have."""
    if isinstance(value, date | time):
        raise TypeError(f"{value}: a recipe has no dates and times")
    raise TypeError(_not_toml(value))


def _not_toml(value: Any) -> str:
    return f"{value!r} is of type {type(value).__name__}; want text, a number, true or false, a list or a table"


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
