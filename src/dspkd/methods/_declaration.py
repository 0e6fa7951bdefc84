"""What a method declares: options, docstring and class attributes, from its class or from its file alone.

From the file, because torch takes seconds to import and checking a recipe or listing the methods computes nothing.
"""

from __future__ import annotations

import ast
import builtins
import inspect
import threading
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dspkd.methods._options import Option, options_of

if TYPE_CHECKING:
    from dspkd.methods._base import Term

_FOLDER = Path(__file__).parent
_ROOM = __name__.rpartition(".")[0]
_TORCH_FREE = (f"{_ROOM}._options",)
# CPython 3.11 keeps one depth of recursion for all threads that parse: two at once end in a SystemError (gh-106905).
_ONE_AT_A_TIME = threading.Lock()
_ATTRIBUTES = ("needs_teacher", "trains_teacher", "wants_rotated", "needs_one_label", "reads_labels", "inferred")


@dataclass(frozen=True)
class Declaration:
    """What a method declares; the class attributes are those of `Term`.

    Attributes
    ----------
    doc
        The docstring of the class, without indentation; empty if it has none.
    options
        Its options by name, in order.
    """

    doc: str
    options: dict[str, Option]
    needs_teacher: bool
    trains_teacher: bool
    wants_rotated: bool
    needs_one_label: bool
    reads_labels: bool | None
    inferred: str

    @property
    def labelled_only(self) -> bool:
        """Whether the method learns from labelled images alone; see `Term.reads_labels`."""
        return self.needs_one_label or not self.needs_teacher if self.reads_labels is None else self.reads_labels


def of_class(method: type[Term]) -> Declaration:
    """Return what the class `method` declares."""
    attributes = {name: getattr(method, name) for name in _ATTRIBUTES}
    doc = inspect.cleandoc(method.__doc__ or "")  # getdoc would return the docstring of Term
    return Declaration(doc, options_of(method), **attributes)


def of_file(path: Path) -> Declaration:
    """Return what the one `Term` defined in `path`, a file of this folder, declares, without importing the file."""
    tree, base = _parse(path), _parse(_FOLDER / "_base.py")
    (method,) = _classes(tree, deriving_from="Term")
    (term,) = (node for node in _classes(base) if node.name == "Term")
    attributes = _assigned(base, term.body) | _assigned(tree, method.body)
    (init,) = (node for node in method.body if isinstance(node, ast.FunctionDef) and node.name == "__init__")
    arguments = zip(init.args.kwonlyargs, init.args.kw_defaults, strict=True)
    options = {
        argument.arg: Option(_evaluate(tree, argument.annotation), _evaluate(tree, default))
        for argument, default in arguments
    }
    doc = ast.get_docstring(method) or ""
    return Declaration(doc, options, **{name: attributes[name] for name in _ATTRIBUTES})


def _parse(path: Path) -> ast.Module:
    with _ONE_AT_A_TIME:
        return ast.parse(path.read_text(encoding="utf-8"), filename=str(path))


def _classes(tree: ast.Module, deriving_from: str = "") -> list[ast.ClassDef]:
    classes = [node for node in tree.body if isinstance(node, ast.ClassDef)]
    return [node for node in classes if not deriving_from or deriving_from in map(ast.unparse, node.bases)]


def _assigned(tree: ast.Module, body: list[ast.stmt]) -> dict[str, Any]:
    """Return the values that `body` assigns to `_ATTRIBUTES`."""
    assigned: dict[str, Any] = {}
    for node in body:
        if isinstance(node, ast.AnnAssign) and node.value and ast.unparse(node.target) in _ATTRIBUTES:
            assigned[ast.unparse(node.target)] = _evaluate(tree, node.value)
    return assigned


def _evaluate(tree: ast.Module, expression: ast.expr | None) -> Any:
    """Return the value of an expression in the module `tree`."""
    assert expression is not None, "an option has a type and a default"
    names = {node.id for node in ast.walk(expression) if isinstance(node, ast.Name)}
    return eval(  # our own file, which an import would execute whole
        compile(ast.Expression(expression), "<declaration>", "eval"), {name: _lookup(tree, name) for name in names}
    )


def _lookup(tree: ast.Module, name: str) -> Any:
    """Return the value of a global name of the module `tree`: assigned there, imported, or built in."""
    for node in tree.body:
        if isinstance(node, ast.Assign) and name in map(ast.unparse, node.targets):
            return _evaluate(tree, node.value)
        if isinstance(node, ast.ImportFrom) and name in [alias.name for alias in node.names]:
            module = str(node.module)
            if module.startswith(f"{_ROOM}._") and module not in _TORCH_FREE:
                return _lookup(_parse(_FOLDER / f"{module.rpartition('.')[2]}.py"), name)
            return getattr(import_module(module), name)
    return getattr(builtins, name)
