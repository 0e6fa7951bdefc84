"""Where the runs of a grid are computed: in this process, in several, or on a Ray cluster.

Each yields a run's folder when that run has ended, with what went wrong or None; the order is any.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Generator, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from functools import partial
from pathlib import Path
from queue import SimpleQueue
from typing import Any

from dspkd.errors import RunError
from dspkd.experiments.compare import worker as cell
from dspkd.recipes import schema
from dspkd.runtime import ray as cluster
from dspkd.training.progress import ProgressListener

Ended = Generator[tuple[Path, str | None], None, None]
Engine = Callable[[Sequence[Path]], Ended]


def choose(*, jobs: int = 1, ray: str | None = None, listener: ProgressListener | None = None) -> Engine:
    """Return the engine that a person asks for: `ray` is a cluster's address; `listener` sees runs of this process.

    Raises
    ------
    RunError
        Both several jobs and Ray are asked for.
    """
    if ray is None:
        return partial(processes, jobs=jobs) if jobs > 1 else partial(run_inline, listener=listener)
    if jobs > 1:
        raise RunError("--jobs and --ray: give one; Ray runs as many at once as its cluster has CPUs for")
    return partial(on_ray, address=ray)


def run_inline(folders: Sequence[Path], listener: ProgressListener | None = None) -> Ended:
    """Train one run after another in this process."""
    for folder in folders:
        if listener:
            listener.note(f"{folder}:")
        yield folder, cell.work(folder, listener)


def processes(folders: Sequence[Path], jobs: int) -> Ended:
    """Train runs in `jobs` processes of this machine; one that is killed fails its own run alone."""
    workers = [_Worker() for _ in range(min(jobs, len(folders)))]
    idle: SimpleQueue[_Worker] = SimpleQueue()
    for worker in workers:
        idle.put(worker)

    def train(folder: Path) -> tuple[Path, str | None]:
        worker = idle.get()
        try:
            return folder, worker.train(folder)
        finally:
            idle.put(worker)

    pool = ThreadPoolExecutor(max(1, len(workers)))
    try:
        for ended in as_completed([pool.submit(train, folder) for folder in folders]):
            yield ended.result()
    finally:  # also where a person stops it
        pool.shutdown(wait=False, cancel_futures=True)
        for worker in workers:
            worker.stop()


def on_ray(folders: Sequence[Path], address: str) -> Ended:
    """Train each run as a Ray task that takes as many CPUs as it has threads, and a GPU if its device is one.

    Parameters
    ----------
    folders
        Run folders, on a file system that all nodes see under the same paths, as the data must be.
    address
        Of the cluster, such as ``ray://host:10001`` or ``auto``; ``local`` starts one on this machine.

    Raises
    ------
    RunError
        Ray is not installed, or nothing answers at the address.
    """
    with cluster.connected(address) as ray:
        task: Any = ray.remote(_elsewhere)
        pending = {}
        for folder in folders:
            machine = schema.load(folder / "recipe.toml").machine
            needs = {"num_cpus": machine.threads or 1, "num_gpus": int(machine.device.startswith("cuda"))}
            pending[task.options(max_retries=0, **needs).remote(str(Path.cwd()), str(folder))] = folder
        while pending:
            (ended,), _ = ray.wait(list(pending), num_returns=1)
            try:
                wrong = ray.get(ended)
            except ray.exceptions.RayError as failure:
                wrong = f"its Ray task failed: {str(failure).strip().splitlines()[0]}"
            yield pending.pop(ended), wrong


def _elsewhere(directory: str, folder: str) -> str | None:
    """Train a run in another process, which need not have been started in `directory`, where relative paths begin."""
    os.chdir(directory)
    return cell.logged(Path(folder))


class _Worker:
    """A process that trains one run after another: it is started at the first, and anew where it died."""

    def __init__(self) -> None:
        self._process: subprocess.Popen[str] | None = None

    def train(self, folder: Path) -> str | None:
        """Return what went wrong with the run, or None."""
        if self._process is None:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "dspkd.experiments.compare.worker"],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                text=True,
                encoding="utf-8",
                start_new_session=True,  # a person's Ctrl-C is for the process that started it
            )
        assert self._process.stdin
        assert self._process.stdout
        self._process.stdin.write(json.dumps(str(folder)) + "\n")
        self._process.stdin.flush()
        answer = self._process.stdout.readline()
        if answer:
            error: str | None = json.loads(answer)
            return error
        code = self._process.wait()
        self.stop()
        how = f"signal {-code}" if code < 0 else f"exit code {code}"
        return f"its process died ({how}); killed, or out of memory?"

    def stop(self) -> None:
        """Kill the process, if there is one; its run may be gone on with."""
        if self._process is None:
            return
        process, self._process = self._process, None
        process.kill()
        process.communicate()
