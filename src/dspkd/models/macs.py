"""Multiply-accumulates of a network, counted on the meta device."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from math import prod

import torch
from torch.utils.flop_counter import FlopCounterMode

from dspkd.models.tapped import Tapped


def _per_element(macs: int) -> Callable[..., int]:
    """Return the formula for an operation of `macs` multiply-accumulates per input element."""
    return lambda shape, *_, **__: 2 * macs * prod(shape)  # PyTorch counts two operations for each


_AROUND = {
    torch.ops.aten.native_batch_norm: _per_element(2),
    torch.ops.aten.native_layer_norm: _per_element(5),
    torch.ops.aten.mean: _per_element(1),
}
_OVERLOADS = {
    torch.ops.aten.native_batch_norm.default: _per_element(2),
    torch.ops.aten.native_layer_norm.default: _per_element(5),
    torch.ops.aten.mean.dim: _per_element(1),
}
"""The same by overload: torch 2.11 decomposes other operations instead of counting them."""


@dataclass(frozen=True)
class Macs:
    """The multiply-accumulates of a network for one image.

    Attributes
    ----------
    products
        Of convolutions and matrix products, without the classifier. Biases are free.
    around
        Of other operations, by the rule of MMEngine's counter: 2 for each element of a batch normalisation in
        evaluation, 5 of a layer normalisation, 1 of a map averaged to one value (also in squeeze-and-excite).
        Activations, sums and small pools are free.
    pooled
        Of the classifier, per class.
    """

    products: int
    around: int
    pooled: int

    @property
    def backbone(self) -> int:
        """Return the paper's FLOPs (DSP-KD): all but the classifier."""
        return self.products + self.around

    def whole(self, classes: int) -> int:
        """Return the usual count: convolutions and matrix products, the classifier's included."""
        return self.products + classes * self.pooled


def count(tapped: Tapped, *, side: int = 224) -> Macs:
    """Count for a square image of `side` px, with the network on the meta device; it is left in evaluation mode.

    Source: `torch.utils.flop_counter`, to which `Macs.around` is added. The rule is that of MMEngine's flop analyser,
    applied as MMPreTrain does, to feature extraction; that the paper's authors used it is inferred from all seven of
    their figures.
    """
    with torch.no_grad(), FlopCounterMode(display=False, custom_mapping={**_AROUND, **_OVERLOADS}) as counter:
        tapped.eval()(torch.empty(1, 3, side, side, device="meta"))
    operations = dict(counter.get_flop_counts()["Global"])
    around = sum(operations.pop(kind, 0) for kind in _AROUND) // 2
    spec = tapped.spec
    return Macs(sum(operations.values()) // 2 - spec.classes * spec.pooled, around, spec.pooled)
