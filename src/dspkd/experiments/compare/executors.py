"""Train the runs of a grid: in this process, in several processes, or on a Ray cluster.

Each executor yields a run's folder when that run has ended, with its error or None, in any order.
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
from dspkd.experiments.compare import worker as training
from dspkd.runs.run_folder import Run
from dspkd.runtime import ray as cluster
from dspkd.runtime.cores import share_of_cores
from dspkd.training.progress import ProgressListener

Ended = Generator[tuple[Path, str | None], None, None]
Executor = Callable[[Sequence[Path]], Ended]


def choose(*, jobs: int = 1, ray: str | None = None, listener: ProgressListener | None = None) -> Executor:
    """Return the executor for these options: `ray` is a cluster's address; `listener` follows runs of this process.

    Raises
    ------
    RunError
        Both several jobs and Ray are requested.
    """
    if ray is None:
        return partial(processes, jobs=jobs) if jobs > 1 else partial(run_inline, listener=listener)
    if jobs > 1:
        raise RunError("--jobs and --ray: choose one; Ray trains as many runs at once as its cluster has CPUs for")
    return partial(on_ray, address=ray)


def run_inline(folders: Sequence[Path], listener: ProgressListener | None = None) -> Ended:
    """Train one run after another in this process."""
    for folder in folders:
        if listener:
            listener.note(f"{folder}:")
        yield folder, training.work(folder, listener)


def processes(folders: Sequence[Path], jobs: int) -> Ended:
    """Train runs in `jobs` processes of this machine; a process that is killed fails its own run only."""
    threads = share_of_cores(jobs)
    workers = [_Worker(threads) for _ in range(min(jobs, len(folders)))]
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
    finally:  # also when the user stops it
        pool.shutdown(wait=False, cancel_futures=True)
        for worker in workers:
            worker.stop()


def on_ray(folders: Sequence[Path], address: str) -> Ended:
    """Train each run as a Ray task that takes as many CPUs as it has threads, and a GPU if its device is one.

    Parameters
    ----------
    folders
        Run folders; all nodes must see them and the data under the same paths.
    address
        Address of the cluster, such as ``ray://host:10001`` or ``auto``; ``local`` starts one on this machine.

    Raises
    ------
    RunError
        Ray is not installed, or nothing answers at the address.
    """
    with cluster.connected(address) as ray:
        task: Any = ray.remote(_train_in)
        pending = {}
        for folder in folders:
            machine = Run(folder).recipe.machine
            needs = {"num_cpus": machine.threads or 1, "num_gpus": int(machine.device.startswith("cuda"))}
            pending[task.options(max_retries=0, **needs).remote(str(Path.cwd()), str(folder))] = folder
        while pending:
            (ended,), _ = ray.wait(list(pending), num_returns=1)
            try:
                error = ray.get(ended)
            except ray.exceptions.RayError as failure:
                error = f"its Ray task failed: {str(failure).strip().splitlines()[0]}"
            yield pending.pop(ended), error


def _train_in(directory: str, folder: str) -> str | None:
    """Train a run with `directory` as the working directory, to which the paths of its recipe are relative."""
    os.chdir(directory)
    return training.logged(Path(folder))


class _Worker:
    """A process that trains one run after another; started when first needed, and again if it died.

    Its recipe's threads are those of torch. The libraries behind the report would take a thread for each core of the
    machine, in each process, and their threads wait for each other by computing: `threads` limits them.
    """

    def __init__(self, threads: int) -> None:
        self._process: subprocess.Popen[str] | None = None
        self._environment = {"OMP_NUM_THREADS": str(threads)} | os.environ

    def train(self, folder: Path) -> str | None:
        """Train a run; return its error, or None."""
        if self._process is None:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "dspkd.experiments.compare.worker"],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                text=True,
                encoding="utf-8",
                env=self._environment,
                start_new_session=True,  # Ctrl-C must reach only the process that started it
            )
        assert self._process.stdin
        assert self._process.stdout
        self._process.stdin.write(json.dumps(str(folder)) + "\n")
        self._process.stdin.flush()
        line = self._process.stdout.readline()
        if line:
            error: str | None = json.loads(line)
            return error
        code = self._process.wait()
        self.stop()
        how = f"signal {-code}" if code < 0 else f"exit code {code}"
        return f"its process died ({how}); killed, or out of memory?"

    def stop(self) -> None:
        """Kill the process, if there is one; its run can be resumed."""
        if self._process is None:
            return
        process, self._process = self._process, None
        process.kill()
        process.communicate()
