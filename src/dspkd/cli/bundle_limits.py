"""The time and the memory that a command gives a bundle until its network has computed its first image."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from dspkd.errors import BundleError
from dspkd.runtime.allowance import memory, processor_time

SECONDS, SECONDS_A_MEGABYTE = 7.0, 0.05
MEGABYTES, COPIES = 700, 6
"""Memory: ONNX Runtime holds a network several times over while it prepares it."""


@contextmanager
def limited(bundle: Path) -> Iterator[None]:
    """Open a bundle inside: one that takes too long ends the process with one line, too much memory is an error.

    Raises
    ------
    BundleError
        It takes too much memory.
    """
    import onnxruntime  # noqa: F401, its libraries and numpy's reserve memory for each core: before the limit

    megabytes = 0.0
    with suppress(OSError):
        megabytes = bundle.stat().st_size / 1e6
    seconds = SECONDS + SECONDS_A_MEGABYTE * megabytes

    def give_up() -> None:  # an operator of a network cannot be stopped while it runs, only the process can
        sys.stderr.write(
            f"error: {bundle}: more than {seconds:.0f} s of processor time, far more than a bundle of its size needs; "
            "stopped. Export the bundle again, and do not use one of unknown origin\n"
        )
        sys.stderr.flush()
        os._exit(2)

    try:
        with memory(int(1e6 * (MEGABYTES + COPIES * megabytes))), processor_time(seconds, give_up):
            yield
    except MemoryError:
        raise BundleError(
            f"{bundle}: needs far more memory than a bundle of its size should; export it again, and do not use one of "
            "unknown origin"
        ) from None
