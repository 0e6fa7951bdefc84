"""Processes that train one student together, as ``torchrun`` starts them: their numbers, and how they talk.

Where there is one process, and nobody started it with others, everything here is a plain call.
"""

from __future__ import annotations

import atexit
import os
import platform
import signal
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from datetime import timedelta
from itertools import pairwise
from pathlib import Path
from typing import TypeVar

import torch
from torch import distributed

from dspkd.errors import DspkdError, RankError, RunError, TrainingError

T = TypeVar("T")

TIMEOUT = timedelta(hours=1)
"""How long a rank waits for another one that says nothing. One that has died is noticed at once, since its connections
close; this is for machines that vanish. It is longer than images take to decode, for which the others wait."""


@dataclass(frozen=True)
class World:
    """How many processes there are, and which this one is.

    Every rank must call the methods, in the same order.

    Attributes
    ----------
    rank, size
        This process, out of so many on all machines. Rank 0 alone prints and writes into the run folder.
    local_rank, local_size
        The same on this machine.
    """

    rank: int = 0
    size: int = 1
    local_rank: int = 0
    local_size: int = 1

    def shares(self, whole: int) -> list[range]:
        """Return which of `whole` things each rank takes, in their order; numbers differ by one at most."""
        ends = [whole * rank // self.size for rank in range(self.size + 1)]
        return [range(start, end) for start, end in pairwise(ends)]

    def all_gather(self, value: T) -> list[T]:
        """Return what each rank gives, in their order; anything that can be pickled."""
        if self.size == 1:
            return [value]
        values: list[T | None] = [None] * self.size
        distributed.all_gather_object(values, value)
        return values  # type: ignore[return-value]

    def on_rank_zero(self, work: Callable[[], T]) -> T:
        """Return, on every rank, what rank 0 gets from `work`; it alone does it.

        Raises
        ------
        DspkdError
            What rank 0 raised; a `RankError` on the others.
        """
        if self.size == 1:
            return work()
        result, mistake = _tried(work) if self.rank == 0 else (None, None)
        said = [result, mistake]
        distributed.broadcast_object_list(said)
        if said[1] is not None:
            raise mistake or RankError(f"rank 0: {said[1]}")
        return said[0]  # type: ignore[return-value]

    def on_all(self, work: Callable[[], T]) -> T:
        """Return what `work` gives here, once every rank has done it.

        Raises
        ------
        DspkdError
            On rank 0, what the first rank raised that did, and which one that was; a `RankError` on the others.
        """
        if self.size == 1:
            return work()
        result, mistake = _tried(work)
        said = None if mistake is None else (type(mistake), f"on {platform.node()}: {mistake}")
        for rank, told in enumerate(self.all_gather(said)):
            if told is None:
                continue
            kind, text = told
            if self.rank > 0:
                raise RankError(f"rank {rank} {text}")
            raise mistake or kind(f"rank {rank} {text}")
        return result  # type: ignore[return-value]

    def rank_zero_first(self, work: Callable[[], T]) -> T:
        """Do `work` first on one rank of each machine, then on the others, which find on disk what it made."""
        if self.local_rank > 0:
            self.on_all(_nothing)
            return self.on_all(work)
        result = self.on_all(work)
        self.on_all(_nothing)
        return result

    def writes(self, folder: Path) -> bool:
        """Return whether this rank is the one to write into `folder`: rank 0, and one on each machine that has its own.

        Rank 0 puts a file there, and the others look whether they see it.
        """
        if self.size == 1:
            return True
        with tempfile.NamedTemporaryFile(dir=folder) if self.rank == 0 else nullcontext() as token:
            name = self.on_rank_zero(lambda: Path(token.name).name)  # type: ignore[union-attr]
            seen = (folder / name).exists()
            self.all_gather(None)  # the file stays until all have looked
        return self.rank == 0 or (self.local_rank == 0 and not seen)


SINGLE = World()


def _nothing() -> None:
    pass


def _tried(work: Callable[[], T]) -> tuple[T | None, DspkdError | None]:
    try:
        return work(), None
    except DspkdError as error:
        return None, error


def _end_at_once(code: int) -> None:
    """Let the process end, once it has said what it has to say, without waiting for what it still has to exchange.

    The other ranks may be waiting for this one likewise, each in the destructor of its connections.
    """

    def end() -> None:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)

    atexit.register(end)


_WHY = "by torchrun because another rank has died, which it tells of below, or by whoever ends jobs here"
_GO_ON = "The same command goes on from the last finished epoch, with any number of ranks"


@contextmanager
def joined() -> Iterator[World]:
    """Join the ranks that ``torchrun`` has started with this one, if it did; leave them at the end.

    Raises
    ------
    RankError
        Another rank has died, or has said nothing for `TIMEOUT`; or this one was told to end, as ``torchrun`` does
        when it finds that out first, and SLURM at a time limit.
    """
    if int(os.environ.get("WORLD_SIZE", "1")) == 1:
        yield SINGLE
        return
    gpus = torch.cuda.device_count() if torch.cuda.is_available() else 0
    mine = World(*(int(os.environ[name]) for name in ("RANK", "WORLD_SIZE", "LOCAL_RANK", "LOCAL_WORLD_SIZE")))
    if gpus:
        torch.cuda.set_device(mine.local_rank % gpus)

    def told_to_end(*_: object) -> None:
        raise RankError(f"rank {mine.rank} of {mine.size}: told to end, {_WHY}. {_GO_ON}")

    signal.signal(signal.SIGTERM, told_to_end)
    try:
        distributed.init_process_group("cpu:gloo,cuda:nccl" if gpus else "gloo", timeout=TIMEOUT)
        yield mine
        mine.all_gather(None)  # leaving early, while others still talk, looks like dying
    except KeyboardInterrupt:
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # torchrun passes it on once more
        _end_at_once(130)
        if mine.rank > 0:
            raise SystemExit(130) from None
        raise
    except (RankError, TrainingError):
        _end_at_once(2)
        if mine.rank > 0:  # rank 0 tells of it
            raise SystemExit(2) from None
        raise
    except RuntimeError as error:
        if not isinstance(error, distributed.DistError) and not any(name in str(error) for name in ("gloo", "NCCL")):
            raise
        _end_at_once(2)
        raise RankError(
            f"rank {mine.rank} of {mine.size}: another rank has died or cannot be reached; what it said is above, or "
            f"in its machine's log ({str(error).splitlines()[0]}). {_GO_ON}"
        ) from error
    distributed.destroy_process_group()


def require_enough(images: int, world: World) -> None:
    """Raise RunError unless each rank has two images or more of a batch of so many."""
    if images < 2 * world.size and world.size > 1:
        raise RunError(
            f"train.batch_size: {images} images on {world.size} ranks; each takes its share of a batch and needs "
            f"two or more: start at most {max(images // 2, 1)} ranks"
        )
