"""What flows between the rooms: a batch of pictures, a network's answer to it, and a network's shape.

Axis suffixes used throughout: B picture in a batch, K class, D pooled channel, C map channel, H W rows and
columns of a map, N picture in a table, L level of a hierarchy.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

import torch
from torch import Tensor

TAPS = ("stride4", "stride8", "stride16", "stride32", "last")
"""The names of the maps that a network may offer, shallow to deep; `last` is the map that the classifier pools."""


@dataclass(frozen=True)
class Batch:
    """A batch of pictures, as every network and every term receives it.

    Attributes
    ----------
    images
        ``[B, 3, H, W]`` float, RGB in [0, 1]; a network normalises for itself.
    labels
        ``[B]`` int64, class numbers.
    index
        ``[B]`` int64, rows of the table that the pictures come from.
    views
        ``[B]`` int64, which augmented view of its image each picture is. (index, view) names a picture for good.
    """

    images: Tensor
    labels: Tensor
    index: Tensor
    views: Tensor

    def __len__(self) -> int:
        return len(self.labels)

    def to(self, device: torch.device) -> Batch:
        """Return the batch on `device`; the copy overlaps with computation when memory is pinned."""
        moved = {
            name: getattr(self, name).to(device, non_blocking=True) for name in ("images", "labels", "index", "views")
        }
        return replace(self, **moved)

    def pin_memory(self) -> Batch:
        """Return the batch in page-locked memory; called by a DataLoader that pins."""
        return Batch(
            self.images.pin_memory(), self.labels.pin_memory(), self.index.pin_memory(), self.views.pin_memory()
        )


@dataclass(frozen=True)
class Output:
    """A network's answer to a batch.

    Attributes
    ----------
    logits
        ``[B, K]``, before any softmax.
    pooled
        ``[B, D]``, the vector that the classifier reads.
    maps
        ``{tap: [B, C, H, W]}``, names out of `TAPS`.
    """

    logits: Tensor
    pooled: Tensor
    maps: Mapping[str, Tensor] = field(default_factory=dict)

    def detach(self) -> Output:
        """Return the same answer without a way back for gradients."""
        return Output(self.logits.detach(), self.pooled.detach(), {tap: x.detach() for tap, x in self.maps.items()})


@dataclass(frozen=True)
class Spec:
    """A network's shape: all that a term may know of it when it is built.

    Attributes
    ----------
    classes
        K, the number of logits.
    pooled
        D, the width of the pooled vector.
    channels
        ``{tap: C}`` for each tap that the network offers.
    class_counts
        Training images per class, in class order; empty where no training table is at hand.
    """

    classes: int
    pooled: int
    channels: Mapping[str, int]
    class_counts: tuple[int, ...] = ()
