"""What flows between the rooms: a batch of pictures, a network's answer to it, and a network's shape.

Axis suffixes used throughout: B picture in a batch, K class, D pooled channel, C map channel, H W rows and
columns of a map, N picture in a table, L level of a hierarchy.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields, replace
from typing import Any, TypeVar

import torch
from torch import Tensor

from dspkd.errors import DataError

V = TypeVar("V", int, Tensor)

TURNED, STRONG = (1, 2, 3), (4,)
"""Numbers of the pictures that are made from a picture: turned by as many quarters, and augmented further."""

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
        ``[B]`` int64, rows of the table that the pictures come from. In main memory, as are `views`, wherever the
        pictures are.
    views
        ``[B]`` int64, which augmented view of its image each picture is. (index, view) names a picture for good.
        A picture made from view v has a number of its own, see `made_view`.
    strong
        ``[B, 3, H, W]``, the same pictures augmented further; None where no term asks for them.
    other_labels, own_share
        ``[B]`` int64 and ``[B]`` float32 in [0, 1]: where each picture is mixed of two, the class of the other one,
        and the share that the picture of `labels` has in it. None where pictures are not mixed.
    first, whole
        Where several processes take a share each of every batch: the place of this one's first picture in the whole
        batch, and how many pictures that has. None where this is all of it.
    """

    images: Tensor
    labels: Tensor
    index: Tensor
    views: Tensor
    strong: Tensor | None = None
    other_labels: Tensor | None = None
    own_share: Tensor | None = None
    first: int = 0
    whole: int | None = None

    def __len__(self) -> int:
        return len(self.labels)

    def draw(self, make: Callable[[int], Tensor]) -> Tensor:
        """Return random numbers for these pictures, ``[B, ...]``: their rows of what `make(N)` draws for N pictures.

        Drawn for the whole batch, they do not depend on how it is shared out.
        """
        return make(self.whole or len(self))[self.first : self.first + len(self)]

    def rows(self, first: int, last: int) -> Batch:
        """Return the pictures from `first` up to `last`, which is not among them."""
        return self._each(lambda values: values[first:last])

    def to(self, device: torch.device) -> Batch:
        """Return the batch on `device`; the copy overlaps with computation when memory is pinned.

        `index` and `views` stay: they are names, read by the program, which would wait for a GPU to tell them.
        """
        there = self._each(lambda values: values.to(device, non_blocking=True))
        return replace(there, index=self.index, views=self.views)

    def with_made(self, *, turned: bool, strong: bool) -> Batch:
        """Return the batch followed by pictures made from it: turned by 90, by 180 and by 270 degrees, and strong ones.

        Raises
        ------
        DataError
            `strong` pictures are asked for, and the batch has none.
        """
        numbers = made_numbers(turned=turned, strong=strong)
        made = [torch.rot90(self.images, quarters, dims=(2, 3)) for quarters in (TURNED if turned else ())]
        if strong:
            if self.strong is None:
                raise DataError("a term asks for strong pictures, and the batch has none; TrainBatches(strong=True)")
            made.append(self.strong)
        if not made:
            return self
        return Batch(
            torch.cat([self.images, *made]),
            self.labels.repeat(1 + len(made)),
            self.index.repeat(1 + len(made)),
            torch.cat([self.views, *[made_view(self.views, number) for number in numbers]]),
        )

    def pin_memory(self) -> Batch:
        """Return the batch in page-locked memory; called by a DataLoader that pins."""
        return self._each(Tensor.pin_memory)

    def _each(self, change: Callable[[Tensor], Tensor]) -> Batch:
        present = {item.name: getattr(self, item.name) for item in fields(self)}
        changed: dict[str, Any] = {k: change(values) for k, values in present.items() if isinstance(values, Tensor)}
        return replace(self, **changed)


def made_numbers(*, turned: bool, strong: bool) -> tuple[int, ...]:
    """Return which pictures are made from each."""
    return (TURNED if turned else ()) + (STRONG if strong else ())


def made_view(view: V, number: int) -> V:
    """Return what stands in the place of a view for picture `number` made from it: -(5v + n), no two alike."""
    return -(5 * view + number)


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
    class_draws
        Pictures of each class that an epoch shows, which differ from the images where classes are drawn more evenly
        than they occur; empty means that each image is shown once.
    """

    classes: int
    pooled: int
    channels: Mapping[str, int]
    class_counts: tuple[int, ...] = ()
    class_draws: tuple[int, ...] = ()
