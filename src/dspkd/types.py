"""What flows between the rooms: a batch of pictures, a network's answer to it, and a network's shape.

Axis suffixes used throughout: B picture in a batch, K class, D pooled channel, C map channel, H W rows and
columns of a map, N picture in a table, L level of a hierarchy.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields, replace

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
        ``[B]`` int64, which augmented view of its image each picture is. (index, view) names a picture for good;
        a picture that was made from a view, and has no such name, has -1.
    strong
        ``[B, 3, H, W]``, the same pictures augmented further; None where no term asks for them.
    """

    images: Tensor
    labels: Tensor
    index: Tensor
    views: Tensor
    strong: Tensor | None = None

    def __len__(self) -> int:
        return len(self.labels)

    def to(self, device: torch.device) -> Batch:
        """Return the batch on `device`; the copy overlaps with computation when memory is pinned."""
        return self._each(lambda values: values.to(device, non_blocking=True))

    def pin_memory(self) -> Batch:
        """Return the batch in page-locked memory; called by a DataLoader that pins."""
        return self._each(Tensor.pin_memory)

    def _each(self, change: Callable[[Tensor], Tensor]) -> Batch:
        present = {item.name: getattr(self, item.name) for item in fields(self)}
        return replace(self, **{name: change(values) for name, values in present.items() if values is not None})


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
    turned
        The answer to the batch's pictures turned by 90 degrees, then by 180, then by 270: 3B rows. None where no term
        asks for it.
    strong
        The answer to the batch's strong pictures. None where no term asks for it.
    """

    logits: Tensor
    pooled: Tensor
    maps: Mapping[str, Tensor] = field(default_factory=dict)
    turned: Output | None = None
    strong: Output | None = None

    def detach(self) -> Output:
        """Return the same answer without a way back for gradients."""
        return Output(
            self.logits.detach(),
            self.pooled.detach(),
            {tap: x.detach() for tap, x in self.maps.items()},
            self.turned.detach() if self.turned else None,
            self.strong.detach() if self.strong else None,
        )

    def rows(self, first: int, last: int) -> Output:
        """Return the answer to the pictures from `first` up to `last`, which is not among them."""
        maps = {tap: x[first:last] for tap, x in self.maps.items()}
        return Output(self.logits[first:last], self.pooled[first:last], maps)


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
