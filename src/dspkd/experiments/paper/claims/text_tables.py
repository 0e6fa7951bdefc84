"""Tables of results as text, CSV or Markdown: their rows as the settings that a TOML file would have."""

from __future__ import annotations

import csv
import re
from collections.abc import Mapping, Sequence
from typing import Any

from dspkd.errors import DataError, suggest
from dspkd.experiments.paper.claims.rows import COSTS, FIGURES, KEYS, METRICS

_CODE = re.compile(r"^```.*?^```", flags=re.MULTILINE | re.DOTALL)
_HEADING = r"^(#{2,6}) +(.*?)[ #]*$"
_LINE = r"^.*\|.*\n?"
_RULE = r"^[ \t]*\|?[ \t]*:?-+:?[ \t]*(?:\|[ \t]*:?-+:?[ \t]*)*\|?[ \t]*$\n?"
"""The second line of a table, ``| --- | ---: |``; the bars at the ends of lines may be left out."""
_HEADING_OR_TABLE = re.compile(rf"{_HEADING}|{_LINE}{_RULE}(?:{_LINE})*", flags=re.MULTILINE)
_MARKS = re.compile(r"<sup>.*?</sup>|\*|__|[`$\u2020\u2021\u00a7\u00b6]|\s*\[\w+\]$")
"""Bold print and references to footnotes."""
_USUAL = {"\N{MINUS SIGN}": "-", r"\pm": "±", "+/-": "±", "+-": "±"}
_MISSING = ("", "-", "\N{EN DASH}", "\N{EM DASH}", "n/a", "na", "nan", "n.a.")
_OTHER_MEANS = re.compile(r"\(.*(weight|micro|valid|train).*\)")
"""Headings of figures that are no macro means of a test set."""

_CALLED = {
    "acc": "accuracy",
    "arm": "model",
    "bacc": "balanced_accuracy",
    "balancedaccuracy": "balanced_accuracy",
    "f1score": "f1",
    "flops": "gmacs",
    "inferencetime": "time",
    "macroaveragef1": "f1",
    "macrof1": "f1",
    "macroprecision": "precision",
    "macrorecall": "recall",
    "macrospecificity": "specificity",
    "method": "model",
    "params": "parameters",
    "seeds": "runs",
    "sensitivity": "recall",
    "top1": "accuracy",
    "top1accuracy": "accuracy",
}
_CALLED |= {re.sub("[^a-z0-9]", "", key): key for key in (*KEYS, "seed")}


def from_csv(text: str) -> list[dict[str, Any]]:
    """Return the rows of a CSV, whose cells are separated by commas, semicolons or tabs."""
    lines = [line for line in text.splitlines() if line.strip() and not line.startswith("#")]
    table = list(csv.reader(lines, delimiter=max(",;\t", key=lines[0].count))) if lines else [[]]
    headings = _headings(table[0])
    for each, written in zip(headings, table[0], strict=True):
        if not each:
            raise DataError(f"no column is called {written!r}; {suggest(written, KEYS)}")
    return [row for cells in table[1:] for row in _runs(_cells(headings, cells))]


def from_markdown(text: str) -> list[dict[str, Any]]:
    """Return the rows of all tables with a model and a figure; other columns and tables are skipped.

    Without a column of data, the data are what the headings above the table are called, but for the title of the page:
    a method that several comparisons have is another one in each.
    """
    rows: list[dict[str, Any]] = []
    above: list[tuple[int, str]] = []
    for found in _HEADING_OR_TABLE.finditer(_CODE.sub("", text)):
        if found[1]:
            above = [each for each in above if each[0] < len(found[1])] + [(len(found[1]), found[2])]
            continue
        lines = [
            re.split(r"(?<!\\)\|", line.strip().removeprefix("|").removesuffix("|")) for line in found[0].splitlines()
        ]
        table = [[cell.strip(" *`").replace(r"\|", "|") for cell in line] for line in lines]
        if {"against", "class"} & {each.lower() for each in table[0]} or not {_heading(each) for each in table[0]} & {
            *METRICS,
            *COSTS,
        }:
            continue
        headings = _headings(table[0])
        if "model" in headings:
            data = {"data": ", ".join(title for _, title in above)} if above else {}
            rows += [data | row for cells in table[2:] for row in _runs(_cells(headings, cells))]
    return rows


