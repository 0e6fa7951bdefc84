"""Limits on the time and the memory of work on files that somebody else made."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

_LOOK_EVERY = 0.1
"""Seconds between two looks at the clock."""


@contextmanager
def processor_time(seconds: float, exceeded: Callable[[], object]) -> Iterator[None]:
    """Call `exceeded`, on another thread, once the work inside has taken this thread so many seconds of a processor.

    What other processes take does not count. Where a thread has no such clock (Windows), time on the wall does.
    """
    clock = _clock()
    latest, done = clock() + seconds, threading.Event()

    def watch() -> None:
        while not done.wait(_LOOK_EVERY):
            if clock() > latest:
                exceeded()
                return

    watcher = threading.Thread(target=watch, daemon=True)
    watcher.start()
    try:
        yield
    finally:
        done.set()
        watcher.join()


@contextmanager
def memory(more: int) -> Iterator[None]:
    """Let this process reserve `more` bytes than now, on Linux; beyond that, an allocation inside fails."""
    try:
        import resource

        pages = int(Path("/proc/self/statm").read_text().split()[0])
    except (ImportError, OSError):
        yield
        return
    soft, hard = resource.getrlimit(resource.RLIMIT_AS)
    most = pages * resource.getpagesize() + more
    if hard != resource.RLIM_INFINITY:
        most = min(most, hard)
    resource.setrlimit(resource.RLIMIT_AS, (most, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_AS, (soft, hard))


def _clock() -> Callable[[], float]:
    """Return the clock of this thread's processor time."""
    if not hasattr(time, "pthread_getcpuclockid"):
        return time.monotonic
    number = time.pthread_getcpuclockid(threading.get_ident())
    return lambda: time.clock_gettime(number)
