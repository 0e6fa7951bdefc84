"""The threads that run the network, each with its own ONNX Runtime session and its own process that decodes."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from queue import SimpleQueue
from typing import TypeVar

from dspkd.deploy import Predictor
from dspkd.deploy.serve.admission import busy
from dspkd.deploy.serve.decoding import Decoder

Result = TypeVar("Result")


@dataclass(frozen=True)
class Worker:
    """What a thread works with: the network, and a process that decodes."""

    predictor: Predictor
    decoder: Decoder


class Workers:
    """A fixed number of threads, and of what they work with.

    Parameters
    ----------
    make
        Creates what a thread works with; called here once for each, so that a broken bundle is refused at the start.
    count
        Threads; at most one for each core is useful, since each runs its network on one thread.
    seconds
        Time limit of a job, waiting included.
    """

    def __init__(self, make: Callable[[], Worker], *, count: int, seconds: float) -> None:
        self._all = [make() for _ in range(count)]
        self._idle: SimpleQueue[Worker] = SimpleQueue()
        for worker in self._all:
            self._idle.put(worker)
        self._pool = ThreadPoolExecutor(count, thread_name_prefix="dspkd-worker")
        self._seconds = seconds

    async def run(self, job: Callable[[Worker], Result]) -> Result:
        """Run `job` on a thread with an idle worker; 503 if that takes too long.

        A job that has started runs to its end, for a thread cannot be stopped; decoding and the network have limits of
        their own. One that waits is removed from the queue.
        """

        def with_a_worker() -> Result:
            worker = self._idle.get()
            try:
                return job(worker)
            finally:
                self._idle.put(worker)

        try:
            async with asyncio.timeout(self._seconds):
                return await asyncio.get_running_loop().run_in_executor(self._pool, with_a_worker)
        except TimeoutError:
            raise busy(f"no prediction within {self._seconds:g} s") from None

    def start(self) -> None:
        """Start the processes that decode, so that the first image need not wait for them."""
        for worker in self._all:
            worker.decoder.start()

    def close(self) -> None:
        """End the processes that decode, also while they do, and then the threads."""
        for worker in self._all:
            worker.decoder.close()
        self._pool.shutdown(wait=True, cancel_futures=True)
