"""Processes that train one student together, as ``torchrun`` starts them: ranks, and collective calls.

In a single process each call here simply runs its work.
"""

from __future__ import annotations

import atexit
import os
import platform
import signal
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, nullcontext
from dataclasses import dataclass
from datetime import timedelta
from itertools import pairwise
from pathlib import Path
from typing import TypeVar

import torch
from torch import distributed

from dspkd.errors import DspkdError, RankError, RunError, TrainingError

T = TypeVar("T")

TIMEOUT = timedelta(days=1)
"""How long a rank waits for one that does not respond. A rank that dies is noticed at once, as its connections close;
this is for machines that vanish. It is longer than what one rank does while the others wait: decoding, the evaluation
at the end, waiting for another process that fills the same cache."""


@dataclass(frozen=True)
class World:
    """The number of processes that train together, and the rank of this one.

    Every rank must call the methods, in the same order.

    Attributes
    ----------
    rank, size
        Rank of this process, and number of processes, over all machines. Only rank 0 prints and writes the run folder.
    local_rank, local_size
        The same, among the processes of this machine.
    """

    rank: int = 0
    size: int = 1
    local_rank: int = 0
    local_size: int = 1

    def shares(self, total: int) -> list[range]:
        """Return which of `total` items each rank takes, in order; shares differ by at most one item."""
        ends = [total * rank // self.size for rank in range(self.size + 1)]
        return [range(start, end) for start, end in pairwise(ends)]

    def all_gather(self, value: T) -> list[T]:
        """Return the `value` of each rank, in order of rank; it must be picklable."""
        if self.size == 1:
            return [value]
        values: list[T | None] = [None] * self.size
        distributed.all_gather_object(values, value)
        return values  # type: ignore[return-value]

    def on_rank_zero(self, work: Callable[[], T]) -> T:
        """Run `work` on rank 0 alone, and return its result on every rank.

        Raises
        ------
        DspkdError
            The error of rank 0; on other ranks a `RankError` that quotes it.
        """
        if self.size == 1:
            return work()
        result, error = _attempt(work) if self.rank == 0 else (None, None)
        payload = [result, error]
        distributed.broadcast_object_list(payload)
        if payload[1] is not None:
            raise error or RankError(f"rank 0: {payload[1]}")
        return payload[0]  # type: ignore[return-value]

    def on_all(self, work: Callable[[], T]) -> T:
        """Run `work` on every rank, and return this rank's result once all have finished.

        Raises
        ------
        DspkdError
            On rank 0, the error of the lowest rank that failed, with rank and machine; a `RankError` on other ranks.
        """
        if self.size == 1:
            return work()
        result, error = _attempt(work)
        failure = None if error is None else (type(error), f"on {platform.node()}: {error}")
        for rank, failed in enumerate(self.all_gather(failure)):
            if failed is None:
                continue
            kind, text = failed
            if self.rank > 0:
                raise RankError(f"rank {rank} {text}")
            raise error or kind(f"rank {rank} {text}")
        return result  # type: ignore[return-value]

    def rank_zero_first(self, work: Callable[[], T]) -> T:
        """Run `work` on local rank 0 of each machine, then on its other ranks, which find on disk what it cached."""
        if self.local_rank > 0:
            self.on_all(_nothing)
            return self.on_all(work)
        result = self.on_all(work)
        self.on_all(_nothing)
        return result

    def writes(self, folder: Path) -> bool:
        """Return whether this rank writes into `folder`: rank 0, and local rank 0 of each machine with its own disk.

        Rank 0 creates a file there; a machine where it is not visible has its own disk. Where rank 0 may only read, as
        in a cache of others that is filled, each machine counts as one: what writes there next says that it cannot.
        """
        if self.size == 1:
            return True
        with _token(folder) if self.rank == 0 else nullcontext() as token:
            name = self.on_rank_zero(lambda: token)
            visible = name is not None and (folder / name).exists()
            self.all_gather(None)  # the file stays until all ranks have looked
        return self.rank == 0 or (self.local_rank == 0 and not visible)


SINGLE = World()
"""A process that trains alone."""


@contextmanager
def _token(folder: Path) -> Iterator[str | None]:
    """Yield the name of a file that is in `folder` for a while; None where it cannot be created."""
    with ExitStack() as stack:
        try:
            token = stack.enter_context(tempfile.NamedTemporaryFile(dir=folder))
        except OSError:
            yield None
        else:
            yield Path(token.name).name


def _nothing() -> None:
    pass


def _attempt(work: Callable[[], T]) -> tuple[T | None, DspkdError | None]:
    try:
        return work(), None
    except DspkdError as error:
        return None, error


def _skip_teardown_at_exit(code: int) -> None:
    """Make this process exit with `code` once its output is flushed, without closing its connections.

    Their destructors wait for the other ranks, which may be waiting for this one in the same way.
    """

    def exit_now() -> None:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)

    atexit.register(exit_now)


_TERMINATED = "terminated, by torchrun because another rank has died (see its report below) or by the job scheduler"
_RESUME = "The same command goes on from the last finished epoch, with any number of ranks"


@contextmanager
def joined() -> Iterator[World]:
    """Join the ranks that ``torchrun`` has started with this one, if any, and leave them at the end of the block.

    Raises
    ------
    RankError
        Another rank has died or has not responded for `TIMEOUT`; or this one was terminated, as by ``torchrun`` when it
        notices that first, and by SLURM at a time limit.
    """
    if int(os.environ.get("WORLD_SIZE", "1")) == 1:
        yield SINGLE
        return
    gpus = torch.cuda.device_count() if torch.cuda.is_available() else 0
    world = World(*(int(os.environ[name]) for name in ("RANK", "WORLD_SIZE", "LOCAL_RANK", "LOCAL_WORLD_SIZE")))
    if gpus:
        torch.cuda.set_device(world.local_rank % gpus)

    def terminate(*_: object) -> None:
        raise RankError(f"rank {world.rank} of {world.size}: {_TERMINATED}. {_RESUME}")

    signal.signal(signal.SIGTERM, terminate)
    try:
        distributed.init_process_group("cpu:gloo,cuda:nccl" if gpus else "gloo", timeout=TIMEOUT)
        yield world
        world.all_gather(None)  # a rank that leaves while others still communicate looks as if it had died
    except KeyboardInterrupt:
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # torchrun sends it a second time
        _skip_teardown_at_exit(130)
        if world.rank > 0:
            raise SystemExit(130) from None
        raise
    except (RankError, TrainingError):
        _skip_teardown_at_exit(2)
        if world.rank > 0:  # rank 0 reports it
            raise SystemExit(2) from None
        raise
    except RuntimeError as error:
        if not isinstance(error, distributed.DistError) and not any(name in str(error) for name in ("gloo", "NCCL")):
            raise
        _skip_teardown_at_exit(2)
        raise RankError(
            f"rank {world.rank} of {world.size}: another rank has died or cannot be reached; its message is above, or "
            f"in its machine's log ({str(error).splitlines()[0]}). {_RESUME}"
        ) from error
    distributed.destroy_process_group()


def require_enough(images: int, world: World) -> None:
    """Raise RunError unless each rank gets two or more of a batch's `images`."""
    if images < 2 * world.size and world.size > 1:
        raise RunError(
            f"train.batch_size: {images} images on {world.size} ranks; each rank needs two or more of a "
            f"batch: start at most {max(images // 2, 1)} ranks"
        )