def _cells(headings: Sequence[str], cells: Sequence[str]) -> dict[str, Any]:
    """Return a row of text as the settings that a TOML file would have."""
    row: dict[str, Any] = {}
    if len(cells) != len(headings):
        raise DataError(f"a row has {len(cells)} cells, the headings are {len(headings)}: {', '.join(cells)}")
    for heading, written in zip(headings, map(str.strip, cells), strict=True):
        kind, _, of = heading.partition(":")
        cell = _plain(written) if of or kind in FIGURES else written
        if not heading or cell.lower() in _MISSING:
            continue
        if of:
            row.setdefault({"f1": "f1_of", "sd": "sd"}[kind], {})[of] = _pointed(cell)
        elif kind == "classes":
            row[kind] = {name: count for name, _, count in (part.partition("=") for part in cell.split())}
        elif kind == "images":
            row[kind] = re.split(r"\s*(?:-|\N{EN DASH}|to)\s*", cell)
        elif "±" in cell:
            row[kind], _, spread = (_pointed(part.strip()) for part in cell.partition("±"))
            row.setdefault("sd", {})[kind] = spread
        else:
            row[kind] = _pointed(cell) if kind in (*METRICS, "delta") else cell
    if "seed" in row:
        row["model"] = f"{row.get('model', '')}, seed {row.pop('seed')}"
    return row


def _plain(cell: str) -> str:
    """Return a figure without bold print, footnotes and arrows, with the usual signs."""
    text = _MARKS.sub("", cell)
    for written, usual in _USUAL.items():
        text = text.replace(written, usual)
    text = re.sub(r"\(\s*±\s*(.*?)\)", r"± \1", text)
    return re.sub("\N{DOWNWARDS ARROW} ?(?=\\d)", "-", re.sub("\N{UPWARDS ARROW} ?(?=\\d)", "+", text)).strip()


def _pointed(number: str) -> str:
    """Return a number with a decimal point, which may be written with a comma."""
    return re.sub(r"^([+-]?\d{1,3}),(\d+ ?%?)$", r"\1.\2", number)


def _runs(row: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return the row, or one for each run where its cells list the figures of several, as in 0.73, 0.74, 0.70."""
    lists = {key: str(row[key]).split(", ") for key in METRICS if ", " in str(row.get(key, ""))}
    if len({len(each) for each in lists.values()}) != 1:
        return [dict(row)]
    shared = {key: value for key, value in row.items() if key not in (*METRICS, "sd", "runs")}
    runs = zip(*lists.values(), strict=True)
    return [
        {
            **shared,
            "model": f"{row.get('model', '')}, run {number}",
            **dict(zip(lists, map(_pointed, figures), strict=True)),
        }
        for number, figures in enumerate(runs, start=1)
    ]


def _headings(written: Sequence[str]) -> list[str]:
    """Return the key for each column's heading; DataError where two have the same."""
    headings = [_heading(each) for each in written]
    for place, each in enumerate(headings):
        if each and each in headings[:place]:
            first = written[headings.index(each)]
            raise DataError(f"the columns {first!r} and {written[place]!r} are both {each}; leave one out")
    return headings


def _heading(heading: str) -> str:
    """Return the key for a column's heading, such as ``f1:MEL``; empty if there is none."""
    kind, _, of = heading.strip().partition(":")
    if of.strip() and kind.strip().lower() in ("f1", "sd"):
        return f"{kind.strip().lower()}:{_heading(of) if kind.strip().lower() == 'sd' else of.strip()}"
    if _OTHER_MEANS.search(heading.lower()):
        return ""
    plain = re.sub(r"/.*|\(.*?\)|%", "", heading.lower())
    return _CALLED.get(re.sub("[^a-z0-9]", "", plain), "")
