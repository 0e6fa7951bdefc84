"""The number of threads with which torch computes in this process."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch


@contextmanager
def kept(count: int | None = None) -> Iterator[None]:
    """Let torch have `count` threads in the block, or those that the block sets; then its former number again."""
    former = torch.get_num_threads()
    try:
        if count:
            torch.set_num_threads(count)
        yield
    finally:
        torch.set_num_threads(former)
