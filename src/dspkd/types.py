"""What flows between the rooms: a batch of images, a network's answer to it, and a network's shape.

Axis suffixes used throughout: B image in a batch, K class, D pooled channel, C map channel, H W rows and
columns of a map, N image in a table, L level of a hierarchy.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields, replace
from typing import Any, TypeVar

import torch
from torch import Tensor

from dspkd.errors import DataError

V = TypeVar("V", int, Tensor)

ROTATED, STRONG = (1, 2, 3), (4,)
"""Numbers of the images that are made from an image: rotated by as many quarters, and augmented further."""

TAPS = ("stride4", "stride8", "stride16", "stride32", "last")
"""The names of the maps that a network may offer, shallow to deep; `last` is the map that the classifier pools."""


@dataclass(frozen=True)
class Batch:
    """A batch of images, as every network and every term receives it.

    Attributes
    ----------
    images
        ``[B, 3, H, W]`` float, RGB in [0, 1]; a network normalises for itself.
    labels
        ``[B]`` int64, class numbers.
    index
        ``[B]`` int64, rows of the table that the images come from. In main memory, as are `views`, wherever the
        images are.
    views
        ``[B]`` int64, which augmented view of its image each image is. (index, view) names an image for good.
        An image made from view v has a number of its own, see `derived_view`.
    strong
        ``[B, 3, H, W]``, the same images augmented further; None where no term asks for them.
    other_labels, own_share
        ``[B]`` int64 and ``[B]`` float32 in [0, 1]: where each image is mixed of two, the class of the other one,
        and the share that the image of `labels` has in it. None where images are not mixed.
    first, whole
        Where several processes take a share each of every batch: the place of this one's first image in the whole
        batch, and how many images that has. None where this is all of it.
    """

    images: Tensor
    labels: Tensor
    index: Tensor
    views: Tensor
    strong_aug: Tensor | None = None
    other_labels: Tensor | None = None
    own_share: Tensor | None = None
    first: int = 0
    whole: int | None = None

    def __len__(self) -> int:
        return len(self.labels)

    def draw(self, make: Callable[[int], Tensor]) -> Tensor:
        """Return random numbers for these images, ``[B, ...]``: their rows of what `make(N)` draws for N images.

        Drawn for the whole batch, they do not depend on how it is shared out.
        """
        return make(self.whole or len(self))[self.first : self.first + len(self)]

    def rows(self, first: int, last: int) -> Batch:
        """Return the images from `first` up to `last`, which is not among them."""
        return self._each(lambda values: values[first:last])

    def to(self, device: torch.device) -> Batch:
        """Return the batch on `device`; the copy overlaps with computation when memory is pinned.

        `index` and `views` stay: they are names, read by the program, which would wait for a GPU to tell them.
        """
        there = self._each(lambda values: values.to(device, non_blocking=True))
        return replace(there, index=self.index, views=self.views)

    def with_derived(self, *, rotated: bool, strong_aug: bool) -> Batch:
        """Return the batch followed by images made from it: rotated by 90, by 180 and by 270 degrees, and strong ones.

        Raises
        ------
        DataError
            `strong` images are asked for, and the batch has none.
        """
        numbers = derived_views(rotated=rotated, strong_aug=strong_aug)
        made = [torch.rot90(self.images, quarters, dims=(2, 3)) for quarters in (ROTATED if rotated else ())]
        if strong_aug:
            if self.strong_aug is None:
                raise DataError("a term asks for strong images, and the batch has none; TrainBatches(strong_aug=True)")
            made.append(self.strong_aug)
        if not made:
            return self
        return Batch(
            torch.cat([self.images, *made]),
            self.labels.repeat(1 + len(made)),
            self.index.repeat(1 + len(made)),
            torch.cat([self.views, *[derived_view(self.views, number) for number in numbers]]),
        )

    def pin_memory(self) -> Batch:
        """Return the batch in page-locked memory; called by a DataLoader that pins."""
        return self._each(Tensor.pin_memory)

    def _each(self, change: Callable[[Tensor], Tensor]) -> Batch:
        present = {item.name: getattr(self, item.name) for item in fields(self)}
        changed: dict[str, Any] = {k: change(values) for k, values in present.items() if isinstance(values, Tensor)}
        return replace(self, **changed)


def derived_views(*, rotated: bool, strong_aug: bool) -> tuple[int, ...]:
    """Return which images are made from each."""
    return (ROTATED if rotated else ()) + (STRONG if strong_aug else ())


def derived_view(view: V, number: int) -> V:
    """Return what stands in the place of a view for image `number` made from it: -(5v + n), no two alike."""
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
    rotated
        The answer to the batch's images rotated by 90 degrees, then by 180, then by 270: 3B rows. None where no term
        asks for it.
    strong
        The answer to the batch's strong images. None where no term asks for it.
    """

    logits: Tensor
    pooled: Tensor
    maps: Mapping[str, Tensor] = field(default_factory=dict)
    rotated: Output | None = None
    strong_aug: Output | None = None

    def detach(self) -> Output:
        """Return the same answer without a way back for gradients."""
        return Output(
            self.logits.detach(),
            self.pooled.detach(),
            {tap: x.detach() for tap, x in self.maps.items()},
            self.rotated.detach() if self.rotated else None,
            self.strong_aug.detach() if self.strong_aug else None,
        )

    def rows(self, first: int, last: int) -> Output:
        """Return the answer to the images from `first` up to `last`, which is not among them."""
        maps = {tap: x[first:last] for tap, x in self.maps.items()}
        return Output(self.logits[first:last], self.pooled[first:last], maps)


@dataclass(frozen=True)
class NetworkSpec:
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
        Images of each class that an epoch shows, which differ from the images where classes are drawn more evenly
        than they occur; empty means that each image is shown once.
    """

    classes: int
    pooled: int
    channels: Mapping[str, int]
    class_counts: tuple[int, ...] = ()
    class_draws: tuple[int, ...] = ()
