"""Loggers of training metrics: one file, one `Sink`; the file's name is the name that a recipe uses.

``machine.loggers = ["csv", "wandb"]`` switches them on; ``jsonl`` is always on. Adding a file here is the whole
registration. Imports are absolute, so that `csv.py` or `wandb.py` here does not hide the package of that name.
"""

from __future__ import annotations

import inspect
import pkgutil
from collections.abc import Callable, Iterable, Mapping
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from types import MappingProxyType, TracebackType
from typing import Any, Self

from dspkd.errors import RecipeError, suggest
from dspkd.runtime.progress import Counts
from dspkd.training.loggers._base import Sink
from dspkd.training.progress import ProgressListener

__all__ = ["MetricsLogger", "Sink", "check", "find", "names"]


def names() -> list[str]:
    """Return the names of all loggers, sorted."""
    return sorted(module.name for module in pkgutil.iter_modules(__path__) if not module.name.startswith("_"))


def find(name: str) -> type[Sink]:
    """Return the logger called `name`.

    Raises
    ------
    RecipeError
        If there is none; the nearest name is given.
    """
    if name not in names():
        raise RecipeError(f"machine.loggers: no logger is called {name!r}; {suggest(name, names())}")
    members = vars(import_module(f"{__name__}.{name}")).values()
    (sink,) = (cls for cls in members if inspect.isclass(cls) and issubclass(cls, Sink) and cls is not Sink)
    return sink


def check(requested: Iterable[str]) -> None:
    """Raise RecipeError if one of the `requested` loggers does not exist, or its package is not installed."""
    for name in requested:
        if missing := [package for package in find(name).packages if find_spec(package) is None]:
            raise RecipeError(
                f"machine.loggers: {name!r} needs {', '.join(missing)}, not installed; pip install 'dspkd[{name}]'"
            )


class MetricsLogger:
    """A listener that writes the record of each epoch to loggers, and passes everything on to another listener.

    A logger that fails is switched off with one note, and training continues; except ``jsonl``, whose file is a part
    of the run.

    Parameters
    ----------
    folder
        The run folder.
    listener
        Receives all that this one does.
    loggers
        Names of loggers beside ``jsonl``.
    run, settings
        The run's name and recipe settings, for loggers that show them.

    Raises
    ------
    RecipeError
        See `check`.
    """

    def __init__(
        self,
        folder: Path,
        listener: ProgressListener,
        loggers: Iterable[str] = (),
        *,
        run: str = "",
        settings: Mapping[str, Any] = MappingProxyType({}),
    ) -> None:
        requested = list(dict.fromkeys(["jsonl", *loggers]))
        check(requested)
        self._listener = listener
        self._epochs = 0
        self._sinks = {name: find(name)() for name in requested}
        self._on_each(lambda sink: sink.open(folder, run, settings))

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._on_each(lambda sink: sink.close())

    def data(self, counts: Counts) -> None:
        """Pass it on."""
        self._listener.data(counts)

    def run(self, name: str, epochs: int) -> None:
        """Pass it on."""
        self._listener.run(name, epochs)

    def note(self, text: str) -> None:
        """Pass it on."""
        self._listener.note(text)

    def prepare(self, what: str, done: int, of: int | None) -> None:
        """Pass it on."""
        self._listener.prepare(what, done, of)

    def step(self, stage: str, epoch: int, done: int, steps: int) -> None:
        """Pass it on."""
        self._listener.step(stage, epoch, done, steps)

    def epoch(self, record: dict[str, Any]) -> None:
        """Write the record and pass it on."""
        self._epochs += 1
        self._on_each(lambda sink: sink.epoch(record, self._epochs))
        self._listener.epoch(record)

    def _on_each(self, action: Callable[[Sink], None]) -> None:
        """Call `action` with each logger; drop those that are not required and fail."""
        for name, sink in list(self._sinks.items()):
            try:
                action(sink)
            except Exception as error:
                if sink.required:
                    raise
                del self._sinks[name]
                reason = (str(error).strip() or type(error).__name__).splitlines()[0]
                self.note(f"warning: logger {name!r} failed and is off from here on, training continues: {reason}")
