"""Rows of the ``results.json`` that `dspkd compare` writes."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from dspkd.errors import DataError
from dspkd.experiments.paper.claims.rows import METRICS


def from_json(text: str) -> list[dict[str, Any]]:
    """Return the rows of ``results.json``: each teacher, each method, and each of its runs."""
    comparisons = json.loads(text)
    if not (isinstance(comparisons, list) and all(isinstance(each, dict) and "arms" in each for each in comparisons)):
        raise DataError("is not a results.json of dspkd compare")
    try:
        return [row for results in comparisons for row in _of_results(results)]
    except (KeyError, TypeError, AttributeError, IndexError) as error:
        raise DataError(f"is not a results.json of dspkd compare: {type(error).__name__} {error}") from None


def _of_results(results: Mapping[str, Any]) -> Iterable[dict[str, Any]]:
    data = {"data": results["name"] or results["data"].get("path", ""), "images": [results["images"]] * 2}
    data |= {"classes": results.get("classes", {})}
    controls = results.get("controls", [])
    plain = next((arm["name"] for arm in results["arms"] if arm["name"] in controls[:1]), "")
    for teacher in results["teachers"]:
        yield {**data, "model": Path(teacher["folder"]).name, "role": "teacher", **_of_run(teacher)}
    for arm in results["arms"]:
        role = "baseline" if arm["name"] == plain else "student" if arm["name"] not in controls else None
        common = {**data, "baseline": plain if role == "student" else ""} | ({"role": role} if role else {})
        taught = {"teacher": Path(arm["runs"][0].get("teacher") or "").name} if role == "student" else {}
        figures = {_SAME.get(metric, metric): figure for metric, figure in arm["figures"].items()}
        figures = {metric: figure for metric, figure in figures.items() if metric in METRICS}
        means = {metric: _share(f["mean"]) for metric, f in figures.items()}
        spreads = {metric: _share(f["sd"]) for metric, f in figures.items() if f["sd"] is not None}
        sizes = {run["parameters"] for run in arm["runs"] if "parameters" in run}
        size = {"parameters": str(sizes.pop()), "network": arm["runs"][0]["network"]} if len(sizes) == 1 else {}
        yield {**common, **taught, **size, "model": arm["name"], "runs": len(arm["runs"]), "sd": spreads, **means}
        divided = len({run.get("split_seed") for run in arm["runs"]}) > 1
        for run in arm["runs"]:
            division = f", split seed {run['split_seed']}" if divided else ""
            yield {**data, "model": f"{arm['name']}, seed {run['seed']}{division}", **_of_run(run)}


_SAME = {"f1_macro": "f1", "precision_macro": "precision", "specificity_macro": "specificity"}


def _of_run(run: Mapping[str, Any]) -> dict[str, Any]:
    figures = {_SAME.get(metric, metric): value for metric, value in run["figures"].items()}
    row: dict[str, Any] = {m: _share(v) for m, v in figures.items() if m in METRICS and v is not None}
    if run.get("f1s"):
        row["f1_of"] = {name: _share(value) for name, value in run["f1s"].items()}
    return row | {key: str(run[key]) for key in ("parameters", "network") if key in run}


def _share(value: float) -> str:
    return f"{value:.12f}"
