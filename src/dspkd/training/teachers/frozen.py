"""A teacher that runs its network on each batch."""

from __future__ import annotations

import copy
import hashlib
from collections.abc import Callable
from dataclasses import replace
from itertools import chain

import torch
from torch import Tensor, nn

from dspkd.models.compile import compiled
from dspkd.training.teachers.means import TURNS, log_mean, turned
from dspkd.types import Batch, NetworkSpec, Output


class FrozenTeacher:
    """A frozen network that is run on each batch.

    It stays in evaluation mode: neither its weights nor its BatchNorm statistics change, and dropout and
    stochastic depth are off.

    Parameters
    ----------
    network
        ``network(images)`` returns an `Output`. Its parameters stop requiring gradients.
    spec
        The network's shape.
    name
        Its name in messages.
    views
        Over how many flips and quarter turns of each image logits and pooled vectors are averaged; see
        `dspkd.training.teachers.means`. It costs as many forward passes.

    Notes
    -----
    Maps are those of the image as it is. Turned back, the maps of other views lie beside them, not on them: a layer of
    stride 2 on an even number of columns starts at the first, and on the flipped image therefore at the last.
    """

    def __init__(self, network: nn.Module, spec: NetworkSpec, *, name: str = "teacher", views: int = 1) -> None:
        self.network = network.eval().requires_grad_(False)
        self.spec, self.name, self.views = spec, name, views
        self._compute: Callable[[Tensor], Output] = self.network

    @property
    def parameters(self) -> int:
        """Return the number of weights."""
        return sum(value.numel() for value in self.network.parameters())

    def answer(self, batch: Batch) -> Output:
        """Return the network's output for the images, or the larger ones where there are, without a gradient."""
        with torch.no_grad():
            images = (batch.larger or batch).images
            output = self._compute(images)
            if self.views == 1:
                return output
            others = [self._compute(turned(images, turn)) for turn in TURNS[self.views][1:]]
            logits_VBK = torch.stack([output.logits, *(other.logits for other in others)])
            pooled_VBD = torch.stack([output.pooled, *(other.pooled for other in others)])
            return replace(output, logits=log_mean(logits_VBK), pooled=pooled_VBD.mean(dim=0))

    def averaging(self, views: int) -> FrozenTeacher:
        """Return the same teacher with so many views."""
        teacher = copy.copy(self)
        teacher.views = views
        return teacher

    def compiled(self) -> FrozenTeacher:
        """Return the same teacher with its network compiled, for many batches of one size."""
        teacher = copy.copy(self)
        teacher._compute = compiled(self.network)
        return teacher

    def trainable_copy(self) -> nn.Module:
        """Return a trainable copy of the network, in training mode; this teacher does not change."""
        return copy.deepcopy(self.network).requires_grad_(True).train()

    def digest(self) -> str:
        """Return SHA-256 of all weights, statistics and other buffers, such as the input's mean and std, in hex."""
        hashed = hashlib.sha256()
        # Not of the state dict: it leaves out buffers that are not saved.
        for name, value in chain(self.network.named_parameters(), self.network.named_buffers()):
            hashed.update(name.encode())
            hashed.update(value.detach().cpu().contiguous().flatten().view(torch.uint8).numpy().data)
        return hashed.hexdigest()
