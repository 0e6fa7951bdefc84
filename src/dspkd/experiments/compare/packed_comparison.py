"""The tables of a comparison from its packed runs alone, and pages that show them.

``results/GRID/METHOD/seed-N`` are runs of one comparison, with folds each a folder of ``fold-0``, ``fold-1``, ...; with
several data sets or students, each comparison has a folder of its own. Teachers are in ``teachers/`` of a comparison or
of a folder above it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from dspkd.errors import DataError
from dspkd.evaluation.scoring import METRICS
from dspkd.experiments.compare import controls
from dspkd.recipes.schema import Recipe
from dspkd.reports import comparison_markdown, comparison_results
from dspkd.reports.comparison_results import Results
from dspkd.runs import packed
from dspkd.runs.folds import FoldedRun, is_fold
from dspkd.runs.reading import opened
from dspkd.runtime.files import write_text


def results(folder: Path, decide_by: str = METRICS[0]) -> list[Results]:
    """Return the results of each comparison whose packed runs are below `folder`.

    Raises
    ------
    RunError, DataError, RecipeError
        There is no packed run, one is damaged, or runs of a comparison have other data or another split.
    """
    own = sorted(path.parent for path in folder.rglob(packed.RUN))
    runs = list(dict.fromkeys(run.parent if is_fold(run) else run for run in own))
    teachers = [run for run in runs if run.parent.name == packed.TEACHERS]
    comparisons = dict.fromkeys(run.parents[1] for run in runs if run not in teachers)
    if not comparisons:
        raise DataError(f"{folder}: no packed runs (METHOD/seed-N/{packed.RUN}); make them with: dspkd pack RUNS --out")
    return [
        _results(
            " ".join(each.relative_to(folder).parts),
            [run for run in runs if run.parents[1] == each and run not in teachers],
            [run for run in teachers if each.is_relative_to(run.parents[1])],
            decide_by,
        )
        for each in comparisons
    ]


def tables(folder: Path, decide_by: str = METRICS[0]) -> str:
    """Return the tables of all comparisons below `folder`, as Markdown."""
    return comparison_markdown.sections(results(folder, decide_by))


def embed(page: Path, name: str, text: str) -> None:
    """Replace what a Markdown page has between ``<!-- NAME begin -->`` and ``<!-- NAME end -->``.

    Raises
    ------
    DataError
        The page does not have these two lines, each once and in this order.
    """
    content = page.read_text(encoding="utf-8")
    begin, end = (f"<!-- {name} {word} -->\n" for word in ("begin", "end"))
    if not (content.count(begin) == content.count(end) == 1 and content.index(begin) < content.index(end)):
        raise DataError(f"{page}: needs the lines {begin.strip()} and {end.strip()}, each once and in this order")
    before, _, rest = content.partition(begin)
    write_text(page, f"{before}{begin}\n{text}\n{end}{rest.partition(end)[2]}")


def _results(name: str, runs: Sequence[Path], teachers: Sequence[Path], decide_by: str) -> Results:
    whole = {run: opened(run) for run in runs}
    incomplete = {
        str(run): f"no fold {', '.join(map(str, each.missing))}, so no predictions of all images"
        for run, each in whole.items()
        if isinstance(each, FoldedRun) and each.missing
    }
    recipes = {run: each.recipe for run, each in whole.items() if str(run) not in incomplete}
    if not recipes:
        raise DataError(f"{runs[0].parents[1]}: no run has all its folds: {runs[0]} has {incomplete[str(runs[0])]}")
    controls.require_same_data({str(run): recipe for run, recipe in recipes.items()})
    methods = {recipe.name: recipe for recipe in recipes.values()}
    kinds = {controls.control(recipe): method for method, recipe in reversed(methods.items())}
    unequal = [*controls.differences(methods), *_unequal_seeds(recipes)]
    return comparison_results.tabulate(
        name,
        list(recipes),
        [run for run in teachers if opened(run).finished],
        controls=[kinds[kind] for kind in ("plain", "label_smoothing") if kind in kinds],
        failed=incomplete,
        unequal=["their recipes differ in settings that should be equal", *unequal] if unequal else [],
        decide_by=decide_by,
    )


def _unequal_seeds(recipes: Mapping[Path, Recipe]) -> list[str]:
    """Return the methods whose runs differ in more than their seed, a sentence for each run."""
    first: dict[str, tuple[Path, Recipe]] = {}
    sentences = []
    for run, recipe in recipes.items():
        path, other = first.setdefault(recipe.name, (run, recipe))
        if replace(recipe, seed=0).digest != replace(other, seed=0).digest:
            sentences.append(
                f"{recipe.name}: {run.name} and {path.name} have recipes that differ in more than the seed"
            )
    return sentences
