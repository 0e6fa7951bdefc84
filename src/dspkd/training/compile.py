"""Networks that learn, compiled."""

from __future__ import annotations

from collections.abc import Callable

from torch import Tensor, nn

from dspkd.models.compile import compiled
from dspkd.training.distiller import LocalStep
from dspkd.types import Batch, Output


class Compiled(LocalStep):
    """Has each network that learns compiled when it first answers; what judges it between epochs calls it as it is."""

    def __init__(self) -> None:
        self._quick: dict[nn.Module, Callable[[Tensor], Output]] = {}

    def answer(self, network: nn.Module, images: Tensor, batch: Batch) -> Output:  # noqa: ARG002
        """Return the network's answer to the images, by its compiled form."""
        if network not in self._quick:
            self._quick[network] = compiled(network)
        return self._quick[network](images)
