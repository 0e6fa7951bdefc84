"""The tables of a comparison from its packed runs alone, and pages that show them.

``results/GRID/METHOD/seed-N`` are runs of one comparison, with folds each a folder of ``fold-0``, ``fold-1``, ...; with
several data sets or students, each comparison has a folder of its own. Teachers are in ``teachers/`` of a comparison or
of a folder above it. The runs of several such folders can be put together.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import product
from pathlib import Path

from dspkd.errors import DataError, DspkdError
from dspkd.evaluation.scoring import METRICS
from dspkd.experiments.compare import controls
from dspkd.experiments.compare.planned_run import without_division
from dspkd.recipes.schema import Recipe
from dspkd.reports import comparison_markdown, comparison_results
from dspkd.reports.comparison_results import Results
from dspkd.runs import packed
from dspkd.runs.folds import FoldedRun, is_fold
from dspkd.runs.reading import opened
from dspkd.runtime.files import write_text


def results(folders: Sequence[Path], decide_by: str = METRICS[0]) -> list[Results]:
    """Return the results of each comparison whose packed runs are below `folders`.

    Runs of several folders are put together: those of one method with other seeds, or with other folds (split.seed).

    Raises
    ------
    RunError, DataError, RecipeError
        There is no packed run, one is damaged, or runs of a comparison have other data or another split.
    """
    runs, teachers = defaultdict[Path, list[Path]](list), defaultdict[Path, list[Path]](list)
    for folder in folders:
        for run in _packed_below(folder):
            of = teachers if run.parent.name == packed.TEACHERS else runs
            of[run.parents[1].relative_to(folder)].append(run)
    for place, folder in product(runs, folders):
        if not any(run.is_relative_to(folder / place) for run in runs[place]):
            raise DataError(
                f"{folder}: has no runs of {place}, but another folder has; give folders of the same comparisons"
            )
    return [
        _results(
            place, own, [run for at, those in teachers.items() if place.is_relative_to(at) for run in those], decide_by
        )
        for place, own in runs.items()
    ]


def _packed_below(folder: Path) -> list[Path]:
    """Return the folders of the packed runs, with folds those that have the folds."""
    own = sorted(path.parent for path in folder.rglob(packed.RUN))
    if not own:
        raise DataError(f"{folder}: no packed runs (METHOD/seed-N/{packed.RUN}); make them with: dspkd pack RUNS --out")
    return list(dict.fromkeys(run.parent if is_fold(run) else run for run in own))


def tables(folders: Sequence[Path], decide_by: str = METRICS[0]) -> str:
    """Return the tables of all comparisons below `folders`, as Markdown."""
    return comparison_markdown.sections(results(folders, decide_by))


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


def _results(place: Path, runs: Sequence[Path], teachers: Sequence[Path], decide_by: str) -> Results:
    whole = {run: opened(run) for run in runs}
    incomplete = {
        run: f"no fold {', '.join(map(str, each.missing))}, so no predictions of all images"
        for run, each in whole.items()
        if isinstance(each, FoldedRun) and each.missing
    }
    recipes = {run: each.recipe for run, each in whole.items() if run not in incomplete}
    if not recipes:
        raise DataError(f"{runs[0].parents[1]}: no run has all its folds: {runs[0]} has {incomplete[runs[0]]}")
    incomplete |= _unequal_repetitions(recipes)
    recipes = {run: recipe for run, recipe in recipes.items() if run not in incomplete}
    if not recipes:
        raise DataError(
            f"{runs[0].parents[1]}: no method has runs of each split.seed: {runs[0]}, {incomplete[runs[0]]}"
        )
    controls.require_same_data({str(run): without_division(recipe) for run, recipe in recipes.items()})
    methods = {recipe.name: recipe for recipe in recipes.values()}
    kinds = {controls.control(recipe): method for method, recipe in reversed(methods.items())}
    unequal = [*controls.differences(methods), *_unequal_seeds(recipes), *_unequal_teachers(recipes)]
    return comparison_results.tabulate(
        " ".join(place.parts),
        list(recipes),
        [run for run in teachers if opened(run).finished],
        controls=[kinds[kind] for kind in ("plain", "label_smoothing") if kind in kinds],
        failed={str(run): reason for run, reason in incomplete.items()},
        unequal=["their recipes differ in settings that should be equal", *unequal] if unequal else [],
        decide_by=decide_by,
    )


def _unequal_repetitions(recipes: Mapping[Path, Recipe]) -> dict[Path, str]:
    """Return the runs that are left out so that each method has as many of each division into folds, and why."""
    divisions = {recipe.split.seed for recipe in recipes.values() if recipe.split.folds}
    reasons: dict[Path, str] = {}
    for name in dict.fromkeys(recipe.name for recipe in recipes.values()):
        mine = {run: recipe for run, recipe in recipes.items() if recipe.name == name}
        counts = Counter(recipe.split.seed for recipe in mine.values())
        if len({counts[division] for division in divisions}) < 2:
            continue
        for run, recipe in mine.items():
            had = {other.split.seed for other in mine.values() if other.seed == recipe.seed}
            if lacking := sorted(divisions - had):
                listed = " and ".join(map(str, lacking))
                reasons[run] = f"left out: {name} has no run of seed {recipe.seed} with split.seed {listed}"
    return reasons


def _unequal_seeds(recipes: Mapping[Path, Recipe]) -> list[str]:
    """Return the methods whose runs differ in more than their seed, a sentence for each run."""
    first: dict[str, tuple[Path, Recipe]] = {}
    sentences = []
    for run, recipe in recipes.items():
        path, other = first.setdefault(recipe.name, (run, recipe))
        one, two = (recipe, other) if recipe.split.seed == other.split.seed else map(without_division, (recipe, other))
        if replace(one, seed=0).digest != replace(two, seed=0).digest:
            sentences.append(f"{recipe.name}: {run} and {path} have recipes that differ in more than the seed")
    return sentences


def _unequal_teachers(recipes: Mapping[Path, Recipe]) -> list[str]:
    """Return the methods whose runs had teachers of different recipes, a sentence for each run."""
    first: dict[str, tuple[Path, list[str]]] = {}
    sentences = []
    for run, recipe in recipes.items():
        try:
            taught_by = [opened(teacher).recipe for teacher in opened(run).teachers]
        except DspkdError:  # not packed
            continue
        settings = [replace(without_division(each), seed=0, name="").digest for each in taught_by]
        path, others = first.setdefault(recipe.name, (run, settings))
        if settings != others:
            sentences.append(f"{recipe.name}: the teachers of {run} and {path} have recipes that differ")
    return sentences
