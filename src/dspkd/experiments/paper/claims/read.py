"""Read a table of results: TOML, CSV or Markdown, or the files that `dspkd compare` writes.

All metrics of a file are percentages, or all are shares of at most 1, which are converted to percentages. Figures keep
their digits: ``88.50`` is not ``88.5``.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from decimal import Decimal
from pathlib import Path
from typing import Any

from dspkd.errors import DataError, suggest
from dspkd.experiments.paper.claims.own_results import from_json
from dspkd.experiments.paper.claims.rows import COSTS, FIGURES, KEYS, WORDS, ClaimRow, Number
from dspkd.experiments.paper.claims.text_tables import from_csv, from_markdown

PAPER = Path(__file__).with_name("paper.toml")
"""The tables of the DSP-KD paper."""

_NUMBER = re.compile(r"[+-]?(?=\.?\d)\d*(?:\.(\d*))?(?:[eE]([+-]?\d{1,2}))?")
_COUNT = re.compile(r"(\d{1,3}(?:,\d{3})+|\d+(?:\.\d*)?) ?([kKMG]?)")
"""A number of parameters, such as 1,261,804 or 1.26 M."""
_POWER = {"": "", "k": "e3", "K": "e3", "M": "e6", "G": "e9"}


def read(source: str | Path) -> list[ClaimRow]:
    """Return the rows of a file, or of the DSP-KD paper if `source` is ``paper`` and no such file exists.

    Raises
    ------
    DataError
        It cannot be read, or has an invalid key or value; names file, row and key.
    """
    path = PAPER if str(source) == "paper" and not Path(source).exists() else Path(source)
    reader = _READERS.get(path.suffix.lower())
    if reader is None:
        raise DataError(f"{path}: expected a file that ends in {', '.join(_READERS)}, or the word paper")
    try:
        text = path.read_text(encoding="utf-8-sig")
        raw = reader(text)
        if not raw:
            raise DataError("has no row; expected a row for each model")
        rows = [_row(settings, f"row {number}") for number, settings in enumerate(raw, start=1)]
        return _in_percent(rows)
    except OSError as error:
        raise DataError(f"{path}: cannot be read: {error.strerror}") from None
    except (ValueError, RecursionError) as error:
        raise DataError(f"{path}: is not {path.suffix[1:].upper()}: {error}") from None
    except DataError as error:
        raise DataError(f"{path}: {error}") from None


def _from_toml(text: str) -> list[dict[str, Any]]:
    content = tomllib.loads(text, parse_float=str)
    _require_known_keys(content, ("title", "data", "rows"), "the file")
    data, rows = content.get("data", {}), content.get("rows", [])
    if not (isinstance(rows, list) and all(isinstance(row, dict) for row in rows)):
        raise DataError("rows must be tables; write [[rows]] above each")
    if not (isinstance(data, dict) and all(isinstance(each, dict) for each in data.values())):
        raise DataError("data must be tables; write [data.NAME] above the images and classes of each data set")
    for name, settings in data.items():
        _require_known_keys(settings, ("images", "classes", "classes_assume"), f"data.{name}")
    return [data.get(row.get("data", ""), {}) | row for row in rows]


_READERS: dict[str, Callable[[str], list[dict[str, Any]]]] = {
    ".toml": _from_toml,
    ".csv": from_csv,
    ".md": from_markdown,
    ".json": from_json,
}


def _row(settings: Mapping[str, Any], place: str) -> ClaimRow:
    """Return a row with all keys and values checked."""
    _require_known_keys(settings, KEYS, place)
    if not str(settings.get("model", "")).strip():
        raise DataError(f"{place}: has no model; name the model or method of its figures")
    place = f"{place} ({settings['model']})"
    role = settings.get("role")
    if role not in (None, "teacher", "baseline", "student"):
        raise DataError(f"{place}: role {role!r} is not known; expected teacher, baseline or student")
    for key in ("sd", "f1_of", "classes"):
        if not isinstance(settings.get(key, {}), dict):
            raise DataError(f"{place}: {key} must be a table such as {{ NAME = 0.31 }}, got {settings[key]!r}")
    words = {key: str(settings[key]) for key in WORDS if key in settings and key != "role"}
    at = words.get("table", "")
    figures = {key: _number(_count(settings[key], key), at, f"{place}: {key}") for key in FIGURES if key in settings}
    delta = figures.pop("delta", None)
    spreads = {key: _number(each, at, f"{place}: sd of {key}") for key, each in settings.get("sd", {}).items()}
    f1_of = {key: _number(each, at, f"{place}: f1 of {key}") for key, each in settings.get("f1_of", {}).items()}
    classes = {key: _whole(each, f"{place}: images of {key}") for key, each in settings.get("classes", {}).items()}
    return ClaimRow(
        **words,
        role=role,
        figures=figures,
        spreads=spreads,
        f1_of=f1_of,
        delta=delta,
        runs=_whole(settings.get("runs", 1), f"{place}: runs"),
        images=_images(settings.get("images"), place),
        classes={key: count for key, count in classes.items() if count},
        empty_classes=not all(classes.values()),
        classes_assume=str(settings.get("classes_assume", "")),
        assumes={at: str(settings["assumes"])} if "assumes" in settings else {},
    )


def _count(value: Any, key: str) -> Any:
    """Return a number of parameters without separators and unit; what is none, and other figures, as they are."""
    match = _COUNT.fullmatch(str(value).strip()) if key == "parameters" else None
    return f"{match[1].replace(',', '')}{_POWER[match[2]]}" if match else value


def _number(value: Any, table: str, place: str) -> Number:
    text = str(value).strip().rstrip("%").strip()
    if not (match := _NUMBER.fullmatch(text)):
        raise DataError(f"{place} is {value!r}; expected a number, such as 87.39{_spread(text)}")
    return Number(float(text), len(match[1] or "") - int(match[2] or 0), table)


def _spread(text: str) -> str:
    """Return how to write a figure with another in brackets, of which only the author knows what it is."""
    number, bracket, second = text.partition("(")
    if not (bracket and _NUMBER.fullmatch(number.strip()) and _NUMBER.fullmatch(second.rstrip(") "))):
        return ""
    return f"; if the bracket has a standard deviation over seeds, write {number.strip()} ± {second.rstrip(') ')}"


def _whole(value: Any, place: str) -> int:
    text = str(value).strip().replace(",", "")
    if not text.isdigit():
        raise DataError(f"{place} is {value!r}; expected a whole number")
    return int(text)


def _images(value: Any, place: str) -> tuple[int, int] | None:
    if value is None:
        return None
    ends = [_whole(each, f"{place}: images") for each in (value if isinstance(value, list) else [value])]
    if not 1 <= len(ends) <= 2 or not 0 < ends[0] <= ends[-1]:
        raise DataError(f"{place}: images {value!r}; expected a number of test images, or the least and the greatest")
    return ends[0], ends[-1]


def _in_percent(rows: Sequence[ClaimRow]) -> list[ClaimRow]:
    """Return the rows with metrics in percent; a file has one unit.

    In a file of percentages the F1 of a class may be 1 or less; in one of shares a difference above 1 is in points.
    """
    scores = [n.value for row in rows for m, n in row.figures.items() if m not in (*COSTS, "gmacs")]
    values = [*scores, *(n.value for row in rows for n in row.f1_of.values())]
    if not values or max(values) > 1:
        low = [value for value in scores if 0 < value <= 1]
        if low:
            raise DataError(f"has figures above 1 and {low[0]}; write all metrics as percentages, or all as shares")
        if wrong := [value for value in values if not 0 <= value <= 100]:
            raise DataError(f"has a metric of {wrong[0]}; a percentage lies between 0 and 100")
        return list(rows)

    def percent(numbers: Mapping[str, Number]) -> dict[str, Number]:
        return {
            key: each
            if key in (*COSTS, "gmacs")
            else Number(float(100 * Decimal(str(each.value))), each.digits - 2, each.place)
            for key, each in numbers.items()
        }

    return [
        replace(
            row,
            figures=percent(row.figures),
            spreads=percent(row.spreads),
            f1_of=percent(row.f1_of),
            delta=percent({"": row.delta})[""] if row.delta and abs(row.delta.value) <= 1 else row.delta,
        )
        for row in rows
    ]


def _require_known_keys(settings: Mapping[str, Any], keys: Sequence[str], place: str) -> None:
    for key in settings:
        if key not in keys:
            raise DataError(f"{place}: no such key: {key!r}; {suggest(key, keys)}")
