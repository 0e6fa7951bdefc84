"""The threads that decode images and run the network, each with its own ONNX Runtime session."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from queue import SimpleQueue
from typing import TypeVar

from dspkd.deploy import Predictor
from dspkd.deploy.serve.admission import busy

Result = TypeVar("Result")


class Workers:
    """A fixed number of threads, and as many predictors.

    Parameters
    ----------
    make
        Creates a predictor; called here once for each thread, so that a broken bundle is refused at the start.
    count
        Threads; at most one for each core is useful, since each runs its network on one thread.
    seconds
        Time limit of a job, waiting included.
    """

    def __init__(self, make: Callable[[], Predictor], *, count: int, seconds: float) -> None:
        self._idle: SimpleQueue[Predictor] = SimpleQueue()
        for _ in range(count):
            self._idle.put(make())
        self._pool = ThreadPoolExecutor(count, thread_name_prefix="dspkd-worker")
        self._seconds = seconds

    async def run(self, job: Callable[[Predictor], Result]) -> Result:
        """Run `job` on a thread with an idle predictor; 503 if that takes too long.

        A job that has started runs to its end: a thread cannot be stopped. One that waits is removed from the queue.
        """

        def with_a_predictor() -> Result:
            predictor = self._idle.get()
            try:
                return job(predictor)
            finally:
                self._idle.put(predictor)

        try:
            async with asyncio.timeout(self._seconds):
                return await asyncio.get_running_loop().run_in_executor(self._pool, with_a_predictor)
        except TimeoutError:
            raise busy(f"no prediction within {self._seconds:g} s") from None

    def close(self) -> None:
        """Finish running jobs, and end the threads."""
        self._pool.shutdown(wait=True, cancel_futures=True)
