"""What a person sees on a terminal while something goes on: a run, a download, a count."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from types import TracebackType
from typing import Any, Self

from rich.console import Console
from rich.progress import (
    BarColumn,
    DownloadColumn,
    Progress,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
    TransferSpeedColumn,
)
from rich.table import Table

from dspkd.runtime.progress import Counts
from dspkd.runtime.progress import Progress as Counter


def terminal() -> Console:
    """Return what prints to standard output; brackets and colons in names and paths are taken as they are."""
    return Console(markup=False, emoji=False, highlight=False)


def headed(title: str, names: list[str], figures: list[str]) -> Table:
    """Return a table with columns of names, which are never cut, then columns of figures."""
    table = Table(title=title, title_justify="left")
    for heading in names:
        table.add_column(heading, overflow="fold", min_width=4)
    for heading in figures:
        table.add_column(heading, justify="right", no_wrap=True)
    return table


class ConsoleProgress:
    """A listener that prints counts, a progress bar for the running epoch, and a line for each epoch that has ended.

    Parameters
    ----------
    console
        Where to print. Where that is no terminal but a file, there is no bar.
    """

    def __init__(self, console: Console) -> None:
        self._console = console
        self._progress = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            TextColumn("{task.completed}/{task.total}"),
            TimeElapsedColumn(),
            TimeRemainingColumn(),
            console=console,
            transient=True,
            disable=not console.is_terminal,
        )
        self._bar: TaskID | None = None
        self._shown: str | None = None

    def __enter__(self) -> Self:
        self._progress.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._progress.stop()

    def data(self, counts: Counts) -> None:
        """Print images and groups per class and part."""
        table = headed("images (lesions or patients)", ["class"], list(counts))
        for name in next(iter(counts.values())):
            table.add_row(name, *(f"{counts[part][name][0]} ({counts[part][name][1]})" for part in counts))
        table.add_section()
        table.add_row("all", *(str(sum(images for images, _ in counts[part].values())) for part in counts))
        self._console.print(table)

    def note(self, text: str) -> None:
        """Print a line."""
        self._console.print(text, soft_wrap=True)

    def prepare(self, what: str, done: int, of: int | None) -> None:
        """Move the bar of what comes before training."""
        self._move(what, done, of)
        if done == of:
            self._clear()

    def step(self, stage: str, epoch: int, done: int, steps: int) -> None:
        """Move the bar of the running epoch."""
        self._move(f"{stage} epoch {epoch}", done, steps)

    def _move(self, what: str, done: int, of: int | None) -> None:
        if self._shown != what:
            self._clear()
            self._bar = self._progress.add_task(what, total=of)
            self._shown = what
        assert self._bar is not None
        self._progress.update(self._bar, completed=done)

    def epoch(self, record: dict[str, Any]) -> None:
        """Print what came of an epoch, in one line; a star marks the one that is kept so far."""
        self._clear()
        parts = "  ".join(f"{name} {value:.4g}" for name, value in record["train"].items() if name != "total")
        self._console.print(
            f"{record['stage']} epoch {record['epoch']}  loss {record['train']['total']:.4g} ({parts})  "
            f"val balanced accuracy {record['val']['balanced_accuracy']:.3f}  accuracy {record['val']['accuracy']:.3f}"
            f"{'  * kept' if record['best'] else ''}",
            soft_wrap=True,
        )

    def _clear(self) -> None:
        if self._bar is not None:
            self._progress.remove_task(self._bar)
        self._bar, self._shown = None, None


class DownloadProgress:
    """Shows how a download goes: a bar of bytes for each thing that is done to a file.

    Parameters
    ----------
    console
        Where to print. Where that is no terminal but a file, there is no bar.
    """

    def __init__(self, console: Console) -> None:
        self._console = console
        self._progress = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            DownloadColumn(),
            TransferSpeedColumn(),
            TimeRemainingColumn(),
            console=console,
            transient=True,
            disable=not console.is_terminal,
        )
        self._bars: dict[str, TaskID] = {}

    def __enter__(self) -> Self:
        self._progress.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._progress.stop()

    def moved(self, what: str, done: int, of: int | None) -> None:
        """Move the bar of `what`; without a known end it only counts."""
        if what not in self._bars:
            self._bars[what] = self._progress.add_task(what, total=of)
        self._progress.update(self._bars[what], completed=done, total=of)

    def note(self, text: str) -> None:
        """Print lines that a person should read."""
        self._console.print(text, soft_wrap=True)


@contextmanager
def progress_bar(console: Console) -> Iterator[Counter]:
    """Give a function that shows how far something is: what, done, of how many. No bar where there is no terminal."""
    columns = (TextColumn("{task.description}"), BarColumn(), TextColumn("{task.completed}/{task.total}"))
    bars: dict[str, TaskID] = {}
    with Progress(
        *columns, TimeElapsedColumn(), console=console, transient=True, disable=not console.is_terminal
    ) as bar:

        def told(what: str, done: int, total: int | None) -> None:
            if what not in bars:
                bars[what] = bar.add_task(what, total=total)
            bar.update(bars[what], completed=done)

        yield told
