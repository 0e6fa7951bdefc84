"""What a run shows on a terminal."""

from __future__ import annotations

from types import TracebackType
from typing import Any, Self

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.table import Table

from dspkd.data.split import Counts


class Screen:
    """A watcher that prints counts, a progress bar for the running epoch, and a line for each epoch that has ended."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._progress = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            TextColumn("{task.completed}/{task.total} steps"),
            TimeElapsedColumn(),
            TimeRemainingColumn(),
            console=console,
            transient=True,
        )
        self._bar: TaskID | None = None
        self._shown: tuple[str, int] | None = None

    def __enter__(self) -> Self:
        self._progress.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._progress.stop()

    def data(self, counts: Counts) -> None:
        """Print images and groups per class and part."""
        table = Table(title="images (lesions or patients)", title_justify="left")
        table.add_column("class")
        for part in counts:
            table.add_column(part, justify="right")
        for name in next(iter(counts.values())):
            table.add_row(name, *(f"{counts[part][name][0]} ({counts[part][name][1]})" for part in counts))
        table.add_section()
        table.add_row("all", *(str(sum(images for images, _ in counts[part].values())) for part in counts))
        self._console.print(table)

    def step(self, stage: str, epoch: int, done: int, steps: int) -> None:
        """Move the bar."""
        if self._shown != (stage, epoch):
            self._clear()
            self._bar = self._progress.add_task(f"{stage} epoch {epoch}", total=steps)
            self._shown = (stage, epoch)
        assert self._bar is not None
        self._progress.update(self._bar, completed=done)

    def epoch(self, record: dict[str, Any]) -> None:
        """Print what came of an epoch."""
        self._clear()
        parts = "  ".join(f"{name} {value:.4g}" for name, value in record["train"].items() if name != "total")
        self._console.print(
            f"{record['stage']} {record['epoch']:>3}  loss {record['train']['total']:.4g} ({parts})  "
            f"balanced accuracy {record['val']['balanced_accuracy']:.3f}  accuracy {record['val']['accuracy']:.3f}"
            f"{'  *' if record['best'] else ''}",
            highlight=False,
        )

    def _clear(self) -> None:
        if self._bar is not None:
            self._progress.remove_task(self._bar)
        self._bar, self._shown = None, None
