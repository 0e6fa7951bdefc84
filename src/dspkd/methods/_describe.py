"""The description of a method, from its signature and docstring."""

from __future__ import annotations

import json
from dataclasses import dataclass
from types import UnionType
from typing import TYPE_CHECKING, Annotated, Literal, Union, get_args, get_origin

from pydantic.fields import FieldInfo

from dspkd.methods._declaration import Declaration, of_class
from dspkd.methods._options import Option

if TYPE_CHECKING:
    from dspkd.methods._base import Term

_BOUNDS = {"gt": ">", "ge": ">=", "lt": "<", "le": "<="}


@dataclass(frozen=True)
class Description:
    """The description of a method.

    Attributes
    ----------
    name, line
        Its name and the first line of its docstring.
    options
        Its options by name.
    source
        Where it was published; empty if the docstring has no ``Source:``.
    inferred
        What no publication states; empty if nothing.
    """

    name: str
    line: str
    options: dict[str, Option]
    source: str
    inferred: str

    def settings(self) -> list[tuple[str, str]]:
        """Return for each option the line of TOML with its default, and the values that it takes.

        >>> from dspkd.methods import describe
        >>> describe("kd").settings()
        [('temperature = 4.0', 'float > 0')]
        """
        return [(f"{name} = {json.dumps(option.default)}", _domain(option)) for name, option in self.options.items()]

    def __str__(self) -> str:
        """Return lines for a terminal: name and purpose, options, source, what is inferred."""
        settings = self.settings()
        width = max((len(default) for default, _ in settings), default=0)
        lines = [f"{self.name}: {self.line}"]
        lines += [f"    {default:<{width}}    {domain}" for default, domain in settings]
        lines += [f"    Source: {self.source}"] if self.source else []
        lines += [f"    Inferred: {self.inferred}"] if self.inferred else []
        return "\n".join(lines)


def describe(name: str, method: type[Term] | Declaration) -> Description:
    """Describe the method called `name`, from its class or its declaration."""
    declared = method if isinstance(method, Declaration) else of_class(method)
    _, _, after = declared.doc.partition("Source:")
    source = " ".join(after.split("\n\n", 1)[0].replace("``", "`").split())
    return Description(name, declared.doc.split("\n", 1)[0], declared.options, source, declared.inferred)


def _domain(option: Option) -> str:
    """Return the values that an option takes, e.g. ``float >= 0 and < 1`` or ``"channel" or "spatial"``."""
    base, bounds = option.annotation, []
    if get_origin(base) in (Union, UnionType):
        return " or ".join(_domain(Option(part, option.default)) for part in get_args(base))
    if get_origin(base) is Annotated:
        base, *notes = get_args(base)
        ranges = [limit for note in notes if isinstance(note, FieldInfo) for limit in note.metadata]
        bounds = [
            f"{sign} {getattr(limit, key)}" for limit in ranges for key, sign in _BOUNDS.items() if hasattr(limit, key)
        ]
    if get_origin(base) is Literal:
        return " or ".join(json.dumps(choice) for choice in get_args(base))
    return " ".join([base.__name__, " and ".join(bounds)]).strip()
