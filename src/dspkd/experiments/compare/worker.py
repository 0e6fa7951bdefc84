"""Train the runs of a grid, one after another: ``python -m dspkd.experiments.compare.worker``.

It reads one folder per line, in JSON, and writes the run's error, or null, for each. It exits when its standard input
closes, that is when the process that started it ends, so that no training goes on unwatched.
"""

from __future__ import annotations

import json
import os
import sys
import threading
import traceback
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path
from queue import SimpleQueue

from filelock import FileLock
from rich.console import Console

from dspkd.errors import DspkdError
from dspkd.experiments import single_run
from dspkd.runs.run_folder import Run
from dspkd.runtime.console import ConsoleProgress
from dspkd.training.progress import ProgressListener

LOG = "log.txt"


def work(folder: Path, listener: ProgressListener | None = None) -> str | None:
    """Train the run whose ``recipe.toml`` lies in `folder`; return its error in one line, or None.

    An unexpected error also leaves its traceback in the log. Waits for another process that trains in the same folder.
    """
    with FileLock(folder / ".lock"):
        try:
            single_run.train(Run(folder).recipe, folder, listener)
        except DspkdError as error:
            return str(error)
        except Exception as error:
            with (folder / LOG).open("a", encoding="utf-8") as log:
                traceback.print_exc(file=log)
            return f"{type(error).__name__}: {error}"
    return None


def logged(folder: Path) -> str | None:
    """Train a run as `work` does, with its output in the folder's log."""
    with (folder / LOG).open("a", encoding="utf-8", buffering=1) as log, redirect_stdout(log), redirect_stderr(log):
        console = Console(file=log, markup=False, emoji=False, highlight=False, width=120)
        with ConsoleProgress(console) as screen:
            error = work(folder, screen)
        if error:
            console.print(f"error: {error}", soft_wrap=True)
    return error


def _listen() -> None:
    """Train the runs whose folders arrive on standard input."""
    errors = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)  # what libraries print must not be taken for an error
    folders: SimpleQueue[Path] = SimpleQueue()
    threading.Thread(target=_read, args=(folders,), daemon=True).start()
    while True:
        errors.write(json.dumps(logged(folders.get())) + "\n")
        errors.flush()


def _read(folders: SimpleQueue[Path]) -> None:
    for line in sys.stdin:
        folders.put(Path(json.loads(line)))
    os._exit(0)


if __name__ == "__main__":
    _listen()
