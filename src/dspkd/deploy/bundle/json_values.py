"""Values in the JSON files of a bundle, each checked where it is read."""

from __future__ import annotations

import json
import math
import unicodedata
from typing import Any, NoReturn, TypeVar

from dspkd.errors import BundleError

V = TypeVar("V")

LONGEST_LINE = 2000
"""Limit of the characters of a name or a sentence."""

_NOT_SHOWN = {"Cc", "Cs", "Zl", "Zp"}
"""Unicode's categories of control characters, halves of a pair, and separators of lines and paragraphs."""

_DIRECTIONS = {"LRE", "RLE", "LRO", "RLO", "PDF", "LRI", "RLI", "FSI", "PDI"}
"""Unicode's marks that show text in another order than it is written in."""


def read_json(text: bytes, place: str) -> dict[str, Any]:
    """Return the object in a JSON file of a bundle.

    Raises
    ------
    BundleError
        It is not JSON in UTF-8, not an object, has a key twice, a number that is not finite, or a character that
        terminals do not show as it is.
    """
    try:
        content = json.loads(text.decode("utf-8"), object_pairs_hook=_unique, parse_constant=_not_finite)
    except (ValueError, RecursionError) as error:
        raise BundleError(f"{place}: not JSON: {error}") from None
    if not isinstance(content, dict):
        raise BundleError(f"{place}: holds {type(content).__name__}; want an object")
    remaining: list[Any] = [content]
    while remaining:
        value = remaining.pop()
        if isinstance(value, dict):
            remaining += [*value, *value.values()]
        elif isinstance(value, list):
            remaining += value
        elif isinstance(value, str):
            check_text(value, place)
    return content


def check_text(text: str, place: str) -> None:
    """Check that a text has no control character but the end of a line and the tab, and keeps its order.

    Raises
    ------
    BundleError
        It has one; the message names it.
    """
    for character in set(text) - {"\n", "\r", "\t"}:
        if unicodedata.category(character) in _NOT_SHOWN or unicodedata.bidirectional(character) in _DIRECTIONS:
            raise BundleError(f"{place}: a text has the character U+{ord(character):04X}, which hides what it says")


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    unique = dict(pairs)
    if len(unique) < len(pairs):
        raise ValueError("a key is there twice")
    return unique


def _not_finite(name: str) -> NoReturn:
    raise ValueError(f"{name} is no number")


def at(content: Any, key: str, kind: type[V], place: str) -> V:
    """Return the value of a key of a JSON object, which must be of this type.

    Raises
    ------
    BundleError
        It is of another type, or there is no such key; `place` begins the message.
    """
    if not isinstance(content, dict) or key not in content:
        raise BundleError(f"{place}: {key} is missing")
    value = content[key]
    if not isinstance(value, kind) or isinstance(value, bool):
        raise BundleError(f"{place}.{key}: {short(value)}; want {kind.__name__}")
    return value


def line(content: Any, key: str, place: str) -> str:
    """Return the text under a key, which must fit into one line; raises as `at` does."""
    text = at(content, key, str, place)
    if len(text) > LONGEST_LINE or any(unicodedata.category(character) in _NOT_SHOWN for character in text):
        limit = f"at most {LONGEST_LINE:,} characters, without a tab or the end of a line"
        raise BundleError(f"{place}.{key}: {short(text)}; want one line of {limit}")
    return text


def number(content: Any, key: str, place: str, between: tuple[float, float] = (-math.inf, math.inf)) -> float:
    """Return the finite number under a key, within limits; raises as `at` does."""
    value = content.get(key) if isinstance(content, dict) else None
    low, high = between
    # An integer that no float can hold compares with one all the same.
    if not isinstance(value, int | float) or isinstance(value, bool) or not -_LARGEST <= value <= _LARGEST:
        raise BundleError(f"{place}.{key}: {short(value)}; want a number")
    if not low <= value <= high:
        raise BundleError(f"{place}.{key}: {short(value)}; want a number from {low:g} to {high:g}")
    return float(value)


_LARGEST = 1.7e308


def short(value: Any) -> str:
    """Return a value of a file for a message, cut to one short line."""
    shown = repr(value)
    return shown if len(shown) <= 80 else f"{shown[:80]}..."
