"""Progress on the terminal: of a run, a download, or any counted work."""

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
    ProgressColumn,
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
    """Return a console on standard output that prints brackets and colons, as in paths, literally."""
    return Console(markup=False, emoji=False, highlight=False)


def headed(title: str, names: list[str], figures: list[str]) -> Table:
    """Return an empty table: columns of text, which wrap and are never cut, then right-aligned figures."""
    table = Table(title=title, title_justify="left")
    for heading in names:
        table.add_column(heading, overflow="fold", min_width=4)
    for heading in figures:
        table.add_column(heading, justify="right", no_wrap=True)
    return table


class _ProgressDisplay:
    """A display of progress bars, open within a ``with`` block."""

    def __init__(self, console: Console, *columns: ProgressColumn) -> None:
        self._console = console
        self._progress = Progress(*columns, console=console, transient=True, disable=not console.is_terminal)

    def __enter__(self) -> Self:
        self._progress.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._progress.stop()

    def note(self, text: str) -> None:
        """Print a message."""
        self._console.print(text, soft_wrap=True)


class ConsoleProgress(_ProgressDisplay):
    """A listener that prints counts and a line for each finished epoch, and draws up to three progress bars.

    They show the runs of a comparison, the epochs of the run, and the steps of the epoch or another piece of work,
    each with the time that it still needs.

    Parameters
    ----------
    console
        Where to print; no bars where it is no terminal.
    """

    def __init__(self, console: Console) -> None:
        super().__init__(console, *_counting_columns(), TimeRemainingColumn())
        self._bar: TaskID | None = None
        self._bar_name: str | None = None
        self._run: TaskID | None = None
        self._runs: TaskID | None = None
        self._epochs = 0

    def data(self, counts: Counts) -> None:
        """Print the images of each class in training, validation and test set; and its groups where they differ."""
        cells = [pair for part in counts.values() for pair in part.values()]
        grouped = any(images != groups for images, groups in cells)
        table = headed("images (lesions or patients)" if grouped else "images", ["class"], list(counts))
        for name in next(iter(counts.values())):
            pairs = [counts[part][name] for part in counts]
            table.add_row(name, *(f"{images} ({groups})" if grouped else str(images) for images, groups in pairs))
        table.add_section()
        table.add_row("all", *(str(sum(images for images, _ in counts[part].values())) for part in counts))
        self._console.print(table)

    def runs(self, done: int, of: int) -> None:
        """Update the bar of the runs of a comparison."""
        if self._runs is None:
            self._runs = self._progress.add_task("runs", total=of)
        self._progress.update(self._runs, completed=done, total=of)

    def run(self, name: str, epochs: int) -> None:
        """Begin the bar of a run, which counts the epochs of all its stages."""
        if self._run is not None:
            self._progress.remove_task(self._run)
        self._run, self._epochs = self._progress.add_task(f"{name}: epochs", total=epochs), 0

    def prepare(self, what: str, done: int, of: int | None) -> None:
        """Update the bar of work before training."""
        self._update_bar(what, done, of)
        if done == of:
            self._remove_bar()

    def step(self, stage: str, epoch: int, done: int, steps: int) -> None:
        """Update the bars of the running epoch and of the run."""
        self._update_bar(f"{stage} epoch {epoch}", done, steps)
        self._update_run(self._epochs + done / steps)

    def _update_bar(self, what: str, done: int, of: int | None) -> None:
        if self._bar_name != what:
            self._remove_bar()
            self._bar = self._progress.add_task(what, total=of)
            self._bar_name = what
        assert self._bar is not None
        self._progress.update(self._bar, completed=done)

    def epoch(self, record: dict[str, Any]) -> None:
        """Print a finished epoch in one line; ``* kept`` marks the best so far."""
        self._remove_bar()
        self._epochs += 1
        self._update_run(self._epochs)
        parts = "  ".join(f"{name} {value:.4g}" for name, value in record["train"].items() if name != "total")
        self._console.print(
            f"{record['stage']} epoch {record['epoch']}  loss {record['train']['total']:.4g} ({parts})  "
            f"val balanced accuracy {record['val']['balanced_accuracy']:.3f}  accuracy {record['val']['accuracy']:.3f}"
            f"{'  * kept' if record['best'] else ''}",
            soft_wrap=True,
        )

    def _update_run(self, epochs: float) -> None:
        if self._run is not None:
            self._progress.update(self._run, completed=epochs)

    def _remove_bar(self) -> None:
        if self._bar is not None:
            self._progress.remove_task(self._bar)
        self._bar, self._bar_name = None, None


class DownloadProgress(_ProgressDisplay):
    """The progress of downloads: a bar of bytes for each file and operation, such as verifying it.

    Parameters
    ----------
    console
        Where to print; no bar where it is no terminal.
    """

    def __init__(self, console: Console) -> None:
        super().__init__(
            console,
            TextColumn("{task.description}"),
            BarColumn(),
            DownloadColumn(),
            TransferSpeedColumn(),
            TimeRemainingColumn(),
        )
        self._bars: dict[str, TaskID] = {}

    def moved(self, what: str, done: int, of: int | None) -> None:
        """Update the bar of `what`; where the total is unknown it only counts."""
        if what not in self._bars:
            self._bars[what] = self._progress.add_task(what, total=of)
        self._progress.update(self._bars[what], completed=done, total=of)


@contextmanager
def progress_bar(console: Console) -> Iterator[Counter]:
    """Yield a callback ``(what, done, total)`` that draws a bar for each `what`; no bars where there is no terminal."""
    bars: dict[str, TaskID] = {}
    with Progress(*_counting_columns(), console=console, transient=True, disable=not console.is_terminal) as progress:

        def update(what: str, done: int, total: int | None) -> None:
            if what not in bars:
                bars[what] = progress.add_task(what, total=total)
            progress.update(bars[what], completed=done)

        yield update


def _counting_columns() -> tuple[ProgressColumn, ...]:
    text, counts = TextColumn("{task.description}"), TextColumn("{task.completed:.0f}/{task.total}")
    return text, BarColumn(), counts, TimeElapsedColumn()
