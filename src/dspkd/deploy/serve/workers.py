"""The threads that read images and run the network, each with an ONNX Runtime session of its own."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from queue import SimpleQueue
from typing import TypeVar

from dspkd.deploy import Predictor
from dspkd.deploy.serve.admission import busy

Answer = TypeVar("Answer")


class Workers:
    """A fixed number of threads, and as many predictors.

    Parameters
    ----------
    make
        Makes a predictor; called once for each thread, here, so that a broken bundle is refused at the start.
    count
        Threads. One for each core is most: each runs its network on one thread.
    seconds
        After so long, waiting included, an answer is given up.
    """

    def __init__(self, make: Callable[[], Predictor], *, count: int, seconds: float) -> None:
        self._idle: SimpleQueue[Predictor] = SimpleQueue()
        for _ in range(count):
            self._idle.put(make())
        self._pool = ThreadPoolExecutor(count, thread_name_prefix="dspkd-worker")
        self._seconds = seconds

    async def run(self, job: Callable[[Predictor], Answer]) -> Answer:
        """Run `job` on a thread with an idle predictor; 503 where that takes too long.

        A job that has begun runs to its end: a thread cannot be stopped. One that waits is taken out of the line.
        """

        def with_a_predictor() -> Answer:
            predictor = self._idle.get()
            try:
                return job(predictor)
            finally:
                self._idle.put(predictor)

        try:
            async with asyncio.timeout(self._seconds):
                return await asyncio.get_running_loop().run_in_executor(self._pool, with_a_predictor)
        except TimeoutError:
            raise busy(f"no answer within {self._seconds:g} s") from None

    def close(self) -> None:
        """Finish what runs, and end the threads."""
        self._pool.shutdown(wait=True, cancel_futures=True)
