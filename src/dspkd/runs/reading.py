"""Open a run, whichever form its folder has."""

from __future__ import annotations

from pathlib import Path

from dspkd.runs import packed
from dspkd.runs.packed import PackedRun
from dspkd.runs.run_folder import Run


def opened(folder: Path) -> Run:
    """Return the run in a folder, as training wrote it or packed; it may be unfinished."""
    return PackedRun(folder) if (folder / packed.RUN).is_file() else Run(folder)
