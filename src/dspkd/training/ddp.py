"""Several processes train one student: each takes its share of every batch, and the step is that of the whole batch.

Gradients are averaged by PyTorch's DistributedDataParallel. What is left to do is what a share cannot know alone: the
other images, for terms that relate images to one another and for batch normalisation.
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
    """Return what to call in the distiller's place, with this rank's share of a batch; alone, the distiller itself.

    Its backward pass leaves in the parameters the gradient of the whole batch, on every rank. All ranks start from the
    parameters of rank 0.
    """
    if world.size == 1:
        return distiller
    distiller.sharing = ShardedStep(world)
    # Of 1x1 kernels, whose layout in memory can be told in two ways; it costs a copy.
    warnings.filterwarnings("ignore", message="Grad strides do not match bucket view strides")
    # The same layers take part in each step of a stage. A classifier may take part in none; its gradient stays None.
    return DistributedDataParallel(distiller, static_graph=True)


def averaged(losses: Mapping[str, Tensor], world: World) -> dict[str, Tensor]:
    """Return the losses of the whole batch, without a gradient, from those that `shared` gives on each rank."""
    own = {name: loss.detach() for name, loss in losses.items()}
    if world.size == 1:
        return own
    values = torch.stack(list(own.values()))
    distributed.all_reduce(values)
    return dict(zip(own, values / world.size, strict=True))


class ShardedStep(LocalStep):
    r"""Computes what rank r adds to the step of the whole batch.

    DistributedDataParallel averages gradients over the R ranks, so each rank's loss is such that their mean is that of
    the whole batch: a term that is a mean over images, of the rank's own :math:`b_r` out of B, counts
    :math:`R\,b_r / B`; any other is computed of all images, on all ranks alike, and its gradient to the rank's own
    images counts R.
    """

    def __init__(self, world: World) -> None:
        self._world = world

    def answer(self, network: nn.Module, images: Tensor, batch: Batch) -> Output:
        """Return the network's answer to the images, which are this rank's, its layers seeing the whole batch."""
        with GlobalBatchNorm(batch):
            return super().answer(network, images, batch)

    def loss(self, term: nn.Module, student: Output, teacher: Output | None, batch: Batch) -> Tensor:
        """Return a loss whose mean over the ranks is the term's loss of the whole batch."""
        assert batch.whole, "made by TrainBatches for several ranks"
        if not term.by_image:
            of_all: Tensor = term(*(part and _Whole(part, batch, self._world) for part in (student, teacher, batch)))
            return of_all
        with GlobalBatchNorm(batch):
            return super().loss(term, student, teacher, batch) * (self._world.size * len(batch) / batch.whole)


class _Whole:
    """A batch, or an answer to it, all of it: its tensors are gathered from the ranks when they are asked for."""

    first, whole, draw = 0, None, Batch.draw

    def __init__(self, own: Batch | Output, batch: Batch, world: World) -> None:
        self._own, self._batch, self._world = own, batch, world

    def __len__(self) -> int:
        return self._batch.whole or 0

    def detach(self) -> _Whole:
        assert isinstance(self._own, Output), "batches have no gradient"
        return _Whole(self._own.detach(), self._batch, self._world)

    def __getattr__(self, name: str) -> Any:
        value = getattr(self._own, name)
        if isinstance(value, Tensor):
            value = _Gathered.apply(value, self._batch, self._world)
        elif isinstance(value, Output):
            value = _Whole(value, self._batch, self._world)
        elif isinstance(value, Mapping):
            value = _WholeMaps(value, self._batch, self._world)
        setattr(self, name, value)
        return value


class _WholeMaps(Mapping[str, Tensor]):
    def __init__(self, own: Mapping[str, Tensor], batch: Batch, world: World) -> None:
        self._own, self._batch, self._world = own, batch, world
        self._known: dict[str, Tensor] = {}

    def __getitem__(self, tap: str) -> Tensor:
        if tap not in self._known:
            self._known[tap] = _Gathered.apply(self._own[tap], self._batch, self._world)
        return self._known[tap]

    def __iter__(self) -> Iterator[str]:
        return iter(self._own)

    def __len__(self) -> int:
        return len(self._own)


class _Gathered(torch.autograd.Function):
    """The rows of all world, in the order of the whole batch; g groups of them where g images are made of each."""

    @staticmethod
    def forward(ctx: Any, own: Tensor, batch: Batch, world: World) -> Tensor:
        assert batch.whole, "made by TrainBatches for several ranks"
        sizes = [len(share) for share in world.shares(batch.whole)]
        groups = len(own) // len(batch)
        ctx.place = (groups, batch.whole, batch.first, batch.first + len(batch), world.size)
        rows = own.reshape(groups, len(batch), *own.shape[1:]).transpose(0, 1).contiguous()
        padded = torch.cat([rows, rows[: max(sizes) - len(rows)]])  # shares differ by one image at most
        said = [torch.empty_like(padded) for _ in sizes]
        distributed.all_gather(said, padded)
        whole = torch.cat([values[:size] for values, size in zip(said, sizes, strict=True)])
        return whole.transpose(0, 1).flatten(0, 1)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None, None]:
        groups, whole, first, last, ranks = ctx.place
        of_groups = grad.reshape(groups, whole, *grad.shape[1:])
        return ranks * of_groups[:, first:last].flatten(0, 1), None, None
