"""The settings of a call of `dspkd.distill` as a stage of a recipe."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import numpy as np
from pydantic import TypeAdapter, ValidationError
from torch import Tensor

from dspkd.errors import RecipeError
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
