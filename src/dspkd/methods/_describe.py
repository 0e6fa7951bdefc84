"""What a user is told of a method, out of its own signature and docstring."""

from __future__ import annotations

import inspect
from dataclasses import dataclass

from dspkd.methods._options import Option, options_of
from dspkd.methods._term import Term


@dataclass(frozen=True)
class Description:
    """A method in words.

    Attributes
    ----------
    name, line
        Its name and the first line of its docstring.
    options
        Its options by name.
    source
        Where it was published.
    inferred
        What no publication states; empty if nothing.
    """

    name: str
    line: str
    options: dict[str, Option]
    source: str
    inferred: str

    def __str__(self) -> str:
        """Return it as lines for a terminal or a page."""
        lines = [f"{self.name}: {self.line}"]
        lines += [f"    {name} = {option.default!r}  ({option.kind})" for name, option in self.options.items()]
        lines.append(f"    Source: {self.source}")
        lines += [f"    Inferred: {self.inferred}"] if self.inferred else []
        return "\n".join(lines)


def describe(name: str, method: type[Term]) -> Description:
    """Return what there is to say of the class `method`, called `name`."""
    text = inspect.getdoc(method) or ""
    _, _, after = text.partition("Source:")
    source = " ".join(after.split("\n\n", 1)[0].split())
    return Description(name, text.split("\n", 1)[0], options_of(method), source, method.inferred)
