"""A method's options are the keyword-only arguments of its class: name, type with range, default."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from dataclasses import dataclass
from types import UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from pydantic import ConfigDict, Field, TypeAdapter, ValidationError

from dspkd.errors import RecipeError, suggest

Positive = Annotated[float, Field(gt=0)]
"""A number above 0."""
NotNegative = Annotated[float, Field(ge=0)]
"""A number from 0 on."""
Share = Annotated[float, Field(ge=0, lt=1)]
"""A number in [0, 1)."""
Width = Annotated[int, Field(ge=1)]
"""A number of channels, from 1 on."""
Prior = NotNegative | Literal["uniform"]
"""How much of a teacher's class prior is removed from its logits: from 0 (nothing) on; "uniform" is 1."""
WidthOrZero = Annotated[int, Field(ge=0)]
"""A number of channels; the meaning of 0 depends on the method."""

_STRICT = ConfigDict(strict=True, allow_inf_nan=False)


@dataclass(frozen=True)
class Option:
    """One option of a method.

    Attributes
    ----------
    annotation
        Its type: float, int, bool, str, a Literal, or one of these with a range (Annotated).
    default
        The value when a recipe does not give it.
    """

    annotation: Any
    default: object

    @property
    def kind(self) -> str:
        """Return the type in words, e.g. ``float`` or ``'channel' | 'spatial'``."""
        if get_origin(self.annotation) in (Union, UnionType):
            return " | ".join(Option(part, self.default).kind for part in get_args(self.annotation))
        base = get_args(self.annotation)[0] if get_origin(self.annotation) is Annotated else self.annotation
        if get_origin(base) is Literal:
            return " | ".join(repr(choice) for choice in get_args(base))
        return str(getattr(base, "__name__", base))


def options_of(method: type) -> dict[str, Option]:
    """Return the keyword-only arguments of the class `method`, in order."""
    parameters = inspect.signature(method, eval_str=True).parameters.values()
    return {p.name: Option(p.annotation, p.default) for p in parameters if p.kind is p.KEYWORD_ONLY}


def check_values(options: Mapping[str, Option], name: str, given: Mapping[str, object]) -> None:
    """Raise RecipeError if `given` holds an option that is none of `options`, or a value that its type excludes."""
    for option, value in given.items():
        if option not in options:
            remedy = suggest(option, options) if options else "it has none"
            raise RecipeError(f"{name}.{option}: no such option; {remedy}")
        try:
            TypeAdapter(options[option].annotation, config=_STRICT).validate_python(value)
        except ValidationError as e:
            rule = e.errors()[0]["msg"].removeprefix("Input ")
            raise RecipeError(f"{name}.{option}: {rule}, got {value!r}") from None
