"""Data-parallel training: each process takes a share of every batch, and the step is that of the whole batch.

PyTorch's DistributedDataParallel averages the gradients. This module adds what needs all images of a batch: terms that
relate images to one another, and batch normalisation.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Mapping
from typing import Any

import torch
from torch import Tensor, distributed, nn
from torch.nn.parallel import DistributedDataParallel

from dspkd.runtime.distributed import World
from dspkd.training.distiller import Distiller, LocalStep
from dspkd.training.global_batch import GlobalBatchNorm
from dspkd.types import Batch, Output


def shared(distiller: Distiller, world: World) -> nn.Module:
    """Return the module to call with this rank's share of a batch: the wrapped distiller; itself if there is one rank.

    Its backward pass leaves in the parameters the gradient of the whole batch, on every rank. All ranks start from the
    parameters of rank 0.
    """
    if world.size == 1:
        return distiller
    distiller.step = ShardedStep(world)
    # 1x1 kernels have two equivalent memory layouts; a mismatch costs one copy.
    warnings.filterwarnings("ignore", message="Grad strides do not match bucket view strides")
    # Each step of a stage uses the same layers. A classifier may be unused; its gradient then stays None.
    return DistributedDataParallel(distiller, static_graph=True)


def averaged(losses: Mapping[str, Tensor], world: World) -> dict[str, Tensor]:
    """Return the losses of the whole batch, detached, from those that `shared` computes on each rank."""
    own = {name: loss.detach() for name, loss in losses.items()}
    if world.size == 1:
        return own
    values = torch.stack(list(own.values()))
    distributed.all_reduce(values)
    return dict(zip(own, values / world.size, strict=True))


class ShardedStep(LocalStep):
    r"""Computes the contribution of rank r to the step of the whole batch.

    DistributedDataParallel averages gradients over the R ranks, so each rank's loss is such that their mean is that of
    the whole batch: a term that is a mean over images is computed on the rank's own :math:`b_r` of B images, weighted
    by :math:`R\,b_r / B`; any other term is computed on all images, identically on all ranks, and its gradient to the
    rank's own images is multiplied by R.
    """

    def __init__(self, world: World) -> None:
        self._world = world

    def answer(self, network: nn.Module, images: Tensor, batch: Batch) -> Output:
        """Return the network's output for this rank's images, with batch normalisation over the whole batch."""
        with GlobalBatchNorm(batch):
            return super().answer(network, images, batch)

    def loss(self, term: nn.Module, student: Output, teacher: Output | None, batch: Batch) -> Tensor:
        """Return a loss whose mean over the ranks is the term's loss of the whole batch."""
        assert batch.whole, "TrainBatches sets it for several ranks"
        part = batch.labelled_part() if term.labelled_only else batch
        assert part.whole, "a share of a whole batch"
        if not term.by_image:
            whole = (each and _Whole(each, batch, self._world, part.whole) for each in (student, teacher, batch))
            loss: Tensor = term(*whole)
            return loss
        with GlobalBatchNorm(part):
            return super().loss(term, student, teacher, batch) * (self._world.size * len(part) / part.whole)


class _Whole:
    """The first `count` images of the whole batch, or the output for them.

    Each tensor is gathered from the ranks at its first use.
    """

    first, whole, draw = 0, None, Batch.draw

    def __init__(self, own: Batch | Output, batch: Batch, world: World, count: int) -> None:
        self._own, self._batch, self._world, self._count = own, batch, world, count

    def __len__(self) -> int:
        return self._count

    def detach(self) -> _Whole:
        assert isinstance(self._own, Output), "batches have no gradient"
        return _Whole(self._own.detach(), self._batch, self._world, self._count)

    def __getattr__(self, name: str) -> Any:
        value = getattr(self._own, name)
        if isinstance(value, Tensor):
            value = _gathered(value, self._batch, self._world, self._count)
        elif isinstance(value, Output):
            value = _Whole(value, self._batch, self._world, self._count)
        elif isinstance(value, Mapping):
            value = _WholeMaps(value, self._batch, self._world, self._count)
        setattr(self, name, value)
        return value


class _WholeMaps(Mapping[str, Tensor]):
    def __init__(self, own: Mapping[str, Tensor], batch: Batch, world: World, count: int) -> None:
        self._own, self._batch, self._world, self._count = own, batch, world, count
        self._gathered: dict[str, Tensor] = {}

    def __getitem__(self, tap: str) -> Tensor:
        if tap not in self._gathered:
            self._gathered[tap] = _gathered(self._own[tap], self._batch, self._world, self._count)
        return self._gathered[tap]

    def __iter__(self) -> Iterator[str]:
        return iter(self._own)

    def __len__(self) -> int:
        return len(self._own)


def _gathered(own: Tensor, batch: Batch, world: World, count: int) -> Tensor:
    """Return the rows of all ranks for the first `count` images of the whole batch, in each group of views."""
    whole: Tensor = _Gathered.apply(own, batch, world)
    if count == batch.whole:
        return whole
    assert batch.whole, "TrainBatches sets it for several ranks"
    groups = whole.view(-1, batch.whole, *whole.shape[1:])
    return groups[:, :count].flatten(0, 1)


class _Gathered(torch.autograd.Function):
    """Gathers the rows of all ranks in the order of the whole batch; g groups of them with g - 1 derived views."""

    @staticmethod
    def forward(ctx: Any, own: Tensor, batch: Batch, world: World) -> Tensor:
        assert batch.whole, "TrainBatches sets it for several ranks"
        sizes = [len(share) for share in world.shares(batch.whole)]
        groups = len(own) // len(batch)
        ctx.place = (groups, batch.whole, batch.first, batch.first + len(batch), world.size)
        rows = own.reshape(groups, len(batch), *own.shape[1:]).transpose(0, 1).contiguous()
        padded = torch.cat([rows, rows[: max(sizes) - len(rows)]])  # shares differ by one image at most
        gathered = [torch.empty_like(padded) for _ in sizes]
        distributed.all_gather(gathered, padded)
        whole = torch.cat([values[:size] for values, size in zip(gathered, sizes, strict=True)])
        return whole.transpose(0, 1).flatten(0, 1)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None, None]:
        groups, whole, first, last, ranks = ctx.place
        of_groups = grad.reshape(groups, whole, *grad.shape[1:])
        return ranks * of_groups[:, first:last].flatten(0, 1), None, None
