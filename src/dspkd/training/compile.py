"""Trained networks, compiled with torch.compile."""

from __future__ import annotations

from collections.abc import Callable

from torch import Tensor, nn

from dspkd.models.compile import compiled
from dspkd.training.distiller import LocalStep
from dspkd.types import Batch, Output


class Compiled(LocalStep):
    """Compiles each trained network at its first use; the evaluation after each epoch uses the network uncompiled."""

    def __init__(self) -> None:
        self._compiled: dict[nn.Module, Callable[[Tensor], Output]] = {}

    def answer(self, network: nn.Module, images: Tensor, batch: Batch) -> Output:  # noqa: ARG002
        """Return the network's output for the images, computed by its compiled form."""
        if network not in self._compiled:
            self._compiled[network] = compiled(network)
        return self._compiled[network](images)
