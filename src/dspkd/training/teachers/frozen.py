"""A teacher that runs its network on each batch."""

from __future__ import annotations

import copy
import hashlib
from collections.abc import Callable
from itertools import chain

import torch
from torch import Tensor, nn

from dspkd.models.compile import compiled
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
    """

    by_row = False

    def __init__(self, network: nn.Module, spec: NetworkSpec, *, name: str = "teacher") -> None:
        self.network = network.eval().requires_grad_(False)
        self.spec, self.name = spec, name
        self._compute: Callable[[Tensor], Output] = self.network

    @property
    def parameters(self) -> int:
        """Return the number of weights."""
        return sum(value.numel() for value in self.network.parameters())

    def answer(self, batch: Batch) -> Output:
        """Return the network's output for ``batch.images``, without a gradient."""
        with torch.no_grad():
            return self._compute(batch.images)

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
