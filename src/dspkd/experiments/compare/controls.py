"""What makes methods comparable: settings that they must share, and the two controls that every comparison has.

The controls learn from labels alone: *plain* from the labels as they are, *label smoothing* from smoothed ones, which
is what a teacher without any knowledge would give (Yuan et al., *Revisiting Knowledge Distillation via Label Smoothing
Regularization*, CVPR 2020). A method that does not beat both has not shown that its teacher taught anything.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any, Literal

from dspkd.errors import RecipeError
from dspkd.recipes.schema import Recipe
from dspkd.recipes.stage import TermConfig

PLAIN, SMOOTHED = "plain", "label_smoothing"
"""Names of the controls, unless a grid gives them others."""

SMOOTHING = 0.1
"""Smoothing of the label-smoothing control where no recipe smooths. Source: Szegedy et al., CVPR 2016."""

_ALWAYS = ("data", "split")
_EQUAL = ("model", "images", "train")
_PERMITS = "model.partial_weights"
"""A setting that lets weights be loaded and changes none."""
_UNLABELLED = ("data.unlabelled", "data.unlabelled_ratio")


def control(recipe: Recipe) -> Literal["plain", "label_smoothing"] | None:
    """Return which control a recipe is; None for one with a teacher or a term other than `labels`."""
    terms = [term for stage in recipe.stages for term in stage.terms]
    if recipe.teacher or any(term.method != "labels" for term in terms):
        return None
    return "label_smoothing" if any(_smoothing(term) for term in terms) else "plain"


def with_controls(methods: Mapping[str, Recipe]) -> dict[str, Recipe]:
    """Return the methods preceded by the controls that they lack.

    A control is derived from the other one, if that is there, or from the first method: without a teacher, in one stage
    that has the epochs of all, with the rates of the first stage and its labels at full weight. The smoothing is that
    of the first method that smooths its labels, or `SMOOTHING`.

    Raises
    ------
    RecipeError
        Another method has the name of a control.
    """
    present = {control(recipe) for recipe in methods.values()}
    amounts = [_smoothing(term) for recipe in methods.values() for stage in recipe.stages for term in stage.terms]
    smoothing = next((amount for amount in amounts if amount), SMOOTHING)
    base = next((recipe for recipe in methods.values() if control(recipe)), next(iter(methods.values())))
    added: dict[str, Recipe] = {}
    for name, amount in ((PLAIN, 0.0), (SMOOTHED, smoothing)):
        if name in present:
            continue
        if name in methods:
            reason = _not_a_control(methods[name])
            raise RecipeError(f"method {name!r}: {reason}, so it is not the control of that name; rename it")
        added[name] = _labels_alone(base, name, amount)
    return added | dict(methods)


def differences(methods: Mapping[str, Recipe]) -> list[str]:
    """Return where methods differ from the first in settings that must be equal, a sentence for each difference.

    Equal must be model (with its initial weights, which the seed then determines), images, what all stages share
    (batch, sampling, clipping, precision), and the epochs of all stages together.
    """
    (first, base), *others = methods.items()
    return [
        _sentence(name, first, *difference)
        for name, recipe in others
        for difference in (*_unequal_settings(base, recipe, _EQUAL), *_unequal_epochs(base, recipe))
        if difference[0] != _PERMITS
    ]


def require_same_data(runs: Mapping[str, Recipe]) -> None:
    """Refuse runs whose data or split differ: no reason makes their test results comparable.

    Unlabelled images may differ: they are in no part of the split, and what a method learns from them is its own. The
    report says which methods have them.

    Raises
    ------
    RecipeError
        Names the first setting that differs.
    """
    (first, base), *others = runs.items()
    for name, run in others:
        unequal = _unequal_settings(base, run, _ALWAYS)
        for difference in (each for each in unequal if each[0] not in _UNLABELLED):
            raise RecipeError(f"{_sentence(name, first, *difference)}; all runs must have the same data and split")


def _smoothing(term: TermConfig) -> float:
    return float(term.options.get("label_smoothing", 0.0)) if term.method == "labels" else 0.0


def _not_a_control(recipe: Recipe) -> str:
    smoothed = "its labels are smoothed" if control(recipe) == "label_smoothing" else "its labels are not smoothed"
    return smoothed if control(recipe) else "it learns from more than labels"


def _labels_alone(base: Recipe, name: str, smoothing: float) -> Recipe:
    labels = next(
        (t for stage in base.stages for t in stage.terms if t.method == "labels"), TermConfig(method="labels")
    )
    options = {key: value for key, value in labels.options.items() if key != "label_smoothing"}
    if smoothing:
        options["label_smoothing"] = smoothing
    first = base.stages[0]
    stages = base.stages if control(base) else (replace(first, name="labels", epochs=base.epochs, teacher_lr=None),)
    terms = (TermConfig(method="labels", options=options),)
    only = tuple(replace(stage, keep="best", terms=terms) for stage in stages)
    return replace(base, name=name, teacher=None, stages=only)


def _sentence(name: str, first: str, key: str, ours: Any, theirs: Any) -> str:
    return f"{name}: {key} is {ours!r}, but {first} has {theirs!r}"


def _unequal_settings(base: Recipe, recipe: Recipe, sections: tuple[str, ...]) -> Iterator[tuple[str, Any, Any]]:
    for section in sections:
        ours, theirs = (dict(_flat(dataclasses.asdict(getattr(each, section)), section)) for each in (recipe, base))
        yield from ((key, ours[key], theirs[key]) for key in ours if ours[key] != theirs[key])


def _unequal_epochs(base: Recipe, recipe: Recipe) -> Iterator[tuple[str, Any, Any]]:
    if recipe.epochs != base.epochs:
        yield "the number of epochs", recipe.epochs, base.epochs


def _flat(table: Mapping[str, Any], place: str) -> Iterator[tuple[str, Any]]:
    for key, value in table.items():
        if isinstance(value, dict):
            yield from _flat(value, f"{place}.{key}")
        else:
            yield f"{place}.{key}", value
