"""The global random generators, which training seeds and leaves as they were."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch


@contextmanager
def kept() -> Iterator[None]:
    """Give torch's generators back their state at the end of the block, in which they may be seeded.

    Else whatever a program draws after a training would be the same each time: students made one after another would
    begin with equal weights.
    """
    used = torch.cuda.is_initialized()  # type: ignore[no-untyped-call]
    gpus = range(torch.cuda.device_count()) if used else ()
    with torch.random.fork_rng(devices=list(gpus)):
        yield
