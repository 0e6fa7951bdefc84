"""Every key of a recipe with its type, default and meaning, read from the schema itself."""

from __future__ import annotations

import ast
import inspect
import textwrap
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from pydantic import TypeAdapter

from dspkd.recipes.schema import Recipe, sections_in

_TYPES = {
    "string": "text",
    "integer": "integer",
    "number": "number",
    "boolean": "true or false",
    "object": "table",
    "null": "",
}
_BOUNDS = {"minimum": ">=", "exclusiveMinimum": ">", "maximum": "<=", "exclusiveMaximum": "<"}


@dataclass(frozen=True)
class Key:
    """A key of a recipe.

    Attributes
    ----------
    name
        Its place, such as ``train.ema``; ``N`` stands for the number of a stage or term, from 0.
    type
        The values that it takes, in words.
    default
        As TOML would hold it; ``required`` where there is none, ``-`` where leaving it out has a meaning of its own.
    text
        What it does, with its unit, in Markdown.
    """

    name: str
    type: str
    default: str
    text: str


def all_keys() -> list[Key]:
    """Return all keys in the order of the schema."""
    root = TypeAdapter(Recipe).json_schema()
    return list(_of_section(Recipe, root, root["$defs"], ""))


def markdown() -> str:
    """Return the page of all keys, a table for each section."""
    lines = [
        "# Recipe keys",
        "",
        "<!-- generated: dspkd recipes keys --table > docs/recipe.md -->",
        "",
        "A recipe is a TOML file. `dspkd recipes check FILE` says which key is wrong and where; `--set KEY=VALUE`",
        "changes one for a single command. `N` is the number of a stage or term, counted from 0. Options of a term are",
        "those of its [method](methods.md).",
    ]
    sections: dict[str, list[Key]] = {}
    for key in all_keys():
        sections.setdefault(key.name.rpartition(".")[0], []).append(key)
    for section, members in sections.items():
        lines += ["", f"## {section or 'Top level'}", "", "| key | values | default | meaning |", "|---|---|---|---|"]
        for key in members:
            cells = (f"`{key.name}`", key.type, f"`{key.default}`", key.text)
            lines.append("| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |")
    return "\n".join(lines) + "\n"


def _of_section(of: type, section: Mapping[str, Any], defs: Mapping[str, Any], prefix: str) -> Iterator[Key]:
    texts, inner = _texts(of), sections_in(of)
    nested = []
    for field in texts:
        value = section["properties"][field]
        place = f"{prefix}{field}"
        if words := _words(value):
            required = field in section.get("required", ())
            yield Key(place, words, "required" if required else _default(value), texts[field])
        if field in inner:
            nested.append((inner[field], f"{place}.N." if value.get("type") == "array" else f"{place}."))
    for kind, place in nested:
        yield from _of_section(kind, defs[kind.__name__], defs, place)


def _words(value: Mapping[str, Any]) -> str:
    """Return the values that a key takes, such as ``integer > 0 or "fresh"``; empty for a section."""
    if "anyOf" in value:
        return " or ".join(words for each in value["anyOf"] if (words := _words(each)))
    if "const" in value or "enum" in value:
        values = value.get("enum", [value.get("const")])
        return " or ".join(f'`"{each}"`' if isinstance(each, str) else f"`{each}`" for each in values)
    if value.get("type") == "array":
        items = _words(value["items"])
        return f"list of {items}" if items else ""
    bounds = [f"{sign} {value[bound]:.9g}" for bound, sign in _BOUNDS.items() if bound in value]
    return " ".join(filter(None, [_TYPES.get(value.get("type", ""), ""), " and ".join(bounds)]))


def _default(value: Mapping[str, Any]) -> str:
    default = value.get("default")
    if default is None:
        return "-"
    if isinstance(default, bool):
        return str(default).lower()
    return f'"{default}"' if isinstance(default, str) else str(default)


def _texts(section: type) -> dict[str, str]:
    """Return for each field of a class, in order, the docstring below it on one line; empty where there is none."""
    (tree,) = ast.parse(textwrap.dedent(inspect.getsource(section))).body
    assert isinstance(tree, ast.ClassDef)
    texts = {}
    for field, below in pairwise([*tree.body, ast.Pass()]):
        if isinstance(field, ast.AnnAssign) and isinstance(field.target, ast.Name):
            text = str(ast.literal_eval(below.value)) if isinstance(below, ast.Expr) else ""
            texts[field.target.id] = " ".join(text.split())
    return texts
