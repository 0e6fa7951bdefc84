"""Multiply-accumulates of a network, counted without computing anything."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from math import prod

import torch
from torch.utils.flop_counter import FlopCounterMode

from dspkd.models.tapped import Tapped


def _per_element(macs: int) -> Callable[..., int]:
    """Return the formula of an operation that costs `macs` for each element that it reads."""
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
"""The same by overload: torch 2.11 takes an operation apart, instead of counting it, unless it is named so."""


@dataclass(frozen=True)
class Macs:
    """What one image costs a network, in multiply-accumulates.

    Attributes
    ----------
    products
        Of convolutions and matrix products, without the classifier. Biases are free.
    around
        Of what lies between, by the rule of MMEngine's counter: 2 for each element of a batch normalisation in
        evaluation, 5 of a layer normalisation, 1 of a map averaged to one value (in squeeze-and-excite too).
        Activations, sums and pools of a few pixels are free.
    pooled
        Of the classifier, for each class.
    """

    products: int
    around: int
    pooled: int

    @property
    def backbone(self) -> int:
        """Return what the DSP-KD paper prints as FLOPs: all but the classifier."""
        return self.products + self.around

    def whole(self, classes: int) -> int:
        """Return what is counted most often: convolutions and matrix products, the classifier's among them."""
        return self.products + classes * self.pooled


def count(tapped: Tapped, *, side: int = 224) -> Macs:
    """Return what a square image of `side` px costs a network that lies on the meta device; it is in evaluation then.

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
