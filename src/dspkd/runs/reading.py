"""Open a run, whichever form its folder has."""

from __future__ import annotations

from pathlib import Path

from dspkd.errors import RunError
from dspkd.runs import packed
from dspkd.runs.files import RunFiles
from dspkd.runs.folds import FoldedRun, is_fold
from dspkd.runs.packed import PackedRun
from dspkd.runs.run_folder import Run


def opened(folder: Path) -> Run:
    """Return the run in a folder: as training wrote it, packed, or of all folds; it may be unfinished.

    Raises
    ------
    RunError
        There is no such folder, or it is both a run and the folder of several folds.
    """
    folds = [path for path in folder.glob("fold-*") if is_fold(path)]
    own = RunFiles(folder).recipe.is_file()
    if folds and own:
        raise RunError(f"{folder}: is a run, and has folds in it; move one of the two elsewhere")
    if folds:
        return FoldedRun(folder, [opened(path) for path in folds])
    return PackedRun(folder) if (folder / packed.RUN).is_file() else Run(folder)
