"""Distillation methods: one file, one `Term`; the file's name is the name that a recipe uses.

Adding a file here is the whole registration. Another package offers its own through an entry point:

.. code-block:: toml

    [project.entry-points."dspkd.methods"]
    my_method = "my_package.my_module:MyTerm"

All that a method of one's own needs: ``from dspkd.methods import Term, Positive, Share, exact, precise``.
"""

from __future__ import annotations

import inspect
import pkgutil
from collections.abc import Mapping
from functools import cache
from importlib import import_module
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeGuard

from dspkd.errors import RecipeError, suggest
from dspkd.methods._declaration import Declaration, of_class, of_file
from dspkd.methods._describe import Description
from dspkd.methods._describe import describe as _describe
from dspkd.methods._options import Option, Positive, Share, check_values

if TYPE_CHECKING:
    from dspkd.methods._base import Term, exact, precise
else:

    def __getattr__(name: str) -> Any:
        """Import these, and torch with them, where they are first used: listing and checking methods needs neither."""
        if name in ("Term", "exact", "precise"):
            return getattr(import_module("dspkd.methods._base"), name)
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


__all__ = [
    "Declaration",
    "Description",
    "Option",
    "Positive",
    "Share",
    "Term",
    "check_options",
    "declaration",
    "describe",
    "exact",
    "find",
    "names",
    "options",
    "precise",
]

GROUP = "dspkd.methods"
"""The entry-point group in which other packages offer their methods."""


def names() -> list[str]:
    """Return the names of all methods, those of installed packages included, sorted.

    Raises
    ------
    RecipeError
        If two packages offer the same name, or one offers a name of dspkd itself.
    """
    return sorted({*_built_in(), *_offered()})


def find(name: str) -> type[Term]:
    """Return the method called `name`, importing its file and no other.

    Raises
    ------
    RecipeError
        If there is no such method (the nearest name is given), or if what a package offers is not a `Term`.
    """
    offered = _offered()
    if name in _built_in():
        return _only_term_in(name)
    if name in offered:
        term = offered[name].load()
        if not _is_term(term):
            raise RecipeError(f"method {name!r}: {_origin(offered[name])} is not a dspkd.methods.Term")
        from torch import nn

        if hasattr(nn.ModuleDict(), name):  # which holds the terms of a stage by name
            raise RecipeError(
                f"method {name!r} of {_origin(offered[name])}: a method may not be called as an attribute of "
                "torch.nn.ModuleDict; rename its entry point"
            )
        return term
    if name in ("dsp_kd", "dspkd"):
        raise RecipeError(
            f"no method is called {name!r}: DSP-KD is a recipe of two, hierarchical_fusion and then normkd; "
            "see dspkd recipes show demo/dsp_kd"
        )
    raise RecipeError(f"no method is called {name!r}; {suggest(name, names())}")


def declaration(name: str) -> Declaration:
    """Return what the method called `name` declares; for a method of ours, without importing torch.

    Raises
    ------
    RecipeError
        As `find`.
    """
    _offered()  # another package must not offer a name of ours
    return of_file(Path(__path__[0]) / f"{name}.py") if name in _built_in() else of_class(find(name))


def options(name: str) -> dict[str, Option]:
    """Return the options of the method called `name`: its keyword-only arguments, in order."""
    return declaration(name).options


def check_options(name: str, given: Mapping[str, object]) -> None:
    """Refuse options that the method called `name` does not take, by name, type or range, or that it would not use.

    An integer is accepted for a float, a boolean for neither; no number may be infinite or NaN.

    Raises
    ------
    RecipeError
        Naming the option, the value, and what is valid.
    """
    check_values(options(name), name, given)
    if name == "labels" and "effective_beta" in given and given.get("class_weights") != "effective":
        raise RecipeError(
            f'labels.effective_beta = {given["effective_beta"]}: only class_weights = "effective" uses it; set that, '
            "or leave this out"
        )


def describe(name: str) -> Description:
    """Return the description of the method called `name`; its text is what ``dspkd methods`` prints."""
    return _describe(name, declaration(name))


def _built_in() -> set[str]:
    return {module.name for module in pkgutil.iter_modules(__path__) if not module.name.startswith("_")}


def _only_term_in(name: str) -> type[Term]:
    module = import_module(f"{__name__}.{name}")
    defined = [value for value in vars(module).values() if getattr(value, "__module__", None) == module.__name__]
    terms = [value for value in defined if _is_term(value)]
    assert len(terms) == 1, f"{module.__file__} must define exactly one Term, not {terms}"
    return terms[0]


def _is_term(value: object) -> TypeGuard[type[Term]]:
    from dspkd.methods._base import Term

    return inspect.isclass(value) and issubclass(value, Term)


@cache
def _entries() -> tuple[EntryPoint, ...]:
    """Return what installed packages offer; read once, as it takes 15 ms of processor time."""
    return tuple(entry_points(group=GROUP))


def _offered() -> dict[str, EntryPoint]:
    owners = dict.fromkeys(_built_in(), "dspkd itself")
    offered: dict[str, EntryPoint] = {}
    for entry in _entries():
        if entry.name == "total" or "." in entry.name:  # the sum of all losses; parts of a checkpoint's keys
            raise RecipeError(
                f"method {entry.name!r} of {_origin(entry)}: a method may not be called total, nor have a dot in its "
                "name; rename its entry point"
            )
        if entry.name in owners:
            both = f"{owners[entry.name]} and by {_origin(entry)}"
            raise RecipeError(f"method {entry.name!r} is offered by {both}; uninstall one or rename its entry point")
        owners[entry.name] = _origin(entry)
        offered[entry.name] = entry
    return offered


def _origin(entry: EntryPoint) -> str:
    package = entry.dist.name if entry.dist else "a package without metadata"
    return f"{entry.value} of {package}"
