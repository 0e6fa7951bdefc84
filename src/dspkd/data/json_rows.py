"""Tables in JSON: an object a line, a list of objects, or one of the forms of `json_shapes`."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

from dspkd.data import json_shapes
from dspkd.data.csv_rows import lines_of
from dspkd.errors import DataError

LINES, LIST = (".jsonl", ".ndjson"), ".json"
"""Suffixes of both, in lower case. A ``.json`` may be anything else too."""

_FIRST = 1_000_000
"""Characters within which the first object of a list ends."""


def entries(path: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    """Yield each object of a table with its line, or its place in the list, counted from 1.

    Of an object within it, ``{"patient": {"id": 7}}``, each value has a name of its own, ``patient.id``.

    Raises
    ------
    DataError
        The file cannot be read, is not JSON, or holds something else than objects.
    """
    every = _of_document(path) if path.suffix.lower() == LIST else _of_lines(path)
    return ((number, _flat(entry)) for number, entry in every)


def names(path: Path) -> tuple[str, ...]:
    """Return the names in the first object; empty where there is none. Of lines, a broken one is a DataError."""
    first = _first_of_document(path) if path.suffix.lower() == LIST else next(_of_lines(path), (0, {}))[1]
    return tuple(_flat(first))


def _flat(entry: dict[str, Any]) -> dict[str, Any]:
    """Return an object without objects within it.

    >>> _flat({"image": "a.jpg", "patient": {"id": 7, "seen": {"in": 2024}}, "tags": {}})
    {'image': 'a.jpg', 'patient.id': 7, 'patient.seen.in': 2024}
    """
    flat: dict[str, Any] = {}
    stack = [("", entry)]
    while stack:
        before, inner = stack.pop()
        for name, value in inner.items():
            if isinstance(value, dict):
                stack.append((f"{before}{name}.", value))
            else:
                flat.setdefault(f"{before}{name}", value)
    return flat


def _of_lines(path: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    """Yield each line's number and object. Only a line feed ends a line: JSON may hold other line separators."""
    for number, line in enumerate(lines_of(path), start=1):
        if not line.strip():
            continue
        try:
            entry = json.loads(line)
        except (json.JSONDecodeError, RecursionError) as e:
            raise DataError(f"{path}, line {number}: not JSON: {e}") from None
        if not isinstance(entry, dict):
            raise DataError(f'{path}, line {number}: expected an object such as {{"file_name": ...}}, got {line[:40]}')
        yield number, entry


def _of_document(path: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    """Yield each object of a JSON list, or of a table in another form, with its place, counted from 1."""
    try:
        document = json.loads("".join(lines_of(path)))
    except (json.JSONDecodeError, RecursionError) as e:
        raise DataError(f"{path}: not JSON: {e}") from None
    listed = document if isinstance(document, list) else None
    entries = json_shapes.of_object(document, str(path)) if isinstance(document, dict) else listed
    if entries is None:
        raise DataError(f'{path}: expected a list of objects such as [{{"image": ..., "label": ...}}], or COCO')
    for number, entry in enumerate(entries, start=1):
        if not isinstance(entry, dict):
            raise DataError(f"{path}, entry {number}: expected an object, got {str(entry)[:40]}")
        yield number, json_shapes.of_task(entry) if json_shapes.is_task(entry) else entry


def _first_of_document(path: Path) -> dict[str, Any]:
    """Return the first object of a list, of which no more is read, or of a table in another form; {} where none is."""
    with path.open(encoding="utf-8-sig", errors="replace") as file:
        text = file.read(_FIRST).lstrip()
    if text.startswith("{"):
        with suppress(DataError):
            return next(_of_document(path))[1]
        return {}
    try:
        entry, _ = json.JSONDecoder().raw_decode(text.removeprefix("[").lstrip())
    except (json.JSONDecodeError, RecursionError):
        return {}
    if not (text.startswith("[") and isinstance(entry, dict)):
        return {}
    return json_shapes.of_task(entry) if json_shapes.is_task(entry) else entry
