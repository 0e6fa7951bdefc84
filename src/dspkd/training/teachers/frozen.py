"""A teacher that runs its network on each batch."""

from __future__ import annotations

import copy
import hashlib
from collections.abc import Callable

import torch
from torch import Tensor, nn

from dspkd.models.compile import compiled
from dspkd.types import Batch, NetworkSpec, Output


class FrozenTeacher:
    """A frozen network that answers each batch afresh.

    It is in evaluation mode for good: neither its weights nor its BatchNorm statistics change, and dropout and
    stochastic depth are off.

    Parameters
    ----------
    network
        Called as ``network(images)``, answers with an `Output`. Its parameters stop requiring gradients.
    spec
        The network's shape.
    name
        What to call it in front of people.
    """

    def __init__(self, network: nn.Module, spec: NetworkSpec, *, name: str = "teacher") -> None:
        self.network = network.eval().requires_grad_(False)
        self.spec, self.name = spec, name
        self._ask: Callable[[Tensor], Output] = self.network

    @property
    def parameters(self) -> int:
        """Return the number of weights."""
        return sum(value.numel() for value in self.network.parameters())

    def answer(self, batch: Batch) -> Output:
        """Return the network's output for ``batch.images``, without a gradient."""
        with torch.no_grad():
            return self._ask(batch.images)

    def compiled(self) -> FrozenTeacher:
        """Return the same teacher, the same network, asked by its compiled form: for many batches of one size."""
        quick = copy.copy(self)
        quick._ask = compiled(self.network)
        return quick

    def trainable_copy(self) -> nn.Module:
        """Return a copy of the network that can be trained, in training mode; this teacher stays as it is."""
        return copy.deepcopy(self.network).requires_grad_(True).train()

    def digest(self) -> str:
        """Return SHA-256 of all weights and statistics, in hex; the same before and after any use."""
        hashed = hashlib.sha256()
        for name, value in self.network.state_dict().items():
            hashed.update(name.encode())
            hashed.update(value.detach().cpu().contiguous().flatten().view(torch.uint8).numpy())
        return hashed.hexdigest()
