"""Images of another data set than the run's own, and how they were read."""

from __future__ import annotations

from pathlib import Path

from dspkd import data
from dspkd.data import assumptions
from dspkd.data.table import Table
from dspkd.training.progress import NullProgress, ProgressListener


def load(folder: Path, group: str | None, listener: ProgressListener | None, classes: Path | None = None) -> Table:
    """Return the images of another data set; `listener` receives how it was read."""
    listener = listener or NullProgress()
    table = data.load_table(folder, group=group, classes=classes, progress=listener.prepare, log=listener.note)
    for line in (*assumptions.lines(table), *assumptions.warnings(table)):
        listener.note(line)
    return table
