"""The settings of a call of `dspkd.distill` as a stage of a recipe."""

from __future__ import annotations

import json
from collections.abc import Sequence
from numbers import Integral, Real
from typing import Any

import numpy as np
from pydantic import TypeAdapter, ValidationError
from torch import Tensor

from dspkd.errors import DataError, RecipeError
from dspkd.recipes.stage import StageConfig

TermLike = str | tuple[str, float] | tuple[str, float, dict[str, Any]]
"""A method's name; with its weight; with its options."""


def stage_of(terms: Sequence[TermLike], **settings: Any) -> StageConfig:
    """Return the one stage of a call, validated as that of a recipe.

    Raises
    ------
    RecipeError
        A term or setting is not valid; the message begins with its name.
    """
    try:
        stage = {"name": "distill", "keep": "last", "terms": _listed(terms), **settings}
        return TypeAdapter(StageConfig).validate_json(json.dumps(stage, default=plain))
    except ValidationError as error:
        first = error.errors()[0]
        raise RecipeError(f"{'.'.join(map(str, first['loc']))}: {first['msg']}, got {first['input']!r}") from None


def seed_of(seed: object) -> int:
    """Return a seed as an integer of Python; RecipeError where it is none."""
    if isinstance(seed, bool) or not isinstance(seed, Integral):
        raise RecipeError(f"seed: {seed!r}; want a whole number")
    return int(seed)


def require_ema_and_clip(ema: object, clip: object) -> None:
    """Refuse a decay that is not in [0, 1), and a gradient norm that is not above 0.

    Raises
    ------
    RecipeError
        The message begins with the setting.
    """
    if not (isinstance(ema, Real) and 0 <= float(ema) < 1):
        raise RecipeError(f"ema: a decay in [0, 1), e.g. 0.998, or 0 for none; got {ema!r}")
    if not (isinstance(clip, Real) and float(clip) > 0):
        raise RecipeError(f"clip: a gradient norm above 0, e.g. 5.0, or math.inf for none; got {clip!r}")


def counts_of(class_counts: Sequence[int], classes: int) -> tuple[int, ...]:
    """Return the training images of each of `classes` classes as integers, none where none are given.

    Raises
    ------
    DataError
        They are no list of whole numbers from 0, or not one for each class.
    """
    try:
        counts = tuple(int(count) for count in class_counts)
        whole = all(0 <= n == count for n, count in zip(counts, class_counts, strict=True))
    except (TypeError, ValueError, OverflowError):
        whole = False
    if not whole:
        raise DataError(f"class_counts: {class_counts!r}; give the number of training images of each class")
    if counts and len(counts) != classes:
        raise DataError(
            f"class_counts: {len(counts)} numbers, {counts}, for a student of {classes} classes; give "
            "the training images of each class, or leave it out"
        )
    return counts


def _listed(terms: Sequence[TermLike]) -> list[dict[str, Any]]:
    example = 'e.g. terms=[("labels", 0.5), ("kd", 0.5)]'
    listed = []
    for term in terms if isinstance(terms, Sequence) and not isinstance(terms, str) else [None]:
        parts = (term,) if isinstance(term, str) else term
        if not isinstance(parts, list | tuple) or not 1 <= len(parts) <= 3:
            raise RecipeError(f"terms: {terms!r}; want a list of method, (method, weight) or (..., options), {example}")
        listed.append(dict(zip(("method", "weight", "options"), parts, strict=False)))
    if not listed:
        raise RecipeError(f"terms: none given, {example}")
    return listed


def plain(value: object) -> Any:
    """Return a number of NumPy or torch as one of Python, for JSON."""
    if isinstance(value, np.generic) or (isinstance(value, Tensor) and value.ndim == 0):
        return value.item()
    raise RecipeError(f"{value!r}: a setting cannot be of type {type(value).__name__}; want a number, a text or a list")
